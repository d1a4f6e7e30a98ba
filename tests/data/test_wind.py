"""The wind of clips whose motion is known."""

import cv2
import numpy as np
import tensorflow as tf

from tfvideogan.data import pipeline, wind
from tfvideogan.data.sources import Indexed, Weighted
from tfvideogan.data.synthetic import Sky
from tfvideogan.data.variation import Variation
from tfvideogan.models.drift import drifting_clip


def moving(u: float, v: float, size: int = 64, num_frames: int = 6, seed: int = 0) -> np.ndarray:
    """A soft texture of which a window moves, uint8 [T, size, size, 3]: (u, v) in pixels a frame."""
    noise = np.random.default_rng(seed).uniform(0, 255, [2 * size, 2 * size, 3]).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), size / 20)
    noise = 255 * (noise - noise.min()) / (noise.max() - noise.min())
    middle = (size - 0.5, size - 0.5)
    frames = [cv2.getRectSubPix(noise, (size, size), (middle[0] - t * u, middle[1] - t * v)) for t in range(num_frames)]
    return np.rint(frames).astype(np.uint8)


class MeasureTest(tf.test.TestCase):
    def test_what_moves_right_and_down_has_a_positive_wind(self):
        for u, v in ((1.0, 0.5), (-1.5, 0.0), (0.0, -1.0)):
            measured = wind.measure(moving(u, v))
            self.assertEqual((measured.dtype, measured.shape), (np.float32, (2,)))
            self.assertAllClose(measured * 64, [u, v], atol=0.15)

    def test_it_does_not_depend_on_the_size_of_frames(self):
        clip = moving(2.0, 0.0, size=128)
        half = np.stack([cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in clip])
        self.assertAllClose(wind.measure(half), wind.measure(clip), atol=1e-3)

    def test_a_frame_that_it_moves_resembles_the_later_frames(self):
        for index in range(3):
            clip = Sky(64, 16)[index]
            measured = wind.measure(clip)
            first, errors = clip[:1].astype(np.float32), []
            for factor in (1, 0, -1):
                moved = drifting_clip(first, factor * measured[np.newaxis], 16)[0]
                errors.append(np.mean((moved - clip) ** 2))
            self.assertEqual(errors, sorted(errors))

    def test_a_moment_of_another_motion_does_not_count(self):
        clip = moving(1.0, 0.0, num_frames=9)
        clip[4] = moving(0.0, 0.0, seed=1)[0]  # such as a flash
        self.assertAllClose(wind.measure(clip) * 64, [1.0, 0.0], atol=0.15)

    def test_of_long_clips_some_pairs_of_frames_are_enough(self):
        self.assertAllClose(wind.measure(moving(0.5, 0.0, num_frames=40)) * 64, [0.5, 0.0], atol=0.1)

    def test_one_colour_has_no_wind(self):
        self.assertAllEqual(wind.measure(np.full([3, 16, 16, 3], 90, np.uint8)), [0.0, 0.0])


class Drifting:
    """Two clips that move to the right, for `Indexed`."""

    frame_size = 32

    def __init__(self):
        self.clips = [moving(0.5, 0.0, 32, num_frames=13, seed=seed) for seed in range(2)]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.clips[index]


class PipelineTest(tf.test.TestCase):
    def test_wind_is_that_of_the_clip_as_it_was_varied(self):
        variation = Variation(max_temporal_stride=3, flip=True, zoom=1.5)
        sources = [Weighted(Indexed(Drifting()), 1.0)]
        batches = pipeline.training_batches(sources, 5, 8, seed=1, variation=variation, with_wind=True)
        self.assertEqual(batches.element_spec[1], tf.TensorSpec([8, 2], tf.float32))
        winds = []
        for clips, wind_of_batch in batches.take(2):
            levels = clips if clips.dtype == tf.uint8 else tf.cast(tf.round((clips + 1) * 127.5), tf.uint8)
            for clip, measured in zip(levels.numpy(), wind_of_batch.numpy(), strict=True):
                self.assertAllEqual(wind.measure(clip), measured)
                winds.append(measured[0] * 32)
        self.assertGreater(max(winds), 0.7)  # half a pixel a frame, times strides up to 3, in both directions
        self.assertLess(min(winds), -0.7)


if __name__ == "__main__":
    tf.test.main()
