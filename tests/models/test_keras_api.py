"""What Keras users expect of a model: validation, refusals, files, schedules; and what it says of itself."""

import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models import mdgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs.state import for_training
from tfvideogan.training import runtime

SHAPE = (4, 16, 16, 3)  # of the clips of a tiny `vgan`


def compiled(name: str, stage: int = 1, **options) -> AdversarialModel:
    model = tiny.model(name, stage, **options)
    model.compile()
    return model


def state(model: AdversarialModel) -> np.ndarray:
    """All that a checkpoint holds of a compiled model, as one vector."""
    return np.concatenate([np.ravel(v.numpy()) for part in for_training(model).values() for v in part.values()])


def weights(model: AdversarialModel) -> np.ndarray:
    """Those of all networks, the frozen and the averaged one, too."""
    return np.concatenate([np.ravel(w) for network in model.networks.values() for w in network.get_weights()])


class DescriptionTest(tf.test.TestCase):
    def test_a_model_says_what_it_is(self):
        players = ["generator", "discriminator"]
        for (name, stage), predicts, mask, stages, repeats, networks in (
            (("vgan", 1), False, True, 1, False, players),
            (("vgan_one_stream", 1), False, False, 1, False, players),
            (("vgan_conditional", 1), True, True, 1, False, players),
            (("mdgan", 1), True, False, 2, True, players),
            (("mdgan", 2), True, False, 2, True, ["base", *players]),
        ):
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage)
                self.assertEqual((model.stage, model.num_stages), (stage, stages))
                self.assertEqual((model.predicts, model.has_mask, model.repeats_frame), (predicts, mask, repeats))
                self.assertEqual(list(model.networks), networks)
                size = tiny.frame_size(name)
                self.assertEqual(model.clip_shape, (tiny.FRAMES, size, size, 3))
                self.assertEqual((model.num_frames, model.frame_size), (tiny.FRAMES, size))

    def test_the_sampling_input_is_what_the_model_is_called_on(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage)
                spec = model.sampling_input
                expected = [None, *model.clip_shape[1:]] if model.predicts else [None, 100]
                self.assertEqual(spec.shape.as_list(), expected)
                self.assertEqual((spec.name, spec.dtype), ("frame" if model.predicts else "latents", tf.float32))
                outputs = model(tf.zeros([2, *spec.shape[1:]]))
                self.assertEqual(outputs["clip"].shape, [2, *model.clip_shape])
                self.assertEqual("mask" in outputs, model.has_mask)

    def test_a_sample_passes_the_sampling_networks_in_order(self):
        for (name, stage), ema, expected in (
            (("vgan_one_stream", 1), 0.0, ["generator"]),
            (("mdgan", 1), 0.9, ["ema_generator"]),
            (("mdgan", 2), 0.0, ["base", "generator"]),
            (("mdgan", 2), 0.9, ["base", "ema_generator"]),
        ):
            with self.subTest(name=name, stage=stage, ema=ema):
                model = tiny.model(name, stage, ema=ema)
                tiny.shake(model)
                self.assertEqual(list(model.sampling_networks), expected)
                self.assertEqual(list(model.sampling_state()), expected)
                inputs = tf.random.stateless_uniform([2, *model.sampling_input.shape[1:]], [0, 1], -1.0, 1.0)
                x = mdgan.repeat_frame(inputs, model.num_frames) if model.repeats_frame else inputs
                for network in model.sampling_networks.values():
                    x = network(x)
                self.assertAllClose(x["clip"] if isinstance(x, dict) else x, model(inputs)["clip"], atol=1e-6)

    def test_predict_samples(self):
        model = tiny.model("mdgan", 2)
        frames = tiny.clips("mdgan", 3)[:, 0]
        predicted = model.predict(frames, batch_size=2, verbose=0)
        self.assertAllClose(predicted, model(frames), atol=1e-6)


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

        def recorded(clips, step):
            met.append((int(step), inputs(clips, step)))
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


class ChecksTest(tf.test.TestCase):
    """Without training: `fit` and `evaluate` refuse before their first step."""

    WANTED = r"^clips must be floats \[N, T, H, W, 3\] in \[-1, 1\], here \[N, 4, 16, 16, 3\]"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = compiled("vgan")
        cls.clips = tiny.clips("vgan", 4).numpy()

    def assert_refused(self, received: str, x, *targets, **options) -> None:
        before = int(self.model.step)
        calls = [lambda: self.model.fit(x, *targets, verbose=0, **options),
                 lambda: self.model.evaluate(x, *targets, verbose=0, **options)]  # fmt: skip
        if not targets:
            calls.append(lambda: self.model.fit(self.clips, validation_data=x, verbose=0))
        for call in calls:
            with self.assertRaisesRegex(ValueError, f"{self.WANTED}.*Received: {received}$"):
                call()
        self.assertEqual(int(self.model.step), before)

    def test_wrong_shapes_are_refused(self):
        for shape in ((8, 16, 16, 3), (4, 32, 16, 3), (4, 16, 16, 1), (16, 16, 3), (4, 4, 16, 16, 3)):
            with self.subTest(shape=shape):
                shown = ", ".join(map(str, (2, *shape)))
                self.assert_refused(rf"float32 \({shown}\)", np.zeros([2, *shape], np.float32))
        self.assert_refused(r"float32 \(0, 4, 16, 16, 3\)", self.clips[:0])

    def test_integers_are_refused_with_how_to_convert_them(self):
        pixels = np.zeros([2, *SHAPE], np.uint8)
        for x in (pixels, tf.constant(pixels)):
            self.assert_refused(r"uint8 \(2, 4, 16, 16, 3\)", x)
        with self.assertRaisesRegex(ValueError, r"from uint8: tf.cast\(clips, tf.float32\) / 127.5 - 1.0"):
            self.model.fit(pixels)

    def test_values_out_of_range_are_refused(self):
        for low, high, shown in ((0, 255, r"\[0, 255\]"), (-1, 1.01, r"\[-1, 1.01\]"), (-2, 0, r"\[-2, 0\]")):
            x = np.stack([np.full(SHAPE, value, np.float32) for value in (low, high)])
            self.assert_refused(rf"float32 \(2, 4, 16, 16, 3\) in {shown}", x)
        self.assert_refused(r"float32 \(4, 4, 16, 16, 3\) in \[nan, nan\]", self.clips * np.nan)

    def test_the_whole_length_of_an_array_is_sampled(self):
        clips = np.zeros([1000, *SHAPE], np.float32)
        clips[-40:] = 3.0
        self.assert_refused(r"float32 \(1000, 4, 16, 16, 3\) in \[0, 3\]", clips)

    def test_what_comes_beside_the_clips_is_refused(self):
        self.assert_refused("tuple of 2", self.clips, np.zeros([4]))
        self.assert_refused("tuple of 2", (self.clips, np.zeros([4])))
        self.assert_refused("list of 2", [self.clips, self.clips])
        self.assert_refused("dict of 1", {"clip": self.clips})
        self.assert_refused("tuple of 2", tf.data.Dataset.from_tensor_slices((self.clips, np.zeros([4]))).batch(2))
        with self.assertRaisesRegex(ValueError, "Received: NoneType$"):
            self.model.fit()

    def test_data_sets_are_checked_by_their_spec_and_first_batch(self):
        def batches(clips):
            return tf.data.Dataset.from_tensor_slices(clips).batch(2)

        self.assert_refused(r"uint8 \(None, 4, 16, 16, 3\)", batches(np.zeros([2, *SHAPE], np.uint8)))
        self.assert_refused(r"float32 \(4, 16, 16, 3\)", batches(self.clips).unbatch())
        self.assert_refused(r"float32 \(2, 4, 16, 16, 3\) in \[0, 255\]", batches(abs(self.clips) // 1e-9 % 2 * 255))
        unknown = tf.data.Dataset.from_generator(
            lambda: iter([self.clips[:, :2]]), output_signature=tf.TensorSpec(None, tf.float32)
        )
        self.assert_refused(r"float32 \(4, 2, 16, 16, 3\)", unknown)

    def test_a_data_set_is_read_once_for_the_check_and_whole_by_every_epoch(self):
        begun, read = [], []

        def batches():
            begun.append(True)
            for number in range(3):
                read.append(number)
                yield self.clips

        spec = tf.TensorSpec([None, *SHAPE], tf.float32)
        dataset = tf.data.Dataset.from_generator(batches, output_signature=spec)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(3))
        self.model.fit(self.clips, epochs=2, validation_data=dataset, verbose=0)
        self.assertLen(begun, 3)
        self.assertEqual(read[-6:], [0, 1, 2, 0, 1, 2])
        self.assertEqual(float(self.model.metrics[0].count), 12.0)
        self.assertLen(self.model.evaluate(dataset, verbose=0), 6)
        self.assertLen(begun, 5)

    def test_clips_alone_are_taken_however_keras_packs_them(self):
        expected = self.model.evaluate(self.clips, batch_size=4, verbose=0)
        dataset = tf.data.Dataset.from_tensors(self.clips)
        for x in (
            *([self.clips], (self.clips,), (self.clips, None), self.clips.astype(np.float64), tf.constant(self.clips)),
            *(dataset, dataset.map(lambda clips: (clips,)), ((clips,) for clips in [self.clips])),
        ):
            self.assertAllClose(self.model.evaluate(x, batch_size=4, verbose=0), expected, atol=1e-6)
        self.assertAllClose(self.model.test_on_batch(self.clips.astype(np.float64)), expected, atol=1e-6)

    def test_a_step_refuses_what_could_not_be_checked_before(self):
        for clips, received in ((self.clips[:, :2], r"float32 \(4, 2, 16, 16, 3\)"), ((self.clips, 1), "tuple of 2")):
            for step in (self.model.train_step, self.model.test_step):
                with self.assertRaisesRegex(ValueError, f"Received: {received}$"):
                    step(clips)
        with self.assertRaisesRegex(ValueError, r"Received: float32 \(None, 2, 16, 16, 3\)"):
            self.model.fit(((clips,) for clips in [self.clips[:, :2]]), shuffle=False, verbose=0)

    def test_clips_that_may_be_in_0_to_1_are_told(self):
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            self.model.evaluate(abs(self.clips), verbose=0)
        self.assertIn("must be in [-1, 1], and may be in [0, 1]", logs.output[0])
        with self.assertNoLogs("tfvideogan", "WARNING"):
            self.model.evaluate(self.clips, verbose=0)

    def test_before_compile_keras_says_so(self):
        model = tiny.model("vgan")
        for call in (model.fit, model.evaluate):
            with self.assertRaisesRegex(ValueError, r"must call `compile\(\)` before"):
                call(self.clips, verbose=0)


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
                inputs = tf.random.stateless_uniform([2, *model.sampling_input.shape[1:]], [0, 1], -1.0, 1.0)
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
