"""Clips that `fit` and `evaluate` refuse, and those that they take."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.steps import SHAPE, compiled


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


if __name__ == "__main__":
    tf.test.main()
