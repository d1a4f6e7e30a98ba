"""The two forms of a clip, and the baseline."""

import numpy as np
import tensorflow as tf

from tfvideogan.data import clips


class ClipsTest(tf.test.TestCase):
    def test_ends_of_the_range(self):
        values = clips.to_float(np.array([0, 51, 255], np.uint8))
        self.assertEqual(values.dtype, tf.float32)
        self.assertAllClose(values, [-1.0, -0.6, 1.0])

    def test_every_value_survives_the_round_trip(self):
        values = np.arange(256, dtype=np.uint8)
        self.assertAllEqual(clips.to_uint8(clips.to_float(values)), values)

    def test_to_uint8_rounds_and_clips(self):
        step = 2 / 255
        result = clips.to_uint8(np.array([-1 + 0.4 * step, -1 + 0.6 * step, -7.0, 7.0]))
        self.assertEqual(result.dtype, np.uint8)
        self.assertAllEqual(result, [0, 1, 0, 255])

    def test_half_precision_clips_can_be_shown(self):
        for dtype in (tf.float16, tf.bfloat16):
            self.assertAllEqual(clips.to_uint8(tf.constant([-1.0, 0.5, 1.0], dtype)), [0, 191, 255])

    def test_persistence_repeats_the_first_frame(self):
        values = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1, 1)
        self.assertAllEqual(clips.persistence(values).ravel(), [0, 0, 0, 3, 3, 3])
