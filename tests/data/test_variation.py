"""Variation: windows, strides, mirrors, time, crops and colours, each drawn once for a whole clip."""

import collections

import numpy as np
import tensorflow as tf

from tests.data.case import Frames
from tfvideogan.data import pipeline
from tfvideogan.data.indexed import Indexed
from tfvideogan.data.sources import Weighted
from tfvideogan.data.variation import Variation


class VariationTest(tf.test.TestCase):
    """What is drawn of clips of eight frames whose halves differ."""

    def drawn(self, count: int, num_frames: int = 3, first: int = 0, seed: int = 0, **variation):
        """(index, numbers of the frames, mirrored) of each clip."""
        sources = [Weighted(Indexed(Frames(2, 8)), 1.0)]
        variation = Variation(**variation)
        batches = pipeline.training_batches(sources, num_frames, 4, seed, first, variation)
        drawn = []
        for clip in np.concatenate([batch.numpy() for batch in batches.take(count // 4)]):
            left, right = clip[:, 0, 0, 0].astype(int), clip[:, 0, 3, 0].astype(int)
            self.assertAllEqual(np.abs(right - left), [100] * num_frames)
            values = np.minimum(left, right)
            drawn.append((values[0] // 40, (values % 40).tolist(), bool(left[0] > right[0])))
        return drawn

    def test_windows_lie_anywhere(self):
        windows = collections.Counter(tuple(frames) for _, frames, _ in self.drawn(240))
        self.assertEqual(set(windows), {(i, i + 1, i + 2) for i in range(6)})
        self.assertBetween(min(windows.values()), 40 - 24, 40)  # a sixth of 240, sqrt(240 / 6 * 5 / 6) = 5.8
        self.assertBetween(max(windows.values()), 40, 40 + 24)

    def test_strides_are_drawn_evenly_and_stay_within_the_clip(self):
        drawn = [frames for _, frames, _ in self.drawn(240, max_temporal_stride=3)]
        strides = collections.Counter(frames[1] - frames[0] for frames in drawn)
        self.assertEqual(set(strides), {1, 2, 3})
        for count in strides.values():
            self.assertBetween(count, 80 - 30, 80 + 30)  # sqrt(240 * 1/3 * 2/3) = 7.3
        for frames in drawn:
            self.assertEqual(frames[2] - frames[1], frames[1] - frames[0])
        self.assertEqual({frames[0] for frames in drawn if frames[1] - frames[0] == 3}, {0, 1})

    def test_frames_that_a_stride_needs(self):
        """Three frames at stride 3 span seven."""
        self.assertEqual(Variation(3).frames_needed(3), 7)
        self.assertEqual(Variation().frames_needed(16), 16)

    def test_every_second_clip_is_mirrored(self):
        mirrored = [flag for _, _, flag in self.drawn(240, flip=True)]
        self.assertBetween(sum(mirrored), 120 - 31, 120 + 31)  # sqrt(240 / 4) = 7.7
        self.assertNotEqual(mirrored[:10], mirrored[10:20])
        self.assertFalse(any(flag for _, _, flag in self.drawn(40)))

    def test_every_second_clip_runs_backwards(self):
        backwards = [frames[1] < frames[0] for _, frames, _ in self.drawn(240, reverse=True)]
        self.assertBetween(sum(backwards), 120 - 31, 120 + 31)
        mirrored = [(frames[1] < frames[0], flag) for _, frames, flag in self.drawn(240, reverse=True, flip=True)]
        self.assertBetween(sum(back == flag for back, flag in mirrored), 120 - 31, 120 + 31)  # drawn on their own

    def test_a_resumed_run_varies_as_before(self):
        options = {"max_temporal_stride": 3, "flip": True, "reverse": True, "seed": 3}
        whole = self.drawn(40, **options)
        self.assertEqual(self.drawn(40, **options), whole)
        self.assertEqual(self.drawn(16, first=24, **options), whole[24:])
        self.assertNotEqual(self.drawn(40, **options | {"seed": 4}), whole)

    def test_whole_clips_are_left_as_they_are(self):
        self.assertEqual({tuple(frames) for _, frames, _ in self.drawn(16, num_frames=8)}, {tuple(range(8))})


class PictureTest(tf.test.TestCase):
    """What is drawn of clips whose pictures tell what was done to them."""

    def varied(self, clip: np.ndarray, seed: int = 0, **options) -> np.ndarray:
        made = Variation(**options).of(tf.constant(clip), len(clip), tf.constant([seed, 2], tf.int64))
        self.assertEqual((made.dtype, made.shape), (tf.uint8, clip.shape))
        for frame in made.numpy()[1:]:
            self.assertAllEqual(frame, made[0])  # All frames of these clips are one picture.
        return made.numpy()[0].astype(np.float64)

    def test_a_zoom_is_a_square_of_the_frame_whose_size_and_place_are_drawn(self):
        ramps = np.stack(np.broadcast_arrays(np.arange(0, 256, 17)[:, None], np.arange(0, 256, 17), 80), axis=-1)
        clip = np.uint8(np.broadcast_to(ramps, [2, 16, 16, 3]))
        sides, places = [], []
        for seed in range(150):
            picture = self.varied(clip, seed, zoom=2.0)
            down, right = picture[[0, -1], 5, 0], picture[5, [0, -1], 1]
            self.assertNear(np.ptp(down), np.ptp(right), 1.01)
            side = np.ptp(down) / 255
            self.assertBetween(side, 0.495, 1.005)
            sides.append(side)
            places += [first / 255 / (1 - side) for first in (down[0], right[0]) if side < 0.9]
        self.assertNear(np.mean(np.log2(sides)), -0.5, 0.08)  # of an even draw from -1 to 0; 0.29 / sqrt(200) = 0.02
        self.assertNear(np.mean(places), 0.5, 0.08)
        self.assertLess(min(places), 0.1)
        self.assertGreater(max(places), 0.9)

    def test_colours_change_within_the_strength(self):
        """In float64, by the definition of YIQ: brightness is affine in brightness, the plane turns and scales."""
        yiq = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
        picture = np.uint8([[[90, 90, 90], [150, 150, 150]], [[150, 110, 100], [100, 120, 150]]])
        clip = np.broadcast_to(picture, [2, 2, 2, 3])
        found = []
        for seed in range(60):
            (dark, bright), (red, blue) = self.varied(clip, seed, color_jitter=0.3)
            for grey in (dark, bright):
                self.assertLessEqual(np.ptp(grey), 1)
            contrast = (bright[0] - dark[0]) / 60
            offset = bright[0] - 150 - (contrast - 1) * (150 - picture.mean())
            before, after = (np.array(pair, float) @ yiq.T for pair in (picture[1], (red, blue)))
            planes = [colours[:, 1] + 1j * colours[:, 2] for colours in (before, after)]
            ratio = np.mean(planes[1] / planes[0]) / contrast
            found.append((contrast - 1, np.abs(ratio) - 1, offset / 127.5, np.angle(ratio) / (np.pi / 4)))
        for values, slack in zip(np.transpose(found), (0.02, 0.06, 0.02, 0.05), strict=True):
            self.assertLess(np.abs(values).max(), 0.3 + slack)
            self.assertLess(values.min(), -0.2)
            self.assertGreater(values.max(), 0.2)

    def test_values_stay_bytes(self):
        clip = np.uint8(np.broadcast_to([[[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]]]], [2, 4, 4, 3]))
        for seed in range(20):  # what wrapped around would be far from what it was
            self.assertLess(np.abs(self.varied(clip, seed, color_jitter=0.1) - clip[0]).max(), 100)

    def test_nothing_is_done_unasked(self):
        clip = np.uint8(np.broadcast_to(np.arange(48).reshape(4, 4, 3), [2, 4, 4, 3]))
        self.assertAllEqual(self.varied(clip), clip[0])


if __name__ == "__main__":
    tf.test.main()
