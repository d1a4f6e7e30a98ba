"""What Keras users expect of a model: validation, files, schedules."""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.steps import compiled, state, weights
from tfvideogan.models import registry
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.training import runtime


class EvaluationTest(tf.test.TestCase):
    def test_the_losses_are_those_of_inference(self):
        """By hand: -log softmax of inference logits, in float64."""
        model = compiled("vgan", ema=0.9)
        tiny.shake(model)
        clips = tiny.clips("vgan", 4)
        found = model.evaluate(clips, batch_size=4, verbose=0, return_dict=True)

        samples = model(model.draw_latents(tf.constant(4), 100, tf.constant(-1)))
        real, fake = (model.discriminator(x).numpy().astype(np.float64) for x in (clips, samples["clip"]))

        def cost(logits, target):
            return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[:, target])

        expected = {"d_real": cost(real, 1), "d_fake": cost(fake, 0), "g_adversarial": cost(fake, 1)}
        expected["g_mask_prior"] = 0.1 * samples["mask"].numpy().mean()
        expected["d_loss"] = expected["d_real"] + expected["d_fake"]
        expected["g_loss"] = expected["g_adversarial"] + expected["g_mask_prior"]
        self.assertAllClose(found, expected, atol=1e-6)

    def test_every_model_reports_its_losses_and_evaluation_changes_nothing(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                model = compiled(name, stage, ema=0.9)
                tiny.shake(model)
                before = state(model)
                losses = model.evaluate(tiny.clips(name, 3), batch_size=2, verbose=0, return_dict=True)
                self.assertEqual(set(losses), {"d_loss", "g_loss", *model.loss_names})
                self.assertAllEqual(np.isfinite(list(losses.values())), [True] * len(losses))
                self.assertEqual(state(model).tobytes(), before.tobytes())

    def test_validation_repeats_itself_and_leaves_training_alone(self):
        clips, held_out = tiny.clips("vgan", 8), tiny.clips("vgan", 6, seed=1)
        plain, validated = compiled("vgan"), compiled("vgan")
        plain.fit(clips, batch_size=4, epochs=2, shuffle=False, verbose=0)
        history = validated.fit(
            clips, batch_size=4, epochs=2, shuffle=False, verbose=0, validation_data=held_out
        ).history
        self.assertEqual(state(validated).tobytes(), state(plain).tobytes())
        self.assertNotEqual(*history["val_g_loss"])
        for _ in range(2):
            again = validated.evaluate(held_out, batch_size=4, verbose=0, return_dict=True)
            self.assertEqual(again, {name: history[f"val_{name}"][-1] for name in again})

    def test_each_batch_meets_latents_of_its_own_in_every_evaluation(self):
        model, met = tiny.model("vgan"), []
        model.compile(run_eagerly=True)
        inputs = model.generator_inputs

        def recorded(clips, step, wind):
            met.append((int(step), inputs(clips, step, wind)))
            return met[-1][1]

        model.generator_inputs = recorded
        clips = tiny.clips("vgan", 6)
        model.fit(clips, batch_size=2, epochs=1, verbose=0, validation_data=clips[:4])
        model.evaluate(clips[:4], batch_size=2, verbose=0)
        model.test_on_batch(clips[:2])
        self.assertEqual([step for step, _ in met], [0, 1, 2, -1, -2, -1, -2, -1])
        for step, latents in met:
            self.assertAllEqual(latents, model.draw_latents(tf.constant(2), 100, tf.constant(step)))

    def test_a_clip_weighs_the_same_in_any_batch(self):
        model = compiled("vgan_conditional")
        clips = tiny.clips("vgan_conditional", 5) * np.linspace(0.1, 1.0, 5, dtype=np.float32).reshape(5, 1, 1, 1, 1)
        found = [model.evaluate(clips, batch_size=size, verbose=0, return_dict=True) for size in (5, 4, 2)]
        for losses in found[1:]:
            self.assertAllClose(losses, found[0], rtol=1e-5)

    def test_two_replicas_evaluate_as_one(self):
        for (name, stage), count in ((("vgan", 1), 6), (("mdgan", 2), 7), (("vgan_conditional", 1), 5)):
            with self.subTest(name=name, count=count):  # of 5, the last batch leaves the second replica without a clip
                clips, one = tiny.clips(name, count), compiled(name, stage)
                with runtime.make_strategy("mirrored").scope():
                    two = compiled(name, stage)
                before = weights(two)
                losses = [m.evaluate(clips, batch_size=4, verbose=0, return_dict=True) for m in (one, two)]
                self.assertAllClose(*losses, rtol=1e-5)
                self.assertEqual(weights(two).tobytes(), before.tobytes())

    def test_a_training_batch_that_leaves_a_replica_without_a_clip_is_refused(self):
        with runtime.make_strategy("mirrored").scope():
            model = compiled("vgan")
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "every replica needs a clip of every batch"):
            model.fit(tiny.clips("vgan", 5), batch_size=4, verbose=0)


class SavingTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.path = str(Path(self.create_tempdir().full_path) / "model.keras")

    def saved(self, model: AdversarialModel) -> AdversarialModel:
        model.save(self.path)
        return keras.saving.load_model(self.path)

    def test_a_loaded_model_samples_and_trains_on_as_the_saved_one(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage, ema=0.9)
                schedule = keras.optimizers.schedules.CosineDecay(1e-2, 10)
                model.compile(keras.optimizers.Adam(schedule, beta_1=0.5), run_eagerly=True)
                tiny.shake(model)
                model.train_on_batch(tiny.clips(name, 2))
                loaded = self.saved(model)
                self.assertIs(type(loaded), type(model))
                self.assertEqual(loaded.get_config().keys(), model.get_config().keys())
                for option in ("seed", "ema", "stage", "loss_names", "run_eagerly", "name"):
                    self.assertEqual(getattr(loaded, option), getattr(model, option), option)
                self.assertEqual(state(loaded).tobytes(), state(model).tobytes())
                inputs = tf.random.stateless_uniform([2, *model.sampling_inputs[0].shape[1:]], [0, 1], -1.0, 1.0)
                self.assertAllEqual(loaded(inputs)["clip"], model(inputs)["clip"])
                for one in (model, loaded):
                    one.train_on_batch(tiny.clips(name, 2, seed=1))
                self.assertEqual(int(loaded.step), 2)
                self.assertEqual(state(loaded).tobytes(), state(model).tobytes())

    def test_the_objectives_options_are_kept(self):
        vgan_options = {"mask_prior": 0.25, "first_frame_weight": 0.0}
        for name, options in (
            ("vgan", vgan_options),
            ("vgan_conditional", {"mask_prior": 0.0, "first_frame_weight": 5.0}),
            ("mdgan", {"adversarial_weight": 0.5, "ranking_weight": 2.0}),
        ):
            model = tiny.model(name, 2 if name == "mdgan" else 1)
            for option, value in options.items():
                setattr(model, option, value)
            loaded = self.saved(model)
            self.assertFalse(loaded.compiled)
            self.assertEqual({option: getattr(loaded, option) for option in options}, options)
            self.assertAllEqual(weights(loaded), weights(model))

    def test_copies_and_files_have_the_names_of_all_layers(self):
        """A model's own layers tell by their names what it is (`MDGAN.is_residual`, `drifting_share`)."""
        options = tiny.config("mdgan", residual=True, drift="fused").model
        model = registry.build_model(options, ema=0.9)
        loaded = self.saved(model)
        self.assertTrue(loaded.is_residual)
        for copy in (model.ema_generator, loaded.generator, loaded.ema_generator):
            self.assertContainsSubset(["still", "mask", "generated"], [layer.name for layer in copy.layers])

    def test_float16_and_its_loss_scales_are_kept_under_another_policy(self):
        keras.mixed_precision.set_global_policy("mixed_float16")
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")
        model = tiny.model("vgan")
        model.compile(run_eagerly=True)
        model.generator_update.scale.assign(2.0**9)
        model.discriminator_update.finite_updates.assign(7)
        keras.mixed_precision.set_global_policy("float32")
        loaded = self.saved(model)
        self.assertEqual([update.scales for update in loaded.updates], [True, True])
        self.assertEqual([float(update.scale) for update in loaded.updates], [2.0**9, 2.0**15])
        self.assertEqual(int(loaded.discriminator_update.finite_updates), 7)
        for one in (model, loaded):
            one.train_on_batch(tiny.clips("vgan", 2))
        self.assertEqual(state(loaded).tobytes(), state(model).tobytes())

    def test_a_file_is_loaded_onto_two_replicas(self):
        model = compiled("mdgan", 2)
        model.fit(tiny.clips("mdgan", 4), batch_size=4, verbose=0)
        model.save(self.path)
        with runtime.make_strategy("mirrored").scope():
            two = keras.saving.load_model(self.path)
        self.assertAllEqual(weights(two), weights(model))
        two.fit(tiny.clips("mdgan", 4), batch_size=4, verbose=0)
        self.assertEqual([int(v.numpy()) for v in (two.step, two.skipped)], [2, 0])

    def test_weights_alone_are_saved_and_loaded(self):
        path = self.path.replace(".keras", ".weights.h5")
        model = tiny.model("mdgan", 2, ema=0.9)
        tiny.shake(model)
        model.compile()
        model.step.assign(5)
        model.save_weights(path)
        for into in (tiny.model("mdgan", 2, ema=0.9), compiled("mdgan", 2, ema=0.9)):
            self.assertNotAllEqual(weights(into), weights(model))
            into.load_weights(path)
            self.assertAllEqual(weights(into), weights(model))
        self.assertEqual(int(into.step), 5)

    def test_a_checkpoint_callback_keeps_the_best(self):
        model = compiled("vgan")
        keep = keras.callbacks.ModelCheckpoint(self.path, monitor="val_d_loss", mode="min", save_best_only=True)
        clips = tiny.clips("vgan", 4)
        history = model.fit(clips, batch_size=4, epochs=2, validation_data=clips, verbose=0, callbacks=[keep]).history
        best = keras.saving.load_model(self.path).evaluate(clips, batch_size=4, verbose=0, return_dict=True)
        self.assertAllClose(best["d_loss"], min(history["val_d_loss"]), rtol=1e-6)


class ScheduleTest(tf.test.TestCase):
    def test_a_schedule_counts_the_updates_that_were_taken(self):
        """The rates by hand: 0.01 (1 + cos(pi k / 4)) / 2, set step by step in a second model."""
        scheduled, by_hand = tiny.model("vgan"), tiny.model("vgan")
        schedule = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=4)
        for model, rate in ((scheduled, schedule), (by_hand, 0.01)):
            model.compile(*[keras.optimizers.Adam(rate, epsilon=1e-3) for _ in range(2)], run_eagerly=True)
        for k, rate in enumerate((0.01, 0.01 * (2 + math.sqrt(2)) / 4, 0.005)):
            for optimizer in by_hand.optimizers:
                optimizer.learning_rate = rate
            for model in (scheduled, by_hand):
                if k == 1:
                    model.train_step(tiny.clips("vgan", 2) * math.inf)
                    self.assertEqual(int(model.skipped), 1)
                model.train_step(tiny.clips("vgan", 2, seed=k))
            self.assertEqual([int(optimizer.iterations) for optimizer in scheduled.optimizers], [k + 1, k + 1])
            self.assertAllClose(weights(scheduled), weights(by_hand), atol=1e-6)


if __name__ == "__main__":
    tf.test.main()
