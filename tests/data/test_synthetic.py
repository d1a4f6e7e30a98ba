"""The built-in clips: repeatable, split apart, and moving as they say."""

import numpy as np
import tensorflow as tf

from tfvideogan.data.scenes import Scenes
from tfvideogan.data.skies import Skies, SkiesCommonWind
from tfvideogan.data.synthetic import Moves, Sky, Sprites

KINDS = (Sky, Sprites, Moves, Skies, SkiesCommonWind, Scenes)
# Of each class of `moves`: how far a shape goes on from its start, across and down, and which way round, by the signs.
MOTIONS = {
    "right": (1, 0, 0), "left": (-1, 0, 0), "down": (0, 1, 0), "up": (0, -1, 0), "clockwise": (0, 0, 1),
    "anticlockwise": (0, 0, -1), "to and fro": (0, 0, 0), "up and down": (0, 0, 0),
}  # fmt: skip


class RepeatableTest(tf.test.TestCase):
    def test_a_clip_is_a_function_of_seed_split_and_index(self):
        for kind in KINDS:
            with self.subTest(kind=kind.__name__):
                clip = kind(16, 4, "train", seed=3)[5]
                self.assertEqual((clip.shape, clip.dtype), ((4, 16, 16, 3), np.uint8))
                source = kind(16, 4, "train", seed=3)
                others = [source[4], kind(16, 4, "test", seed=3)[5], kind(16, 4, "train", seed=4)[5]]
                self.assertAllEqual(source[5], clip)  # also after other clips have been made
                self.assertTrue(all(np.abs(clip.astype(int) - other).mean() > 2 for other in others))

    def test_kinds_differ(self):
        self.assertLen({kind(16, 2)[0].tobytes() for kind in KINDS}, len(KINDS))

    def test_the_same_clip_at_every_frame_size(self):
        for kind in KINDS:
            for size in (16, 32):
                with self.subTest(kind=kind.__name__, size=size):
                    small, large = (kind(s, 4)[0].astype(float) for s in (size, 2 * size))
                    halved = large.reshape(4, size, 2, size, 2, 3).mean(axis=(2, 4))
                    self.assertLess(np.abs(small - halved).mean(), 5)  # two clips differ by 30 and more

    def test_length_and_bounds(self):
        for kind in KINDS:
            source = kind(16, 2, num_clips=3)
            self.assertLen(list(source), 3)
            for index in (-1, 3):
                with self.subTest(kind=kind.__name__, index=index), self.assertRaises(IndexError):
                    source[index]

    def test_unknown_split(self):
        for kind in KINDS:
            with self.assertRaisesRegex(ValueError, "validation"):
                kind(16, 2, "validation")


class SkyTest(tf.test.TestCase):
    SIZE, FRAMES = 125, 8  # the wind is then 6 whole pixels a frame
    PIXELS = round(Sky.WIND * 32 * SIZE / FRAMES)

    def test_one_wind_moves_all_clouds(self):
        source = Sky(self.SIZE, self.FRAMES)
        for index in range(4):
            sky = source[index][:, : int(0.78 * self.SIZE)].astype(int)
            for t in (1, self.FRAMES - 1):
                with self.subTest(index=index, frame=t):
                    shift = t * self.PIXELS
                    self.assertAllClose(sky[t, :, shift:], sky[0, :, :-shift], atol=1)
                    self.assertGreater(np.abs(sky[t] - sky[0]).mean(), 2)  # copying is no prediction

    def test_the_land_is_still(self):
        for index in range(8):
            land = Sky(32, self.FRAMES)[index][:, round(0.92 * 32) :]
            self.assertAllEqual(land, np.broadcast_to(land[:1], land.shape))


class SpritesTest(tf.test.TestCase):
    def test_the_mask_is_where_the_clip_differs_from_its_median(self):
        for index in range(8):
            with self.subTest(index=index):
                clip, mask = Sprites(32, 32).clip_and_mask(index)
                self.assertEqual((mask.shape, mask.dtype), ((32, 32, 32), bool))
                differs = (np.abs(clip - np.median(clip, axis=0)) > 20).any(axis=-1)
                self.assertGreater((differs & mask).sum() / (differs | mask).sum(), 0.75)

    def test_the_background_is_still(self):
        for index in range(8):
            clip, mask = Sprites(32, 16).clip_and_mask(index)
            edged = np.pad(mask, [(0, 0), (1, 1), (1, 1)])  # the rim is antialiased: one pixel around is not judged
            touched = np.any([edged[:, y : y + 32, x : x + 32] for y in range(3) for x in range(3)], axis=0)
            seen = np.ma.masked_array(clip, np.broadcast_to(touched[..., None], clip.shape))
            with self.subTest(index=index):
                self.assertGreater(touched.mean(), 0.03)
                self.assertEqual(np.ma.max(seen.max(axis=0).astype(int) - seen.min(axis=0)), 0)

    def test_hardly_a_clip_has_a_pixel_covered_for_half_of_it(self):
        for frames in (16, 32):
            source = Sprites(32, frames)
            longest = np.array([source.clip_and_mask(index)[1].mean(axis=0).max() for index in range(100)])
            with self.subTest(frames=frames):
                self.assertLessEqual((longest >= 0.5).mean(), 0.05)
                self.assertLess(longest.max(), 0.6)

    def test_the_shape_crosses_the_frame(self):
        for index in range(8):
            mask = Sprites(32, 16).clip_and_mask(index)[1]
            self.assertTrue(mask.any(axis=(1, 2)).all())
            first, last = (np.argwhere(mask[t]).mean(axis=0) for t in (0, -1))
            self.assertGreater(np.hypot(*(last - first)), 0.5 * 32)

    def test_clip_and_mask_is_the_clip(self):
        source = Sprites(16, 4)
        self.assertAllEqual(source[2], source.clip_and_mask(2)[0])


class MovesTest(tf.test.TestCase):
    def test_the_motion_is_that_of_the_class(self):
        source = Moves(32, 16, num_clips=16)
        self.assertEqual(Moves.CLASSES, tuple(MOTIONS))
        for index in range(16):
            kind = Moves.CLASSES[source.label(index)]
            masks = source.clip_and_mask(index)[1]
            y, x = np.array([np.argwhere(mask).mean(axis=0) for mask in masks]).T  # pixels
            twice_the_area = np.sum((x[:-1] - x.mean()) * np.diff(y) - (y[:-1] - y.mean()) * np.diff(x))
            with self.subTest(index=index, kind=kind):
                found = np.sign(np.round([(x[-1] - x[0]) / 12, (y[-1] - y[0]) / 12, twice_the_area / 300]))
                self.assertAllEqual(found, MOTIONS[kind])
                if kind in ("to and fro", "up and down"):
                    self.assertEqual((np.ptp(x) > 8, np.ptp(y) > 8), (kind == "to and fro", kind == "up and down"))
