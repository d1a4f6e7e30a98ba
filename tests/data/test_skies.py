"""Built-in skies: their wind is the motion of their clouds, land stands still, and they are many."""

import itertools

import cv2
import numpy as np
import tensorflow as tf

from tfvideogan.data.drawing import land
from tfvideogan.data.skies import Skies, SkiesCommonWind


def measured_wind(clip: np.ndarray, step: int = 4) -> np.ndarray:
    """The mean motion [2] (x, y) of what changes in a clip, in frame widths a frame, by Farneback's optical flow."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip[::step]]
    motions = []
    for before, after in itertools.pairwise(greys):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 4, 15, 5, 7, 1.5, 0)
        gradient = np.hypot(*(cv2.Sobel(before, cv2.CV_32F, *axes) for axes in ((1, 0), (0, 1))))
        change = cv2.GaussianBlur(np.abs(after.astype(np.float32) - before), (0, 0), 3)
        weight = (gradient**2 * change)[..., None]
        motions.append((flow * weight).sum((0, 1)) / weight.sum())
    return np.median(motions, axis=0) / clip.shape[1] / step


def contrast(clip: np.ndarray) -> float:
    """The mean absolute difference of neighbouring pixels of the first frame, in levels."""
    return float(np.abs(np.diff(clip[0].mean(-1), axis=1)).mean())


class WindTest(tf.test.TestCase):
    """Flow finds a wind where clouds have edges, and nothing that stands still takes part."""

    def clear_cases(self, kind: type[Skies], count: int, plane: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """(clip, its wind) of clips with one layer of clouds and nothing else."""
        source, found = kind(96, 32), []
        for index in range(600):
            sky = source._draw(source._rng(index))
            lights = sky.light.stars or sky.light.glow
            alone = len(sky.layers) == 1 and sky.land == "none" and not sky.upright and not lights
            speed = np.hypot(*source.wind(index))
            if alone and bool(sky.vanishing) == plane and speed > 0.0015 and contrast(clip := source[index]) > 3.5:
                found.append((clip, np.array(source.wind(index))))
            if len(found) == count:
                break
        return found

    def test_the_wind_is_the_motion_of_the_clouds(self):
        cases = self.clear_cases(Skies, 8, plane=False)
        self.assertLen(cases, 8)
        errors = [np.hypot(*(measured_wind(clip) - wind)) / np.hypot(*wind) for clip, wind in cases]
        self.assertLess(np.median(errors), 0.05)
        # Clouds that grow on one side seem to move: one clip may be farther off.
        self.assertLess(np.sort(errors)[-2], 0.1)
        self.assertLess(max(errors), 0.2)

    def test_in_perspective_the_wind_is_the_mean_over_the_picture(self):
        cases = self.clear_cases(Skies, 3, plane=True)
        self.assertLen(cases, 3)
        errors = [np.hypot(*(measured_wind(clip) - wind)) / np.hypot(*wind) for clip, wind in cases]
        self.assertLess(np.median(errors), 0.2)

    def test_a_clip_of_fewer_frames_is_as_long(self):
        long, short = Skies(16, 32), Skies(16, 8)
        for index in range(3):
            self.assertAllClose(np.array(short.wind(index)), 4 * np.array(long.wind(index)))

    def test_winds_are_those_of_time_lapses(self):
        source = Skies(16, 32)
        speeds = np.array([np.hypot(*source.wind(index)) for index in range(60)])
        self.assertLessEqual(speeds.max(), 0.03)
        self.assertBetween(np.median(speeds), 0.002, 0.008)

    def test_the_layers_blow_with_the_wind_on_average(self):
        source, several = Skies(16, 32), 0
        for index in range(40):
            sky = source._draw(source._rng(index))
            covers = np.array([layer.cover * layer.opacity for layer in sky.layers])
            self.assertAllClose(covers @ sky.winds / covers.sum(), 32 * np.array(source.wind(index)))
            several += len(sky.layers) > 1
        self.assertBetween(several, 5, 30)

    def test_one_wind_for_all(self):
        source = SkiesCommonWind(16, 32)
        self.assertAllClose([source.wind(index) for index in range(5)], [(0.012, 0.0)] * 5)
        ((clip, wind),) = self.clear_cases(SkiesCommonWind, 1, plane=False)
        self.assertAllClose(measured_wind(clip), wind, atol=0.1 * 0.012)


class PicturesTest(tf.test.TestCase):
    def test_the_splits_have_no_texture_in_common(self):
        first = [Skies(16, 2, split)._draw(np.random.default_rng(0)).layers[0] for split in ("train", "test")]
        for ours, theirs in zip(*(layer._textures for layer in first), strict=True):
            self.assertLess(np.abs(np.corrcoef(ours[0].ravel(), theirs[0].ravel())[0, 1]), 0.3)

    def test_clouds_move_and_the_land_stands_still(self):
        source, seen = Skies(32, 8), 0
        for index in range(80):
            sky = source._draw(source._rng(index))
            seen_well = sky.land in ("hills", "field", "trees") and sky.light.hour != "night"
            if seen_well and np.hypot(*sky.wind) > 0.1 and contrast(source[index]) > 4:
                change = np.abs(source[index][-1].astype(int) - source[index][0]).mean((1, 2))
                self.assertLess(change[-2:].mean(), 8)  # The light may change a little.
                self.assertGreater(change[: int(32 * sky.horizon * 0.6)].max(), 12)
                seen += 1
        self.assertGreater(seen, 3)

    def test_towers_and_masts_rise_into_the_sky(self):
        light = Skies(16, 2)._draw(np.random.default_rng(0)).light
        self.assertIsNone(land.draw(np.random.default_rng(0), "none", False, 1.0, light, 32, 0))
        for seed in range(12):  # All five kinds are among them.
            plain, built = (
                land.draw(np.random.default_rng(seed), "field", up, 0.7, light, 64, 0) for up in (False, True)
            )
            self.assertAllEqual(plain.cover[:36], np.zeros([36, 64]))
            self.assertBetween(built.cover[:36].sum(), 2, 0.8 * 36 * 64)

    def test_there_is_every_hour_and_every_land(self):
        source = Skies(16, 2)
        skies = [source._draw(source._rng(index)) for index in range(250)]
        self.assertLen({sky.light.hour for sky in skies}, 6)
        self.assertLen({sky.land for sky in skies}, 8)
        pictures = np.stack([source[index][0] for index in range(60)]).astype(float)
        self.assertGreater(pictures.mean((1, 2, 3)).std(), 30)  # bright and dark,
        self.assertGreater((pictures.max(-1) - pictures.min(-1)).mean((1, 2)).std(), 20)  # coloured and grey.

    def test_copying_the_first_frame_scores_as_on_real_skies(self):
        """Real ones: 25 dB on average at 64x64 over 32 frames, and 19 to 32 dB for the middle 80 %."""
        source = Skies(32, 32)
        clips = np.stack([source[index] for index in range(60)]).astype(float)
        errors = ((clips[:, 1:] - clips[:, :1]) ** 2).mean((1, 2, 3, 4))
        self.assertBetween((10 * np.log10(255**2 / errors)).mean(), 22, 28)


if __name__ == "__main__":
    tf.test.main()
