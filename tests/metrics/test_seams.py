"""Seams: by hand, on changes that are known."""

import numpy as np
import tensorflow as tf

from tfvideogan.metrics import motion, seams


class SeamsTest(tf.test.TestCase):
    # Frame 0 has no change; frames 1 to 6 change by these.
    CHANGES = np.array([[1.0, 1.0, 6.0, 2.0, 1.0, 0.5], [1.0, 1.0, 2.0, 2.0, 1.0, 0.5]])

    def test_changes_are_of_each_frame_from_the_one_before(self):
        clip = np.zeros([1, 3, 2, 2, 3], np.float32)
        clip[0, 1], clip[0, 2, 0] = 0.5, 1.0
        self.assertAllClose(motion.frame_changes(clip), [[0.5, 0.5]])  # half a picture by 0.5, the other by -0.5
        clip[0, 2] = -0.5
        self.assertAllClose(motion.frame_changes(clip), [[0.5, 1.0]])

    def test_the_ratio_by_hand(self):
        self.assertAllClose(seams.seam_ratio(self.CHANGES, [3, 4]), 3.0 / 0.875)
        self.assertAllClose(seams.seam_ratio(np.full([3, 9], 0.2), [4]), 1.0)

    def test_where_there_is_nothing_to_compare_there_is_no_ratio(self):
        for changes, at in ((self.CHANGES, []), (self.CHANGES, [0]), (self.CHANGES, range(7)), (np.zeros([1, 4]), [2])):
            self.assertAllEqual(seams.seam_ratio(changes, at), np.nan)

    def test_motion_that_dies_away(self):
        self.assertAllClose(seams.motion_kept(self.CHANGES, 3), 0.75 / 1.0)
        self.assertAllEqual(seams.motion_kept(np.zeros([1, 4]), 3), np.nan)


if __name__ == "__main__":
    tf.test.main()
