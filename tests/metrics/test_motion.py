"""Motion by hand, and against float64 NumPy."""

import numpy as np
import tensorflow as tf

from tests.metrics.made_clips import flat_clip, random_clips
from tfvideogan.data import clips
from tfvideogan.metrics import motion


class MotionTest(tf.test.TestCase):
    def test_mean_frame_difference_by_hand(self):
        self.assertAllClose(motion.mean_frame_difference(flat_clip([0.0, 0.3, -0.1])), (0.3 + 0.4) / 2)
        whole = flat_clip([200, 10, 200]).astype(np.uint8)
        self.assertEqual(motion.mean_frame_difference(whole), 190)  # no wrap

    def test_motion_is_linear_and_none_where_nothing_moves(self):
        real = random_clips(2, 4, 8, 8, 3)
        moving = motion.mean_frame_difference(real)
        self.assertAllClose(moving, np.abs(real[:, 1:].astype(np.float64) - real[:, :-1]).mean())
        self.assertAllClose(motion.ratio(motion.mean_frame_difference(0.25 * real), moving), 0.25)
        self.assertEqual(motion.mean_frame_difference(clips.persistence(real)), 0.0)

    def test_a_still_real_clip_gives_no_ratio_and_no_error(self):
        for generated in (0.0, 0.5):
            self.assertFalse(np.isfinite(motion.ratio(generated, 0.0)))


if __name__ == "__main__":
    tf.test.main()
