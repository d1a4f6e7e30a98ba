"""The metrics: by hand, and against independent forms in float64 NumPy."""

import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import structural_similarity

from tfvideogan.data import clips
from tfvideogan.data.synthetic import Sprites
from tfvideogan.metrics import motion, reconstruction, separation, ssim


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=shape).astype(np.float32)


def clip_of(frames) -> np.ndarray:
    """One clip [1, T, 8, 8, 3] of flat frames."""
    return np.array(frames, np.float32)[None, :, None, None, None] * np.ones([1, 1, 8, 8, 3], np.float32)


def ssim_reference(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """Wang et al. 2004 on one channel: 7x7 windows inside the frame, sample (co)variances."""
    a, b = (sliding_window_view(x.astype(np.float64), (7, 7)).reshape(-1, 49) for x in (a, b))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    (ma, mb), cov = (
        (a.mean(1), b.mean(1)),
        ((a - a.mean(1, keepdims=True)) * (b - b.mean(1, keepdims=True))).sum(1) / 48,
    )
    structure = (2 * cov + c2) / (a.var(1, ddof=1) + b.var(1, ddof=1) + c2)
    return float(((2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * structure).mean())


class ReconstructionTest(tf.test.TestCase):
    def test_mse_by_hand(self):
        self.assertAllClose(reconstruction.mse(clip_of([0.0, 0.5]), clip_of([0.1, 0.0])), (0.01 + 0.25) / 2)

    def test_psnr_is_per_frame_by_hand(self):
        real, generated = clip_of([0.0, 0.0]), clip_of([0.2, 0.02])  # MSE 0.04 and 0.0004: 20 and 40 dB of range 2
        self.assertAllClose(reconstruction.psnr(generated, real), 30.0, atol=1e-5)
        self.assertAllClose(reconstruction.psnr(generated, real, data_range=1.0), 30 - 20 * np.log10(2), atol=1e-5)

    def test_an_exact_frame_has_infinite_psnr(self):
        self.assertEqual(reconstruction.psnr(clip_of([0.0, 0.5]), clip_of([0.0, 0.0])), np.inf)

    def test_equal_to_float64(self):
        a, b = random(3, 2, 8, 8, 3), random(3, 2, 8, 8, 3, seed=1)
        errors = np.array([((a[i].astype(np.float64) - b[i]) ** 2).mean() for i in np.ndindex(3, 2)])
        self.assertAllClose(reconstruction.mse(a, b), errors.mean(), rtol=1e-12)
        self.assertAllClose(reconstruction.psnr(a, b), (10 * np.log10(4 / errors)).mean(), rtol=1e-12)


class SsimTest(tf.test.TestCase):
    def test_equal_to_scikit_image_on_one_frame(self):
        a, b = random(1, 1, 16, 16, 3), random(1, 1, 16, 16, 3, seed=1)
        expected = structural_similarity(a[0, 0], b[0, 0], channel_axis=-1, data_range=2)
        self.assertAllClose(ssim.ssim(a, b), expected, rtol=1e-5)

    def test_equal_to_its_definition_over_frames_and_clips(self):
        a = random(2, 3, 12, 12, 3)
        b = np.clip(a + 0.3 * random(2, 3, 12, 12, 3, seed=1), -1, 1)
        for data_range in (2.0, 1.0):
            frames = np.ndindex(2, 3, 3)
            expected = np.mean([ssim_reference(a[n, t, ..., c], b[n, t, ..., c], data_range) for n, t, c in frames])
            self.assertAllClose(ssim.ssim(a, b, data_range), expected, rtol=1e-9)

    def test_equal_clips_score_one(self):
        self.assertAllClose(ssim.ssim(random(1, 2, 8, 8, 3), random(1, 2, 8, 8, 3)), 1.0)


class MotionTest(tf.test.TestCase):
    def test_mean_frame_difference_by_hand(self):
        self.assertAllClose(motion.mean_frame_difference(clip_of([0.0, 0.3, -0.1])), (0.3 + 0.4) / 2)
        whole = clip_of([200, 10, 200]).astype(np.uint8)
        self.assertEqual(motion.mean_frame_difference(whole), 190)  # no wrap

    def test_motion_is_linear_and_none_where_nothing_moves(self):
        real = random(2, 4, 8, 8, 3)
        moving = motion.mean_frame_difference(real)
        self.assertAllClose(moving, np.abs(real[:, 1:].astype(np.float64) - real[:, :-1]).mean())
        self.assertAllClose(motion.ratio(motion.mean_frame_difference(0.25 * real), moving), 0.25)
        self.assertEqual(motion.mean_frame_difference(clips.persistence(real)), 0.0)

    def test_a_still_real_clip_gives_no_ratio_and_no_error(self):
        for generated in (0.0, 0.5):
            self.assertFalse(np.isfinite(motion.ratio(generated, 0.0)))


class SeparationTest(tf.test.TestCase):
    def test_moving_region_by_hand(self):
        values = np.zeros([1, 5, 2, 2, 3], np.float32)
        values[0, 2, 0, 1, 1] = 0.3  # one channel, over the threshold
        values[0, 3, 1, 0] = -0.15  # all channels, under it
        expected = np.zeros([1, 5, 2, 2], bool)
        expected[0, 2, 0, 1] = True
        self.assertAllEqual(separation.moving_region(values), expected)

    def test_moving_region_finds_the_sprites(self):
        for index in range(4):
            clip, mask = Sprites(32, 32).clip_and_mask(index)
            region = separation.moving_region(clips.to_float(clip[None]))
            self.assertGreater(separation.mask_iou(mask[None].astype(np.float32), region), 0.75)

    def test_mask_iou_by_hand(self):
        cases = {  # mask, region: intersection over union
            "part": ([0.9, 0.6, 0.2, 0.1], [1, 0, 1, 0], 1 / 3),
            "equal": ([0.9, 0.6, 0.2, 0.1], [1, 1, 0, 0], 1.0),
            "at the threshold is off": ([0.5, 0.51, 0.0, 0.0], [0, 1, 0, 0], 1.0),
            "apart": ([0.9, 0.0, 0.0, 0.0], [0, 1, 1, 0], 0.0),
            "empty mask": ([0.0] * 4, [1, 0, 0, 0], 0.0),
            "empty region": ([1.0] * 4, [0] * 4, 0.0),
            "both empty": ([0.0] * 4, [0] * 4, np.nan),
        }
        masks, regions, scores = zip(*cases.values(), strict=True)
        masks = np.array(masks, np.float32).reshape(-1, 1, 2, 2)
        regions = np.array(regions, bool).reshape(-1, 1, 2, 2)
        for name, mask, region, score in zip(cases, masks, regions, scores, strict=True):
            with self.subTest(name):
                self.assertAllClose(separation.mask_iou(mask[None], region[None]), score)
        self.assertAllClose(separation.mask_iou(masks, regions), np.nanmean(scores))  # per clip, then the mean

    def test_flicker_by_hand(self):
        self.assertAllClose(separation.flicker(clip_of([0.0, 0.05, 0.0, 0.05, 0.0])), 0.05)
        self.assertEqual(separation.flicker(clip_of([0.5] * 4)), 0.0)
        self.assertTrue(np.isnan(separation.flicker(clip_of([-1, 1, -1, 1]))))

    def test_flicker_is_of_the_background_and_not_of_the_sprite(self):
        values = clips.to_float(Sprites(32, 32)[0][None]).astype(np.float64)
        region = separation.moving_region(values)
        moving = region[:, 1:] | region[:, :-1]
        expected = np.abs(values[:, 1:] - values[:, :-1]).mean(-1)[~moving].mean()
        self.assertAllClose(separation.flicker(values), expected)
        self.assertLess(separation.flicker(values), 0.1 * motion.mean_frame_difference(values))
        trembling = values + 0.04 * (np.arange(32) % 2)[None, :, None, None, None]
        self.assertAllClose(separation.flicker(trembling), 0.04, atol=0.004)
