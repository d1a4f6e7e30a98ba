"""Steps in which the discriminator takes no part, on every model that has a content loss."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.case import PolicyTest, set_scales
from tfvideogan.models import blocks
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.training import runtime

MODELS = (("vgan_conditional", 1), ("mdgan", 1), ("mdgan", 2))
RATE = 0.125


def content_steps(
    name: str, stage: int, steps: int = 1, xla: bool = False, replicas: int = 1, sync: bool = False
) -> AdversarialModel:
    """A model after so many steps of gradient descent on fixed clips."""
    strategy = runtime.make_strategy("mirrored") if replicas > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        model = tiny.model(name, stage)
        if sync:
            blocks.synchronize(model.generator, model.discriminator)
        model.compile(keras.optimizers.SGD(RATE), keras.optimizers.SGD(RATE), xla=xla)
    set_scales(model)
    on_all = tf.function(lambda clips: strategy.run(model.train_step, args=(clips, False)), autograph=False)
    for seed in range(steps):
        clips = tiny.clips(name, 4, seed)
        if replicas == 1:  # without a graph, which takes longer to trace than these steps
            model.train_step(clips, False)
        else:
            halves, own = tf.split(clips, replicas), strategy.experimental_distribute_values_from_function
            on_all(own(lambda context, halves=halves: halves[context.replica_id_in_sync_group]))
    return model


def flat(network: keras.Model) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in network.get_weights()])


class ContentStepTest(PolicyTest):
    def assert_discriminator_untouched(self, model: AdversarialModel, name: str, stage: int) -> None:
        self.assertEqual(flat(model.discriminator).tobytes(), flat(tiny.model(name, stage).discriminator).tobytes())
        self.assertEqual(int(tf.convert_to_tensor(model.discriminator_optimizer.iterations)), 0)
        self.assertEqual(int(model.discriminator_update.finite_updates.numpy()), 0)

    def test_the_generator_descends_the_content_loss_alone_by_hand(self):
        for name, stage in MODELS:
            with self.subTest(name=name, stage=stage):
                model, reference, clips = content_steps(name, stage), tiny.model(name, stage), tiny.clips(name, 4)
                variables = reference.generator.trainable_variables
                with tf.GradientTape() as tape:
                    made = reference.generate(clips[:, 0], reference.generator, training=True)["clip"]
                    frames = 1 if name == "vgan_conditional" else tiny.FRAMES
                    loss = tf.reduce_mean(tf.abs(made - clips)[:, :frames]) * (10.0 if frames == 1 else 1.0)
                gradients = tape.gradient(loss, [variable.value for variable in variables])
                for variable, gradient, ours in zip(
                    variables, gradients, model.generator.trainable_variables, strict=True
                ):
                    self.assertAllClose(ours, variable.numpy() - RATE * gradient, atol=1e-6, msg=ours.path)
                self.assert_discriminator_untouched(model, name, stage)
                term = "g_first_frame" if frames == 1 else "g_content"
                self.assertAllClose(model.get_metrics_result(), {"g_loss": loss, term: loss}, rtol=1e-5)
                self.assertEqual((int(model.step), int(model.skipped)), (1, 0))

    def test_xla_and_replicas_take_the_same_step(self):
        name, stage = MODELS[0]
        plain = flat(content_steps(name, stage, 2).generator)
        for options in ({"xla": True}, {"replicas": 2, "sync": True}):
            with self.subTest(**options):
                model = content_steps(name, stage, 2, **options)
                self.assertAllClose(flat(model.generator), plain, atol=1e-5)
                self.assert_discriminator_untouched(model, name, stage)

    def test_float16_takes_the_step_of_float32(self):
        name, stage = MODELS[0]
        before, moves = flat(tiny.model(name, stage).generator), []
        for policy in ("float32", "mixed_float16"):
            self.use_policy(policy)
            model = content_steps(name, stage, 2)
            moves.append(flat(model.generator) - before)
            self.assertEqual(int(model.skipped), 0)
            self.assertEqual(int(model.discriminator_update.finite_updates), 0)
        self.assertLess(np.linalg.norm(moves[1] - moves[0]), 0.05 * np.linalg.norm(moves[0]))

    def test_a_step_that_is_not_finite_is_skipped(self):
        model = tiny.model("vgan_conditional")
        model.compile(run_eagerly=True)
        before = flat(model.generator)
        model.train_step(tiny.clips("vgan_conditional", 2) * float("nan"), adversarial=False)
        self.assertEqual(flat(model.generator).tobytes(), before.tobytes())
        self.assertEqual((int(model.step), int(model.skipped)), (1, 1))
        self.assertEqual(model.get_metrics_result(), {})


if __name__ == "__main__":
    tf.test.main()
