"""The first frame drifting with a wind, against numbers worked by hand and a plain form in float64."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models.drift import drifting_clip
from tfvideogan.models.mdgan import repeat_frame

RANDOM = np.random.default_rng(0)


def interpolated(frame: np.ndarray, wind: np.ndarray, num_frames: int) -> np.ndarray:
    """Pixel by pixel: each takes the four old pixels around the place that it comes from, in float64."""
    count, height, width, _ = frame.shape
    frame = np.concatenate([frame, frame[:, -2:0:-1]], axis=1)
    frame = np.concatenate([frame, frame[:, :, -2:0:-1]], axis=2)  # Now it goes on as in a mirror when it is repeated.
    clip = np.zeros([count, num_frames, height, width, frame.shape[-1]])
    for n, t, row, column in np.ndindex(count, num_frames, height, width):
        y, x = row - t * float(wind[n, 1]) * height, column - t * float(wind[n, 0]) * width
        top, left = int(np.floor(y)), int(np.floor(x))
        for j, i in np.ndindex(2, 2):
            share = (1 - abs(y - top - j)) * (1 - abs(x - left - i))
            clip[n, t, row, column] += share * frame[n, (top + j) % frame.shape[1], (left + i) % frame.shape[2]]
    return clip


class DriftTest(tf.test.TestCase):
    def test_whole_pixels_are_moved_and_the_frame_goes_on_as_in_a_mirror(self):
        frame = RANDOM.uniform(-1, 1, [1, 4, 8, 3]).astype(np.float32)
        clip = drifting_clip(frame, np.float32([[2 / 8, -1 / 4]]), 3)
        columns = ([0, 1, 2, 3, 4, 5, 6, 7], [2, 1, 0, 1, 2, 3, 4, 5], [4, 3, 2, 1, 0, 1, 2, 3])
        rows = ([0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1])
        for t in range(3):
            self.assertAllClose(clip[0, t], frame[0][np.ix_(rows[t], columns[t])], atol=1e-6)

    def test_half_a_pixel_worked_by_hand(self):
        frame = np.float32([0.0, 1.0, -1.0, 0.5] * 2).reshape(1, 2, 4, 1)
        clip = drifting_clip(frame, np.float32([[0.5 / 4, 0.0]]), 2)
        self.assertAllClose(clip[0, 1, 0].ravel(), [0.5, 0.5, 0.0, -0.25])

    def test_any_wind_is_bilinear_and_tensors_are_as_arrays(self):
        frame = RANDOM.uniform(-1, 1, [4, 5, 6, 3]).astype(np.float32)
        wind = np.float32([[0.07, -0.11], [-0.03, 0.2], [0.9, 0.0], [0.0, -1.0]])
        expected = interpolated(frame, wind, 4)
        self.assertAllClose(drifting_clip(frame, wind, 4), expected, atol=1e-5)
        compiled = tf.function(lambda *inputs: drifting_clip(*inputs, 4), jit_compile=True)
        for function in (lambda *inputs: drifting_clip(*inputs, 4), compiled):
            self.assertAllClose(function(tf.constant(frame), tf.constant(wind)), expected, atol=1e-5)

    def test_without_wind_it_is_the_papers_input(self):
        frame = tiny.clips("mdgan", 2)[:, 0]
        self.assertAllEqual(drifting_clip(frame, tf.zeros([2, 2]), 5), repeat_frame(frame, 5))


if __name__ == "__main__":
    tf.test.main()
