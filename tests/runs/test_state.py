"""Variables by name: names do not depend on the process, and a checkpoint fills a model by them or not at all."""

from pathlib import Path

import keras
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import UsageError
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.vgan import VGAN
from tfvideogan.runs import loading, state
from tfvideogan.runs.run_folder import Checkpoint, RunFolder


def small_model(first: str, second: str) -> AdversarialModel:
    """A model whose generator has two layers of the same shape, with these names in this order."""
    latents = keras.Input([100])
    values = keras.layers.Dense(100, name=second)(keras.layers.Dense(100, name=first)(latents))
    clip = keras.layers.Reshape([2, 5, 10, 1])(values)
    model = VGAN(keras.Model(latents, {"clip": clip}), keras.Sequential([keras.Input([2, 5, 10, 1])]))
    model.compile()
    return model


class StateTest(tf.test.TestCase):
    def save(self, model: AdversarialModel) -> Checkpoint:
        run = RunFolder(Path(self.create_tempdir().full_path) / "run")
        run.save(1, 1, state.for_training(model), keep=1)
        return run.latest()

    def test_names_do_not_depend_on_what_the_process_has_built(self):
        for name, stage in tiny.MODELS:
            with self.subTest(model=name, stage=stage):
                models = [tiny.model(name, stage, ema=0.5) for _ in range(2)]
                for model in models:
                    model.compile()
                first, second = ({k: list(v) for k, v in state.for_training(model).items()} for model in models)
                self.assertEqual(first, second)
                networks = {"generator", "discriminator", "ema_generator"} | ({"base"} if stage == 2 else set())
                self.assertEqual(set(first), networks | {"generator_optimizer", "discriminator_optimizer", "counters"})
                counts = [len(n.variables) for n in (models[0].generator, models[0].discriminator)]
                self.assertEqual([len(first["generator"]), len(first["discriminator"])], counts)

    def test_optimizers_are_named_after_what_they_train(self):
        model = tiny.model("vgan")
        model.compile()
        names = set(state.for_training(model)["discriminator_optimizer"])
        self.assertContainsSubset({"iteration", "learning_rate", "loss_scale", "finite_updates"}, names)
        self.assertContainsSubset({"conv1_kernel_momentum", "bn2_gamma_velocity"}, names)

    def test_two_variables_of_one_name_are_an_error(self):
        model = small_model("one", "two")
        model.generator.layers[-2].name = "one"
        with self.assertRaisesRegex(ValueError, "one/kernel"):
            state.for_training(model)

    def test_equal_shapes_in_another_order_are_filled_by_their_names(self):
        saved, other = small_model("one", "two"), small_model("two", "one")
        loading.restore(self.save(saved), state.for_training(other))
        for name in ("one", "two"):
            self.assertAllEqual(other.generator.get_layer(name).kernel, saved.generator.get_layer(name).kernel)
        self.assertNotAllEqual(saved.generator.get_layer("one").kernel, saved.generator.get_layer("two").kernel)

    def test_a_renamed_layer_is_refused_by_its_name(self):
        checkpoint, other = self.save(small_model("one", "two")), small_model("one", "three")
        with self.assertRaises(UsageError) as caught:
            loading.restore(checkpoint, state.for_sampling(other))
        said = str(caught.exception)
        self.assertStartsWith(said, f"{checkpoint.path} is a checkpoint of another model: ")
        self.assertIn("it lacks generator/three/bias, generator/three/kernel,", said)
        self.assertEndsWith(said, "the model lacks generator/two/bias, generator/two/kernel")

    def test_a_layer_that_is_gone_is_refused(self):
        checkpoint, variables = self.save(small_model("one", "two")), state.for_sampling(small_model("one", "two"))
        del variables["generator"]["two/bias"]
        with self.assertRaisesRegex(UsageError, "it lacks nothing, and the model lacks generator/two/bias$"):
            loading.restore(checkpoint, variables)

    def test_names_with_dots_and_slashes_are_found(self):
        variables = {"part": {"a.Sb/c..d": tf.Variable(1.0), ".S/.": tf.Variable(2.0)}}
        run = RunFolder(Path(self.create_tempdir().full_path) / "run")
        run.save(1, 1, variables, keep=1)
        other = {"part": {name: tf.Variable(0.0) for name in variables["part"]}}
        loading.restore(run.latest(), other)
        self.assertEqual([float(v) for v in other["part"].values()], [1.0, 2.0])


if __name__ == "__main__":
    tf.test.main()
