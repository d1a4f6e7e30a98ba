"""The one train step, on every model: order, XLA, what is frozen, the moving average."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.steps import train, trained
from tfvideogan.models.adversarial import AdversarialModel


class TrainStepTest(tf.test.TestCase):
    def test_both_players_learn_what_is_frozen_stays_and_fit_gives_the_same_weights(self):
        for name, stage in tiny.DISTINCT:
            with self.subTest(name=name, stage=stage):
                by_step, by_fit = tiny.model(name, stage), tiny.model(name, stage)
                by_step.compile()
                by_fit.compile()
                before = self.of_players(by_step)
                frozen = [w.copy() for w in by_step.base_generator.get_weights()] if stage == 2 else []
                train(by_step, name, 3)
                now = self.of_players(by_step)
                self.assertEmpty([path for path in before if np.array_equal(before[path], now[path])])
                if stage == 2:
                    for was, weight in zip(frozen, by_step.base_generator.get_weights(), strict=True):
                        self.assertAllEqual(was, weight)
                clips = tf.concat([tiny.clips(name, 4, seed) for seed in range(3)], axis=0)
                by_fit.fit(clips, batch_size=4, epochs=1, shuffle=False, verbose=0)
                self.assertAllEqual(tiny.weights(by_fit), tiny.weights(by_step))

    def of_players(self, model: AdversarialModel) -> dict[tuple[str, str], np.ndarray]:
        """Every variable of both players, by player and path."""
        players = {"generator": model.generator, "discriminator": model.discriminator}
        return {(player, v.path): v.numpy().copy() for player, network in players.items() for v in network.variables}

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
        for name, stage in tiny.DISTINCT:
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
        self.assertEqual(set(losses), {"d_loss", "g_loss", *model.loss_names, *model.figure_names})
        self.assertEqual(model.loss_names, ("d_real", "d_fake", "g_adversarial", "g_content"))
        self.assertAllClose(losses["d_loss"], losses["d_real"] + losses["d_fake"], rtol=1e-5)
        self.assertAllClose(losses["g_loss"], losses["g_adversarial"] + losses["g_content"], rtol=1e-5)
        self.assertEqual(float(model.metrics[0].count), 2.0)

    def test_reported_losses_leave_skipped_steps_out(self):
        model = tiny.model("vgan")
        model.compile()
        step = tf.function(model.train_step, autograph=False)
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


class FiguresTest(tf.test.TestCase):
    """What is told beside the losses, of a step that changes nothing since both rates are 0, in float64 NumPy."""

    def step(self, name: str, stage: int, clips: tf.Tensor, **options) -> tuple[dict[str, float], AdversarialModel]:
        model = tiny.model(name, stage)
        model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0), run_eagerly=True, **options)
        model.train_step(clips)
        return {key: float(value) for key, value in model.get_metrics_result().items()}, model

    def test_scores_are_mean_probabilities_of_real(self):
        for name in ("vgan", "mdgan"):
            with self.subTest(name):
                clips = tiny.clips(name, 4)
                found, model = self.step(name, 1, clips)
                made = model.generate(model.generator_inputs(clips, tf.constant(0)), model.generator, training=True)
                for of, x in (("real", clips), ("fake", made["clip"])):
                    judged = model.discriminator(x, training=True)
                    logits = (judged["logits"] if name == "mdgan" else judged).numpy().astype(np.float64)
                    fake_logit = 0.0 if name == "mdgan" else logits[:, 0]
                    expected = np.mean(1 / (1 + np.exp(fake_logit - logits[:, -1])))
                    self.assertAllClose(found[f"d_score_{of}"], expected, atol=1e-6)

    def test_distances_and_gradient_norms_of_stage_2(self):
        clips = tiny.clips("mdgan", 2)
        found, model = self.step("mdgan", 2, clips, gradient_norms=True)
        made = model.generate(clips[:, 0], model.generator, training=True)
        features = {key: model.discriminator(x, training=True) for key, x in (made | {"real": clips}).items()}
        for other in ("real", "base"):
            distance = 0.0
            for layer in ("conv1", "conv3"):
                grams = [self.gram(features[key][layer].numpy().astype(np.float64)) for key in ("clip", other)]
                distance += np.abs(grams[0] - grams[1]).sum(axis=(1, 2)).mean()
            self.assertAllClose(found[f"ranking_distance_{other}"], distance, rtol=1e-4)
        # Of a mean of absolute values, the gradient is the sign divided by their number.
        self.assertAllClose(found["g_content_gradient_norm"], 1 / np.sqrt(np.prod(clips.shape)), rtol=1e-5)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(made)
            terms = model.generator_losses(clips, made)
        for name in ("g_adversarial", "g_ranking"):
            norm = np.linalg.norm(tape.gradient(terms[name], made["clip"]).numpy().ravel())
            self.assertAllClose(found[f"{name}_gradient_norm"], norm, rtol=1e-4)

    def gram(self, features: np.ndarray) -> np.ndarray:
        clips, _, height, width, _ = features.shape
        rows = np.moveaxis(features, -1, 1).reshape(clips, -1, height * width)  # [N, C * T, H * W]
        return np.einsum("nas,nbs->nab", rows, rows) / np.prod(rows.shape[1:])


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

    def test_a_warm_up_begins_at_a_tenth_and_ends_at_the_decay(self):
        model = tiny.model("vgan", ema=0.75, ema_warmup=True)
        model.compile(run_eagerly=True)
        kernel, average = (n.trainable_variables[0] for n in (model.generator, model.ema_generator))
        expected = average.numpy()
        for k, decay in ((0, 1 / 10), (1, 2 / 11), (2, 3 / 12), (25, 26 / 35), (27, 0.75), (1000, 0.75)):
            model.step.assign(k)
            model.train_step(tiny.clips("vgan", 2, seed=k))
            expected = decay * expected + (1 - decay) * kernel.numpy()
            self.assertAllClose(average, expected, atol=1e-7, rtol=1e-5)


if __name__ == "__main__":
    tf.test.main()
