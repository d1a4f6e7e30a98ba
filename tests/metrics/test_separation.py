"""What moves, what the mask finds and what flickers: by hand, and on sprites whose masks are known."""

import numpy as np
import tensorflow as tf

from tests.metrics.made_clips import flat_clip, random_clips
from tfvideogan.data import clips
from tfvideogan.data.synthetic import Sprites
from tfvideogan.metrics import motion, separation


class SeparationTest(tf.test.TestCase):
    def test_moving_region_by_hand(self):
        values = np.zeros([1, 5, 2, 2, 3], np.float32)
        values[0, 2, 0, 1, 1] = 0.3  # one channel, over the threshold
        values[0, 3, 1, 0] = -0.15  # all channels, under it
        expected = np.zeros([1, 5, 2, 2], bool)
        expected[0, 2, 0, 1] = True
        self.assertAllEqual(separation.moving_region(values), expected)

    def test_moving_region_is_by_the_median_of_any_number_of_frames(self):
        for frames in (1, 2, 5, 32):
            values = random_clips(2, frames, 8, 8, 3)
            still = np.median(values, axis=1, keepdims=True)
            self.assertAllEqual(separation.moving_region(values), (np.abs(values - still) > 0.2).any(axis=-1))

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
        self.assertAllClose(separation.flicker(flat_clip([0.0, 0.05, 0.0, 0.05, 0.0])), 0.05)
        self.assertEqual(separation.flicker(flat_clip([0.5] * 4)), 0.0)
        self.assertTrue(np.isnan(separation.flicker(flat_clip([-1, 1, -1, 1]))))

    def test_flicker_is_of_the_background_and_not_of_the_sprite(self):
        values = clips.to_float(Sprites(32, 32)[0][None]).astype(np.float64)
        region = separation.moving_region(values)
        moving = region[:, 1:] | region[:, :-1]
        expected = np.abs(values[:, 1:] - values[:, :-1]).mean(-1)[~moving].mean()
        self.assertAllClose(separation.flicker(values), expected)
        self.assertLess(separation.flicker(values), 0.1 * motion.mean_frame_difference(values))
        trembling = values + 0.04 * (np.arange(32) % 2)[None, :, None, None, None]
        self.assertAllClose(separation.flicker(trembling), 0.04, atol=0.004)


if __name__ == "__main__":
    tf.test.main()
