"""How clips are cut from an input: windows, strides, sizes, scene cuts."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.data.case import FolderTest
from tests.helpers.made_files import cut, numbered, numbers, write_pictures, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import cutting
from tfvideogan.data.cutting import Clip, Cutting, clips_of
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.files import videos


class CuttingTest(FolderTest):
    def clips(self, path: Path, frame_size: int = 16, num_frames: int = 4, **options) -> list[Clip | UsageError]:
        cutting = Cutting(frame_size, num_frames, **options)
        return [clip for item in find_inputs(str(path)).inputs for clip in clips_of(item, cutting)]

    def cut_into(self, path: Path, **options) -> list[list[int] | str]:
        """The numbers of each clip's frames, and the text of each error."""
        answers = []
        for clip in self.clips(path, **options):
            if isinstance(clip, Clip):
                self.assertEqual(clip.start, numbers(clip.frames)[0])
                self.assertEqual((clip.frames.shape[1:], clip.frames.dtype), ((16, 16, 3), np.uint8))
                answers.append(numbers(clip.frames))
            else:
                answers.append(str(clip))
        return answers


class WindowsTest(CuttingTest):
    """Twelve frames, of videos and of folders alike."""

    def assert_cut(self, expected: list[list[int]], **options) -> None:
        video = write_video(self.root / "video.mp4", numbered(range(12)))
        folder = write_pictures(self.root / "frames", numbered(range(12)))
        for path in (video, folder):
            with self.subTest(path.name, **options):
                self.assertEqual(self.cut_into(path, **options), expected)

    def test_one_behind_the_other(self):
        self.assert_cut([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
        self.assert_cut([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]], num_frames=5)
        self.assert_cut([list(range(12))], num_frames=12)

    def test_overlapping(self):
        self.assert_cut([[i, i + 1, i + 2, i + 3] for i in (0, 3, 6)], stride=3)
        self.assert_cut([[i, i + 1, i + 2, i + 3] for i in range(9)], stride=1)

    def test_with_gaps(self):
        self.assert_cut([[0, 1, 2, 3], [6, 7, 8, 9]], stride=6)
        self.assert_cut([[0, 1, 2, 3], [8, 9, 10, 11]], stride=8)
        self.assert_cut([[0, 1, 2, 3]], stride=9)

    def test_every_so_many_frames(self):
        """The stride counts frames that are taken."""
        self.assert_cut([[0, 2, 4, 6]], frame_step=2)
        self.assert_cut([[0, 2, 4, 6], [4, 6, 8, 10]], frame_step=2, stride=2)
        self.assert_cut([[0, 3, 6, 9]], frame_step=3)
        self.assert_cut([[0, 5, 10]], frame_step=5, num_frames=3)

    def test_the_first_only(self):
        self.assert_cut([[0, 1, 2, 3]], first_only=True)
        self.assert_cut([[0, 2, 4, 6]], first_only=True, frame_step=2, stride=1)

    def test_too_few_frames(self):
        video = write_video(self.root / "video.mp4", numbered(range(12)))
        self.assertEqual(self.cut_into(video, num_frames=13), ["video.mp4: 12 frames, fewer than 13"])
        self.assertEqual(self.cut_into(video, frame_step=4), ["video.mp4: 3 frames, fewer than 4"])

    def test_no_window_has_a_damaged_frame(self):
        folder = write_pictures(self.root / "frames", numbered(range(12)), "{}.png")
        for name in ("3", "8"):
            cut(folder / f"{name}.png", 0)
        first, clip, second = self.cut_into(folder)  # each in its place; the frames 9 to 11 make no clip
        self.assertEqual(clip, [4, 5, 6, 7])
        self.assertRegex(first, "3.png: not a picture")
        self.assertRegex(second, "8.png: not a picture")
        clips = [clip for clip in self.cut_into(folder, num_frames=3, stride=1) if not isinstance(clip, str)]
        self.assertEqual(clips, [[0, 1, 2], [4, 5, 6], [5, 6, 7], [9, 10, 11]])

    def test_no_frame_at_all(self):
        folder = write_pictures(self.root / "frames", numbered(range(2)), "{}.png")
        for path in folder.iterdir():
            cut(path, 0)
        errors = self.cut_into(folder)
        self.assertLen(errors, 2)  # one for each frame, and none that says that they are too few
        self.assertRegex(errors[0], "0.png: not a picture")


class StripsTest(CuttingTest):
    def test_first_frames_and_the_last_repeated(self):
        strip = write_strip(self.root / "a.png", numbered(range(6)))
        for expected, options in (
            ([0, 1, 2, 3], {}),
            ([0, 1, 2, 3, 4, 5, 5, 5], {"num_frames": 8}),
            ([0, 2, 4, 4], {"frame_step": 2}),
            ([0, 1], {"num_frames": 2, "stride": 1}),
        ):
            with self.subTest(**options):
                self.assertEqual(self.cut_into(strip, **options), [expected])

    def test_frames_are_scaled_one_by_one(self):
        """Black and white frames do not run into each other."""
        frames = np.zeros([4, 64, 64, 3], np.uint8)
        frames[1::2] = 255
        (clip,) = self.clips(write_strip(self.root / "a.png", frames))
        self.assertAllEqual(clip.frames, frames[:, :16, :16])


class SizeTest(CuttingTest):
    """Wide frames: the left fourth is red, the middle half green, the right fourth blue."""

    def setUp(self):
        super().setUp()
        frames = np.zeros([4, 32, 64, 3], np.uint8)
        for channel, columns in enumerate((slice(0, 16), slice(16, 48), slice(48, 64))):
            frames[:, :, columns, channel] = 255
        self.paths = [
            write_pictures(self.root / "frames", frames),
            write_video(self.root / "video.mkv", frames, "ffv1"),
            write_pictures(self.root / "tall", frames.transpose(0, 2, 1, 3)),
        ]

    def rows(self, **options) -> Iterator[np.ndarray]:
        """A line across the three colours of each input's last frame, [16, 3]."""
        for path in self.paths:
            (clip,) = self.clips(path, **options)
            self.assertEqual(clip.frames.shape, (4, 16, 16, 3))
            yield clip.frames[3, :, 8] if path.name == "tall" else clip.frames[3, 8]

    def test_squashed_is_the_whole_frame(self):
        for row in self.rows():
            red, green, blue = row.T.astype(int)
            self.assertAllClose([red[:3].mean(), green[5:11].mean(), blue[13:].mean()], [255] * 3, atol=2)
            self.assertAllClose([green[:3].mean(), red[5:11].mean(), green[13:].mean()], [0] * 3, atol=2)

    def test_cropped_is_its_middle(self):
        for row in self.rows(resize="crop"):
            self.assertAllClose(row[1:15], np.broadcast_to([0, 255, 0], [14, 3]), atol=2)

    def test_a_square_frame_is_the_same_either_way(self):
        folder = write_pictures(
            self.root / "square", np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3], np.uint8)
        )
        (squashed,), (cropped,) = self.clips(folder), self.clips(folder, resize="crop")
        self.assertAllEqual(squashed.frames, cropped.frames)


class SceneCutsTest(CuttingTest):
    @staticmethod
    def scenes(*lengths: int) -> np.ndarray:
        """Scenes of still noise, [T, 64, 64, 3], no two of them alike, that differ in colour too."""
        rng = np.random.default_rng(0)
        patches = [np.kron(rng.integers(0, 120, [8, 8, 3]), np.ones([8, 8, 1])) for _ in lengths]
        tints = [np.eye(3)[i % 3] * 130 for i in range(len(lengths))]
        return np.concatenate(
            [np.stack([patch + tint] * length) for patch, tint, length in zip(patches, tints, lengths, strict=True)]
        ).astype(np.uint8)

    def starts(self, frames: np.ndarray, **options) -> list[int | str]:
        for path in (self.root / "frames").glob("*"):
            path.unlink()
        folder = write_pictures(self.root / "frames", frames)
        return [x.start if isinstance(x, Clip) else str(x) for x in self.clips(folder, **options)]

    def test_no_clip_spans_a_cut(self):
        frames = self.scenes(6, 5, 3, 4)  # begin at 0, 6, 11, 14
        self.assertEqual(self.starts(frames), [0, 4, 8, 12])
        self.assertEqual(self.starts(frames, split_at_cuts=True), [0, 6, 14])
        self.assertEqual(self.starts(frames, split_at_cuts=True, stride=1), [0, 1, 2, 6, 7, 14])

    def test_gaps_between_clips_beside_cuts(self):
        """Frames 4 to 7 are passed over, the cut before frame 6 among them."""
        self.assertEqual(self.starts(self.scenes(6, 6), split_at_cuts=True, stride=8), [0, 8])
        self.assertEqual(self.starts(self.scenes(10, 6), split_at_cuts=True, stride=8), [0, 10])

    def test_too_short_scenes_are_told(self):
        self.assertEqual(
            self.starts(self.scenes(3, 3, 2), split_at_cuts=True), [".: 2 frames between its cuts, fewer than 4"]
        )

    def test_flat_frames_that_only_grow_lighter_are_one_scene(self):
        self.assertEqual(self.starts(numbered(range(8), 64, 64), split_at_cuts=True), [0, 4])


class NamesTest(CuttingTest):
    def test_relative_names(self):
        """FFmpeg would take what stands before a colon for a protocol."""
        (self.root / "a:b").mkdir()
        write_video(self.root / "a:b" / "x.mp4", numbered(range(4)))
        write_video(self.root / "plain.mp4", numbered(range(4)))
        (self.root / "plain.mp4").rename(self.root / "-part:1.mp4")
        with contextlib.chdir(self.root):
            for name in (".", "a:b", "-part:1.mp4"):
                with self.subTest(name):
                    clips = self.cut_into(Path(name))
                    self.assertEqual(clips, [[0, 1, 2, 3]] * (2 if name == "." else 1))


class GapTest(FolderTest):
    def test_the_start_of_a_clip_counts_the_frames_that_were_lost(self):
        frames = [*numbered(range(5)), videos.GapError("frames 5 to 9", 5), *numbered(range(5))]
        item = Input("a.mp4", "video", ("a.mp4",), "a")
        windows = cutting._windows(item, frames, Cutting(16, 4))
        self.assertEqual([window.start for window in windows if isinstance(window, Clip)], [0, 10])
