"""The one train step, on every model: order, replicas, XLA, moving average, batch statistics."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models import blocks
from tfvideogan.training import runtime


def train(model: keras.Model, name: str, steps: int, strategy: tf.distribute.Strategy | None = None) -> None:
    """`steps` steps on fixed clips, each replica taking its rows."""
    strategy = strategy or tf.distribute.get_strategy()
    rows = 4 // strategy.num_replicas_in_sync
    step = tf.function(lambda clips: strategy.run(model.train_step, args=(clips,)))
    for index in range(steps):
        clips = tiny.clips(name, 4, seed=index)

        def of_replica(context, clips=clips):
            return clips[context.replica_id_in_sync_group * rows :][:rows]

        step(strategy.experimental_distribute_values_from_function(of_replica))


def trained(model: keras.Model) -> np.ndarray:
    """The sum over each trainable kernel of both players: any optimizer step shows in each."""
    players = (model.generator, model.discriminator)
    return np.array([np.abs(v.numpy()).sum() for p in players for v in p.trainable_variables if "kernel" in v.path])


class TrainStepTest(tf.test.TestCase):
    def test_fit_and_train_step_give_the_same_weights(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                by_step, by_fit = tiny.model(name, stage), tiny.model(name, stage)
                by_step.compile()
                by_fit.compile()
                clips = tf.concat([tiny.clips(name, 4, seed) for seed in range(3)], axis=0)
                by_fit.fit(clips, batch_size=4, epochs=1, shuffle=False, verbose=0)
                train(by_step, name, 3)
                self.assertAllEqual(tiny.weights(by_fit), tiny.weights(by_step))

    def test_both_players_learn_and_what_is_frozen_stays(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage)
                model.compile()
                players = (model.generator, model.discriminator)
                before = [[w.copy() for w in player.get_weights()] for player in players]
                frozen = model.base_generator.get_weights() if stage == 2 else []
                train(model, name, 1)
                for player, old in zip(players, before, strict=True):
                    unmoved = [
                        v.path for v, was in zip(player.weights, old, strict=True) if np.array_equal(v.numpy(), was)
                    ]
                    self.assertEmpty(unmoved)
                if stage == 2:
                    self.assertAllEqual(
                        np.concatenate([np.ravel(w) for w in frozen]),
                        np.concatenate([np.ravel(w) for w in model.base_generator.get_weights()]),
                    )

    def test_the_generator_is_updated_against_the_updated_discriminator_on_the_same_fakes(self):
        model, reference = tiny.model("vgan"), tiny.model("vgan")
        for m in (model, reference):
            m.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        clips = tiny.clips("vgan", 4)
        train(model, "vgan", 1)

        latents = reference.draw_latents(tf.constant(4), 100, tf.constant(0))
        for player, losses in (
            (reference.discriminator, reference.discriminator_losses),
            (reference.generator, reference.generator_losses),
        ):
            variables = player.trainable_variables
            with tf.GradientTape() as tape:
                fakes = reference.generator(latents, training=True)
                objective = tf.add_n(list(losses(clips, fakes).values()))
            for v, g in zip(variables, tape.gradient(objective, [v.value for v in variables]), strict=True):
                v.assign_sub(0.1 * g)
        for player in ("generator", "discriminator"):
            for ours, theirs in zip(
                getattr(model, player).trainable_variables, getattr(reference, player).trainable_variables, strict=True
            ):
                self.assertAllClose(ours, theirs, atol=1e-6, msg=ours.path)

    def test_xla_gives_the_weights_of_plain_graphs(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                plain, compiled = tiny.model(name, stage), tiny.model(name, stage)
                for model, xla in ((plain, False), (compiled, True)):
                    model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01), xla=xla)
                    train(model, name, 2)
                self.assertAllClose(tiny.weights(plain), tiny.weights(compiled), atol=1e-5)

    def test_float16_trains_with_the_models_own_loss_scale(self):
        keras.mixed_precision.set_global_policy("mixed_float16")
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")
        model = tiny.model("vgan")
        model.compile()
        before = trained(model)
        train(model, "vgan", 4)
        self.assertLess(int(model.skipped), 4)  # until the scale is one that the gradients bear
        for update in model.updates:
            self.assertBetween(float(update.scale), 2.0**11, 2.0**15)
        self.assertAllEqual(np.isfinite(tiny.weights(model)), np.ones_like(tiny.weights(model), bool))
        self.assertAllGreater(np.abs(trained(model) - before), 0.0)

    def test_optimizers_that_scale_losses_are_refused(self):
        scaling = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(2e-4))
        for optimizers in ((scaling, None), (None, scaling)):
            with self.assertRaisesRegex(ValueError, "losses are scaled here"):
                tiny.model("vgan").compile(*optimizers)

    def test_reported_losses_are_means_over_the_steps_since_the_reset(self):
        model = tiny.model("mdgan")
        model.compile()
        train(model, "mdgan", 2)
        losses = model.get_metrics_result()
        self.assertEqual(set(losses), {"d_loss", "g_loss", "d_real", "d_fake", "g_adversarial", "g_content"})
        self.assertAllClose(losses["d_loss"], losses["d_real"] + losses["d_fake"], rtol=1e-5)
        self.assertAllClose(losses["g_loss"], losses["g_adversarial"] + losses["g_content"], rtol=1e-5)
        self.assertEqual(float(model.metrics[0].count), 2.0)

    def test_reported_losses_leave_skipped_steps_out(self):
        model = tiny.model("vgan")
        model.compile()
        step = tf.function(model.train_step)
        first = {name: float(loss) for name, loss in step(tiny.clips("vgan", 4)).items()}
        step(tiny.clips("vgan", 4) * float("inf"))
        self.assertAllEqual(model.get_metrics_result(), first)
        self.assertEqual([float(metric.count) for metric in model.metrics], [1.0] * len(first))
        step(tiny.clips("vgan", 4, seed=1))
        both = model.get_metrics_result()
        model.reset_metrics()
        self.assertEqual(int(model.skipped), 1)
        self.assertEqual(float(model.metrics[0].count), 0.0)
        self.assertNotAllClose(both["d_loss"], first["d_loss"], rtol=1e-6)
        self.assertAllEqual(np.isfinite(list(both.values())), [True] * len(both))


class LatentsTest(tf.test.TestCase):
    def test_latents_change_from_step_to_step_and_with_the_seed(self):
        model = tiny.model("vgan")

        def draw(step: int) -> tf.Tensor:
            return model.draw_latents(tf.constant(4), 100, tf.constant(step))

        first = draw(0)
        self.assertAllEqual(first, draw(0))
        self.assertNotAllClose(first, draw(1))
        model.seed = 4
        self.assertNotAllClose(first, draw(0))

    def test_each_train_step_meets_the_latents_of_its_number(self):
        model = tiny.model("vgan")
        model.compile()
        met, inputs = [], model.generator_inputs

        def recorded(clips, step):
            met.append(inputs(clips, step))
            return met[-1]

        model.generator_inputs = recorded
        model.train_step(tiny.clips("vgan", 4))
        model.train_step(tiny.clips("vgan", 4) * float("inf"))  # skipped, and its latents with it
        model.step.assign(7)
        model.train_step(tiny.clips("vgan", 4))
        self.assertEqual(int(model.step), 8)
        for latents, step in zip(met, (0, 1, 7), strict=True):
            self.assertAllEqual(latents, model.draw_latents(tf.constant(4), 100, tf.constant(step)))


class MovingAverageTest(tf.test.TestCase):
    def test_the_average_follows_the_weights_by_its_decay(self):
        model = tiny.model("vgan", ema=0.75)
        model.compile()
        expected = np.concatenate([np.ravel(w) for w in model.generator.get_weights()])
        for _ in range(3):
            train(model, "vgan", 1)
            current = np.concatenate([np.ravel(w) for w in model.generator.get_weights()])
            expected = 0.75 * expected + 0.25 * current
        averaged = np.concatenate([np.ravel(w) for w in model.ema_generator.get_weights()])
        self.assertAllClose(averaged, expected, atol=1e-6)
        self.assertIs(model.sampling_generator, model.ema_generator)


class BatchStatisticsTest(tf.test.TestCase):
    def test_statistics_are_the_mean_over_the_batches(self):
        for ema in (0.0, 0.9):
            with self.subTest(ema=ema):
                model = tiny.model("mdgan", ema=ema)
                batches = [tiny.clips("mdgan", 4, seed) for seed in range(3)]
                model.estimate_batch_statistics(batches)
                first = blocks.batch_norms(model.sampling_generator)[0]  # behind conv1 and conv2
                probe = keras.Model(model.sampling_generator.input, first.input)
                means, variances = [], []
                for clips in batches:
                    repeated = np.repeat(clips[:, :1].numpy(), tiny.FRAMES, axis=1)
                    x = probe(repeated).numpy().astype(np.float64)
                    means.append(x.mean(axis=(0, 1, 2, 3)))
                    variances.append(x.var(axis=(0, 1, 2, 3)))
                self.assertAllClose(first.moving_mean, np.mean(means, axis=0), atol=1e-5)
                self.assertAllClose(first.moving_variance, np.mean(variances, axis=0), atol=1e-5)
                self.assertEqual(first.momentum, 0.9)

    def test_each_batch_meets_latents_of_its_own(self):
        model = tiny.model("vgan")
        clips = tiny.clips("vgan", 4)
        model.estimate_batch_statistics([clips, clips])
        layer = model.generator.get_layer("f_conv1")  # before the first batch normalisation of its stream
        norm = next(n for n in blocks.batch_norms(model.generator) if n.input is layer.output)
        probe = keras.Model(model.generator.input, layer.output)
        latents = [model.draw_latents(tf.constant(4), 100, tf.constant(step)) for step in range(2)]
        means = [probe(z).numpy().astype(np.float64).mean(axis=(0, 1, 2, 3)) for z in latents]
        self.assertAllClose(norm.moving_mean, np.mean(means, axis=0), atol=1e-5)

    def test_no_batches_are_refused_and_change_nothing(self):
        model = tiny.model("vgan")
        before = model.generator.get_weights()
        with self.assertRaisesRegex(ValueError, "no batches"):
            model.estimate_batch_statistics([])
        for a, b in zip(before, model.generator.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_statistics_that_are_not_finite_are_told_and_change_nothing(self):
        model = tiny.model("mdgan")
        before = model.generator.get_weights()
        clips = tiny.clips("mdgan", 4)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            model.estimate_batch_statistics([clips, clips * float("nan")])
        self.assertIn("batch statistics are not finite over 2 batches: they stay as they were", logs.output[0])
        for a, b in zip(before, model.generator.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_an_exception_leaves_momenta_and_statistics_as_they_were(self):
        clips = tiny.clips("vgan_conditional", 4)

        def failing_source():
            yield clips
            raise OSError("the disk is gone")

        model, reference = tiny.model("vgan_conditional"), tiny.model("vgan_conditional")
        before = model.generator.get_weights()
        for batches, error in (
            (failing_source(), OSError),
            ([clips, clips[:, :, :8]], (ValueError, tf.errors.OpError)),  # of another size
        ):
            with self.assertRaises(error):
                model.estimate_batch_statistics(batches)
            for a, b in zip(before, model.generator.get_weights(), strict=True):
                self.assertAllEqual(a, b)
            self.assertEqual({layer.momentum for layer in blocks.batch_norms(model.generator)}, {0.9})
        for either in (model, reference):
            either.estimate_batch_statistics([clips])
        self.assertAllEqual(tiny.weights(model), tiny.weights(reference))

    def test_the_frozen_base_nets_statistics_stay(self):
        model = tiny.model("mdgan", 2, ema=0.9)
        before = model.base_generator.get_weights()
        model.estimate_batch_statistics([tiny.clips("mdgan", 4)])
        for a, b in zip(before, model.base_generator.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_calling_in_training_mode_takes_batch_statistics_in_both_stages(self):
        model = tiny.model("mdgan", 2, ema=0.9)
        frames = tiny.clips("mdgan", 3)[:, 0]
        inference, batch = model(frames), model(frames, training=True)
        for name in ("base", "clip"):
            self.assertGreater(np.abs(inference[name] - batch[name]).max(), 1e-3, name)


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
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                one = self._train(name, stage, 20, None)
                two = self._train(name, stage, 20, self.strategy)
                self.assertAllClose(tiny.weights(one), tiny.weights(two), atol=1e-5)
                averages = [np.ravel(m.ema_generator.get_weights()[0]) for m in (one, two)]
                self.assertAllClose(*averages, atol=1e-5)
                losses = [m.get_metrics_result()["g_loss"] for m in (one, two)]
                self.assertAllClose(*losses, rtol=1e-3)

    def test_xla_on_two_replicas_gives_the_weights_of_plain_graphs(self):
        models = []
        for xla in (False, True):
            with self.strategy.scope():
                model = tiny.model("mdgan", 2, ema=0.9)
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
