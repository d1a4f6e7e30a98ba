"""Optical flow of a texture that is moved by a known way."""

import numpy as np
import tensorflow as tf

from tests.metrics.made_clips import random_clips
from tfvideogan.data.clips import to_uint8
from tfvideogan.metrics import flow


def moving(pixels: int) -> np.ndarray:
    """One clip uint8 [1, 3, 64, 64, 3] of a smooth texture that moves to the right by so many pixels a frame."""
    coarse = random_clips(1, 9, 9, 3)
    texture = tf.image.resize(coarse, [64, 80], "bicubic").numpy()[0]
    return to_uint8(np.stack([texture[:, 8 - pixels * t : 72 - pixels * t] for t in range(3)])[None])


class FlowTest(tf.test.TestCase):
    def test_a_known_motion(self):
        flows = flow.flows(moving(2)[0])
        self.assertEqual(flows.shape, (2, 64, 64, 2))
        self.assertAllClose(flows[:, 8:-8, 8:-8].mean(axis=(0, 1, 2)), [2, 0], atol=0.2)
        self.assertAllClose(flow.speed(moving(2)), 2, atol=0.3)

    def test_the_difference_is_of_ways_and_not_of_pixels(self):
        real = moving(2)
        still = np.repeat(real[:, :1], 3, 1)
        self.assertEqual(flow.difference(real, real), 0.0)
        self.assertAllClose(flow.difference(still, real), flow.speed(real), rtol=1e-3)
        self.assertGreater(flow.difference(real[:, ::-1], real), 1.7 * flow.speed(real))
        self.assertLess(flow.difference(np.uint8(0.9 * real), real), 0.2)


if __name__ == "__main__":
    tf.test.main()
