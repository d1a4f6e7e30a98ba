"""Two replicas, the logical CPUs of conftest.py, train as one does."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.steps import train, trained
from tfvideogan.models import blocks
from tfvideogan.training import runtime


class ReplicasTest(tf.test.TestCase):
    """Two logical CPUs, of conftest.py."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.strategy = runtime.make_strategy("mirrored")

    def _train(self, name: str, stage: int, steps: int, strategy: tf.distribute.Strategy | None, **compile_options):
        with (strategy or tf.distribute.get_strategy()).scope():
            model = tiny.model(name, stage, ema=0.9)
            blocks.synchronize(model.generator, model.discriminator)
            # Adam makes a step of a vanishing gradient's sign. Video-GAN's biases before batch
            # normalisation have such gradients (and no effect): a larger epsilon keeps rounding
            # noise from deciding them. MD-GAN has no biases and takes the default.
            adam = [
                keras.optimizers.Adam(2e-4, beta_1=0.5, epsilon=1e-7 if name == "mdgan" else 1e-4) for _ in range(2)
            ]
            model.compile(*adam, **compile_options)
        train(model, name, steps, strategy)
        return model

    def test_two_replicas_give_the_weights_of_one(self):
        for name, stage in tiny.DISTINCT:
            with self.subTest(name=name, stage=stage):
                one = self._train(name, stage, 10, None)
                two = self._train(name, stage, 10, self.strategy)
                self.assertAllClose(tiny.weights(one), tiny.weights(two), atol=1e-5)
                averages = [np.ravel(m.ema_generator.get_weights()[0]) for m in (one, two)]
                self.assertAllClose(*averages, atol=1e-5)
                losses = [m.get_metrics_result()["g_loss"] for m in (one, two)]
                self.assertAllClose(*losses, rtol=1e-3)

    def test_xla_on_two_replicas_gives_the_weights_of_plain_graphs(self):
        models = []
        for xla in (False, True):
            with self.strategy.scope():
                model = tiny.model("mdgan", ema=0.9)
                model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01), xla=xla)
            before = trained(model)
            train(model, "mdgan", 2, self.strategy)
            self.assertAllGreater(np.abs(trained(model) - before), 0.0)
            models.append(model)
        plain, compiled = models
        self.assertAllClose(tiny.weights(plain), tiny.weights(compiled), atol=1e-5)
        self.assertAllClose(*(np.ravel(m.ema_generator.get_weights()[0]) for m in models), atol=1e-5)

    def test_replicas_without_synchronised_statistics_by_hand(self):
        for name in ("vgan", "mdgan"):
            with self.subTest(name):
                rate, clips = 0.1, tiny.clips(name, 4)
                with self.strategy.scope():
                    model = tiny.model(name)
                    model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
                expected = self._step_by_hand(name, clips, rate)
                train(model, name, 1, self.strategy)
                for network, values in expected.items():
                    for variable, value in zip(getattr(model, network).trainable_variables, values, strict=True):
                        self.assertAllClose(variable.numpy(), value, atol=1e-5, msg=variable.path)
                first = blocks.batch_norms(model.generator)[0]
                for replica, rows in enumerate(self.HALVES):
                    mean, variance = self._first_statistics(name, clips, rows)
                    moving = [
                        self.strategy.experimental_local_results(v.value)[replica]
                        for v in (first.moving_mean, first.moving_variance)
                    ]
                    self.assertAllClose(moving, [0.1 * mean, 0.9 + 0.1 * variance], atol=1e-6)

    HALVES = (slice(0, 2), slice(2, 4))  # the rows of each of the two replicas

    def _step_by_hand(self, name: str, clips: tf.Tensor, rate: float) -> dict[str, list[np.ndarray]]:
        """Gradient descent by the mean of the gradients of two models, each of which sees half of the clips alone."""
        halves = [tiny.model(name), tiny.model(name)]
        inputs = halves[0].generator_inputs(clips, 0)
        descended = {}
        for player in ("discriminator", "generator"):
            gradients = []
            for model, rows in zip(halves, self.HALVES, strict=True):
                variables = getattr(model, player).trainable_variables
                with tf.GradientTape() as tape:
                    generated = model.generate(inputs[rows], model.generator, training=True)
                    terms = getattr(model, f"{player}_losses")(clips[rows], generated)
                    objective = tf.add_n(list(terms.values()))
                gradients.append(tape.gradient(objective, [variable.value for variable in variables]))
            means = [(a + b).numpy() / 2 for a, b in zip(*gradients, strict=True)]
            for model in halves:
                for variable, mean in zip(getattr(model, player).trainable_variables, means, strict=True):
                    variable.assign_sub(rate * mean)
            descended[player] = [variable.numpy() for variable in getattr(halves[0], player).trainable_variables]
        return descended

    def _first_statistics(self, name: str, clips: tf.Tensor, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the clips' rows where the generator's first batch normalisation meets them."""
        model = tiny.model(name)
        inputs = model.generator_inputs(clips, 0)[rows]
        if model.repeats_frame:
            inputs = tf.repeat(inputs[:, tf.newaxis], tiny.FRAMES, axis=1)
        probe = keras.Model(model.generator.input, blocks.batch_norms(model.generator)[0].input)
        x = probe(inputs).numpy().astype(np.float64)
        axes = tuple(range(x.ndim - 1))
        return x.mean(axes), x.var(axes)

    def test_fit_trains_on_two_replicas(self):
        with self.strategy.scope():
            model = tiny.model("vgan")
            model.compile()
        before = trained(model)
        model.fit(tiny.clips("vgan", 8), batch_size=4, verbose=0)
        self.assertAllGreater(np.abs(trained(model) - before), 0.0)


if __name__ == "__main__":
    tf.test.main()
