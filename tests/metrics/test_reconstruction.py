"""MSE and PSNR by hand, and against float64 NumPy."""

import numpy as np
import tensorflow as tf

from tests.metrics.made_clips import flat_clip, random_clips
from tfvideogan.metrics import reconstruction


class ReconstructionTest(tf.test.TestCase):
    def test_mse_by_hand(self):
        self.assertAllClose(reconstruction.mse(flat_clip([0.0, 0.5]), flat_clip([0.1, 0.0])), (0.01 + 0.25) / 2)

    def test_psnr_is_per_frame_by_hand(self):
        real, generated = flat_clip([0.0, 0.0]), flat_clip([0.2, 0.02])  # MSE 0.04 and 0.0004: 20 and 40 dB of range 2
        self.assertAllClose(reconstruction.psnr(generated, real), 30.0, atol=1e-5)
        self.assertAllClose(reconstruction.psnr(generated, real, data_range=1.0), 30 - 20 * np.log10(2), atol=1e-5)

    def test_an_exact_frame_counts_as_100_db(self):
        real, generated = flat_clip([0.0, 0.0, 0.0]), flat_clip([0.0, 0.2, 1e-6])  # exact, 20 dB, 126 dB
        self.assertAllClose(reconstruction.psnr(generated, real), (100 + 20 + 100) / 3, atol=1e-5)
        decibels = reconstruction.to_psnr(np.array([[0.0, 0.04, 1e-12], [4.41e-10, 3.9e-10, 1.0]]))  # 99.6 and 100.1 dB
        self.assertAllEqual(reconstruction.capped_frames(decibels), [2, 1])

    def test_equal_to_float64(self):
        a, b = random_clips(3, 2, 8, 8, 3), random_clips(3, 2, 8, 8, 3, seed=1)
        errors = np.array([((a[i].astype(np.float64) - b[i]) ** 2).mean() for i in np.ndindex(3, 2)])
        self.assertAllClose(reconstruction.mse(a, b), errors.mean(), rtol=1e-12)
        self.assertAllClose(reconstruction.psnr(a, b), (10 * np.log10(4 / errors)).mean(), rtol=1e-12)


if __name__ == "__main__":
    tf.test.main()
