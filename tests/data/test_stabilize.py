"""Stabilisation: drawn scenes seen by a camera whose motion is known, and real hand-held and still clips."""

import functools
import importlib.util
import itertools
import sys
import unittest
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import REAL_CLIPS
from tfvideogan.config import UsageError
from tfvideogan.data import stabilize
from tfvideogan.files import pictures, videos

HEIGHT, WIDTH = 160, 200


@functools.cache
def scene(seed: int = 0, height: int = 400, width: int = 440) -> np.ndarray:
    """Coloured blobs of every size down to two pixels; read-only, as it is shared."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (6, 12, 25, 50, 100, 200):
        cell_colours = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(cell_colours.resize((width, height), Image.Resampling.BICUBIC)) / 255 - 0.5
    blobs = np.uint8(np.clip(128 + 80 * total, 0, 255))
    blobs.flags.writeable = False
    return blobs


def look(picture: np.ndarray, x: float, y: float, angle: float = 0, zoom: float = 1, lean: float = 0) -> np.ndarray:
    """What a camera sees whose upper left corner lies at (x, y); `lean` is perspective, per pixel."""
    import cv2

    cos, sin = zoom * np.cos(np.radians(angle)), zoom * np.sin(np.radians(angle))
    homography = np.array([[cos, -sin, x], [sin, cos, y], [lean, 0, 1]])
    return cv2.warpPerspective(picture, homography, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)


def difference(frames: np.ndarray, reference: np.ndarray) -> float:
    """Grey levels, of the worst frame."""
    return np.abs(frames.astype(float) - reference).mean(axis=(1, 2, 3)).max()


def paste(frame: np.ndarray, thing: np.ndarray, x: int, y: int) -> np.ndarray:
    frame = frame.copy()
    frame[y : y + len(thing), x : x + thing.shape[1]] = thing
    return frame


def real_clip(name: str, fit: pictures.Fit, num_frames: int, start: int = 0) -> np.ndarray:
    if not (REAL_CLIPS / name).exists():
        raise unittest.SkipTest(f"{REAL_CLIPS / name} is not here")
    return np.stack(list(itertools.islice(videos.read_video(REAL_CLIPS / name, fit), start, start + num_frames)))


@unittest.skipUnless(importlib.util.find_spec("cv2"), "OpenCV is not installed")
class StabilizeTest(tf.test.TestCase):
    def test_known_motions_are_undone(self):
        motions = {
            "shift": [{"x": 100 + 7 * t, "y": 100 - 4.5 * t} for t in range(5)],
            "turn": [{"x": 100, "y": 100, "angle": 1.5 * t} for t in range(5)],
            "zoom": [{"x": 100, "y": 100, "zoom": 1 + 0.04 * t} for t in range(5)],
            "lean": [{"x": 100, "y": 100, "lean": 1e-4 * t} for t in range(5)],
            "jitter": [{"x": 100 + 9 * (t % 2), "y": 100, "angle": t % 3} for t in range(5)],
        }
        for name, motion in motions.items():
            with self.subTest(motion=name):
                frames = np.stack([look(scene(), **pose) for pose in motion])
                stable = stabilize.stabilize(frames)
                self.assertEqual((stable.dtype, stable.shape), (np.uint8, frames.shape))
                self.assertAllEqual(stable[0], frames[0])
                self.assertLess(difference(stable, frames[0]), 3)  # at the borders too, where holes were filled
                self.assertGreater(difference(frames, frames[0]), 12)

    def test_long_clips_do_not_drift(self):
        grain = np.random.default_rng(0).normal(0, 12, (24, HEIGHT, WIDTH, 3))
        sway = [look(scene(), 100 + 8 * np.sin(t), 100 + 6 * np.cos(t), 2 * np.sin(0.6 * t)) for t in range(24)]
        stable = stabilize.stabilize(np.uint8(np.clip(64 + np.stack(sway) / 2 + grain, 0, 255)))
        self.assertLess(stabilize.background_motion(stable[[0, -1]]), 0.8)

    def test_large_frames_are_placed_to_the_pixel(self):
        wide = scene(height=600, width=760)
        frames = np.stack([wide[20 + 3 * t : 532 + 3 * t, 30 + 5 * t : 670 + 5 * t] for t in range(4)])
        inside = stabilize.stabilize(frames)[:, 40:-40, 40:-40]
        self.assertLess(difference(inside, frames[0, 40:-40, 40:-40]), 2)

    def test_holes_show_the_frame_before(self):
        light = [np.uint8(look(scene(), 100 + 20 * t, 100) * (1 - 0.1 * t)) for t in range(3)]  # darker each time
        stable = stabilize.stabilize(np.stack(light))
        self.assertAllClose(stable[2, 10:-10, 5:15].mean(), light[0][10:-10, 5:15].mean(), atol=1)
        self.assertAllClose(stable[2, 10:-10, 25:35].mean(), light[1][10:-10, 5:15].mean(), atol=1)
        self.assertAllClose(stable[2, 10:-10, 45:55].mean(), light[2][10:-10, 5:15].mean(), atol=1)

    def test_a_sharp_thing_that_moves_does_not_outvote_the_background(self):
        pale, sharp = np.uint8(96 + scene() / 6), scene(1)[:90, :90]
        frames = np.stack([paste(look(pale, 100 + 6 * t, 100), sharp, 20 + 4 * t, 60) for t in range(6)])
        stable = stabilize.stabilize(frames)[:, :45]  # above the thing's path
        self.assertLess(difference(stable, frames[0, :45]), 1)
        self.assertGreater(difference(frames[:, :45], frames[0, :45]), 5)

    def test_a_clip_always_gives_the_same_bytes(self):
        import cv2

        frames = np.stack([look(scene(), 100 + 7 * t, 100, t) for t in range(4)])
        threads = cv2.getNumThreads()
        self.addCleanup(cv2.setNumThreads, threads)
        expected = stabilize.stabilize(frames)
        for number in (threads, 1, 3):
            cv2.setNumThreads(number)
            self.assertAllEqual(stabilize.stabilize(frames), expected)

    def test_still_clips_are_left_as_they_are(self):
        grain = np.random.default_rng(0).integers(-4, 5, (6, HEIGHT, WIDTH, 3))
        clips = {
            "grain": np.uint8(np.clip(look(scene(), 100, 100) + grain, 0, 255)),
            "moving thing": np.stack(
                [paste(look(scene(), 100, 100), scene(1)[:90, :90], 15 * t, 40) for t in range(6)]
            ),
            "a quarter of a pixel": np.stack([look(scene(), 100 + 0.25 * (t % 2), 100) for t in range(6)]),
            "grey": np.full((6, HEIGHT, WIDTH, 3), 77, np.uint8),
            "black, with grain": np.uint8(4 + grain),
            "one frame": look(scene(), 100, 100)[None],
        }
        for name, frames in clips.items():
            with self.subTest(clip=name):
                self.assertAllEqual(stabilize.stabilize(frames.copy()), frames)

    def test_what_would_move_more_is_left_as_it_is(self):
        frames = np.stack([look(scene(), 100 + 2 * t, 100) for t in range(4)])
        shaken = frames[:, :, ::-1][::-1][[0, 2, 1, 3]]
        with mock.patch.object(stabilize, "_warp", return_value=shaken):
            self.assertAllEqual(stabilize.stabilize(frames), frames)

    def test_frames_that_do_not_match(self):
        frames = np.stack([look(scene(), 100 + 9 * t, 100) for t in range(4)])
        for name, other in (("scene", look(scene(1), 100, 100)), ("nothing", np.zeros_like(frames[0]))):
            with self.subTest(other=name):
                frames[2] = other
                with self.assertRaisesRegex(
                    stabilize.StabilizationError, "few matches: . of 10 between frames 1 and 2"
                ):
                    stabilize.stabilize(frames)

    def test_a_first_frame_without_anything_is_not_still(self):
        frames = np.stack([np.zeros((HEIGHT, WIDTH, 3), np.uint8), look(scene(), 100, 100), look(scene(), 120, 100)])
        with self.assertRaisesRegex(stabilize.StabilizationError, "0 of 10 between frames 0 and 1"):
            stabilize.stabilize(frames)

    def test_motion_that_no_camera_makes(self):
        near = np.stack([look(scene(), 100, 100), look(scene(), 160, 150, zoom=0.4)])
        with self.assertRaisesRegex(stabilize.StabilizationError, "no plausible camera motion between frames 0 and 1"):
            stabilize.stabilize(near)

    def test_plausible_homographies(self):
        cases = {
            "none": (np.eye(3), True),
            "shift": ([[1, 0, 90], [0, 1, -90], [0, 0, 1]], True),
            "half a turn": ([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], True),
            "1.9 times": (np.diag([1.9, 1.9, 1]), True),
            "2.1 times": (np.diag([2.1, 2.1, 1]), False),
            "to 0.45": (np.diag([0.45, 0.45, 1]), False),
            "squeezed": (np.diag([2.5, 0.4, 1]), False),
            "mirrored": (np.diag([-1, 1, 1]), False),
            "horizon in the frame": ([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]], False),
        }
        for name, (homography, expected) in cases.items():
            with self.subTest(case=name):
                self.assertEqual(stabilize._is_plausible(np.array(homography, float), HEIGHT, WIDTH), expected)

    def test_a_camera_that_turns_away(self):
        frames = np.stack([look(scene(), 20 + 40 * t, 100) for t in range(6)])  # of 200 pixels
        with self.assertRaisesRegex(stabilize.StabilizationError, "turns away: frame 4 shows 1.% of the first"):
            stabilize.stabilize(frames)

    def test_without_opencv(self):
        with mock.patch.dict(sys.modules, {"cv2": None}):
            for work in (stabilize.stabilize, stabilize.background_motion, lambda frames: stabilize.is_cut(*frames)):
                with self.assertRaisesRegex(UsageError, r"OpenCV is not installed: pip install .*\[data\]'"):
                    work(np.zeros((2, 64, 64, 3), np.uint8))


@unittest.skipUnless(importlib.util.find_spec("cv2"), "OpenCV is not installed")
class MeasuresTest(tf.test.TestCase):
    def test_cuts(self):
        picture, black = look(scene(), 100, 100), np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        halves = paste(black, np.full((HEIGHT, WIDTH // 2, 3), 255, np.uint8), 0, 0)
        cases = {
            "the same": (picture, picture, False),
            "black stays black": (black, black, False),
            "a pan by a sixth": (picture, look(scene(), 133, 100), False),
            "a pan into the shade": (picture, look(scene(), 130, 100) // 2, False),
            "a flash": (picture, np.uint8(np.minimum(picture * 1.3 + 40.0, 255)), False),
            "the same colours": (halves, halves[:, ::-1], False),
            "another scene": (picture, 255 - look(scene(3), 100, 100) // 2, True),
            "to black": (picture, black, True),
            "from black": (black, picture, True),
        }
        for name, (previous, frame, expected) in cases.items():
            with self.subTest(case=name):
                self.assertIs(stabilize.is_cut(previous, frame), expected)

    def test_motion_in_pixels_a_frame(self):
        for x, y in ((2, 0), (0, 2), (3, 4), (0.5, 0), (0, 0)):
            with self.subTest(x=x, y=y):
                frames = np.stack([look(scene(), 100 + x * t, 100 + y * t) for t in range(5)])
                self.assertAllClose(stabilize.background_motion(frames), np.hypot(x, y), atol=0.1)

    def test_what_moves_by_itself_is_no_background(self):
        thing = scene(1)[:90, :90]
        frames = np.stack([paste(look(scene(), 100 + 2 * t, 100), thing, 10 * t, 40) for t in range(5)])
        self.assertAllClose(stabilize.background_motion(frames), 2, atol=0.2)

    def test_filled_holes_do_not_count(self):
        frames = np.stack([look(scene(), 100 + 2 * t, 100) for t in range(5)])
        frames[:, :, :120] = frames[0, :, :120]
        self.assertAllClose(stabilize.background_motion(frames), 2, atol=0.2)

    def test_nothing_to_see_does_not_move(self):
        for frames in (np.zeros((4, 64, 64, 3), np.uint8), look(scene(), 100, 100)[None]):
            self.assertEqual(stabilize.background_motion(frames), 0.0)


@unittest.skipUnless(importlib.util.find_spec("cv2"), "OpenCV is not installed")
class RealClipsTest(tf.test.TestCase):
    def test_the_background_of_hand_held_clips_moves_five_times_less(self):
        for name, start in (("2vin_vs", 0), ("evenvizion_test_video", 30)):
            with self.subTest(clip=name):
                frames = real_clip(f"shaky_videos/{name}.mp4", pictures.short_side(192), 32, start)
                before, after = map(stabilize.background_motion, (frames, stabilize.stabilize(frames)))
                self.assertGreater(before, 0.5)
                self.assertLess(after, before / 5)

    def test_still_cameras_come_to_no_harm(self):
        for name in ("asl_gestures/no.mkv", "asl_gestures/sister.mkv", "videos/bottle-detection.mp4"):
            with self.subTest(clip=name):
                frames = real_clip(f"static_videos/{name}", pictures.short_side(192), 32, 16)
                self.assertAllEqual(stabilize.stabilize(frames), frames)

    def test_cuts_are_where_clips_were_joined(self):
        names = ("shaky_videos/2vin_vs.mp4", "shaky_videos/evenvizion_test_video.mp4", "sky_clips/00.mp4")
        names = (*names, "static_videos/videos/car-detection.mp4", "static_videos/asl_gestures/no.mkv")
        frames = np.concatenate([real_clip(name, pictures.squash(64), 20) for name in names])
        cuts = [t for t in range(1, len(frames)) if stabilize.is_cut(*frames[t - 1 : t + 1])]
        self.assertEqual(cuts, [20, 40, 60, 80])


if __name__ == "__main__":
    tf.test.main()
