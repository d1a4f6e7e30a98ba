"""Folders of clips of every layout, healthy and damaged, with real files."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.data.case import FolderTest
from tests.helpers import REAL_CLIPS
from tests.helpers.made_files import cut, numbered, numbers, write_interlaced, write_pictures, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data.folder import ClipFolder

TWO_CLIPS = [[0, 1, 2, 3], [4, 5, 6, 7]]


class ClipFolderTest(FolderTest):
    def opened(self) -> ClipFolder:
        return ClipFolder(self.root, frame_size=16, num_frames=4)

    def assert_clips(self, expected: list[list[int]], unusable: tuple[str, ...] = ()):
        """The clips have frames of these numbers, in this order, and these unusable inputs are named and counted."""
        logger = "tfvideogan.data.folder"
        with self.assertLogs(logger, "WARNING") if unusable else self.assertNoLogs(logger, "WARNING") as logs:
            source = self.opened()
        self.assertEqual([numbers(clip) for clip in source], expected)
        self.assertEqual({(clip.shape, clip.dtype) for clip in source}, {((4, 16, 16, 3), np.dtype(np.uint8))})
        self.assertLen(source.skipped, len(unusable))
        for name in unusable:
            self.assertLen([reason for reason in source.skipped if name in reason], 1, name)
            self.assertLen([line for line in logs.output if name in line], 1, name)


class LayoutTest(ClipFolderTest):
    def test_every_container(self):
        codecs = {
            "mp4": "libx264",
            "mkv": "libx264",
            "webm": "libvpx-vp9",
            "avi": "mpeg4",
            "mov": "mjpeg",
            "gif": "gif",
        }
        for suffix, codec in codecs.items():
            with self.subTest(suffix):
                self.root = Path(self.create_tempdir(suffix).full_path)
                write_video(self.root / f"clip.{suffix}", numbered(range(11)), codec)
                self.assert_clips(TWO_CLIPS)  # the last three frames are dropped

    def test_frame_folders_of_any_depth(self):
        for folder in (".", "video", "id/id_1"):
            for suffix in ("jpg", "JPEG", "png", "webp", "bmp", "tif"):
                with self.subTest(folder=folder, suffix=suffix):
                    self.root = Path(self.create_tempdir().full_path)
                    write_pictures(self.root / folder, numbered(range(10)), "frame_{:04d}." + suffix)
                    self.assert_clips(TWO_CLIPS)

    def test_frames_in_natural_order(self):
        write_pictures(self.root / "video", numbered(range(8)), "id_frames_{}.png", start=96)  # 96 to 103
        self.assert_clips(TWO_CLIPS)

    def test_clips_never_join_two_sequences(self):
        write_pictures(self.root / "a" / "a_1", numbered(range(6)))
        write_pictures(self.root / "a" / "a_2", numbered(range(6, 12)))
        write_video(self.root / "b.mp4", numbered(range(1, 7)))
        self.assert_clips([[1, 2, 3, 4], [0, 1, 2, 3], [6, 7, 8, 9]])

    def test_listed_strips(self):
        for name, count in (("long", 6), ("short one", 3), ("not listed", 5)):
            write_strip(self.root / "train" / f"{name}.jpg", numbered(range(count)))
        (self.root / "train.txt").write_text("train/short one.jpg 17\r\ntrain/long.jpg\n\n")
        self.assert_clips([[0, 1, 2, 2], [0, 1, 2, 3]])

    def test_pictures_that_are_no_strips(self):
        write_strip(self.root / "good.png", numbered(range(4)))
        write_strip(self.root / "square.png", numbered(range(1)))
        write_strip(self.root / "uneven.png", numbered(range(4), height=15))
        (self.root / "list.txt").write_text("square.png 0\nuneven.png 0\ngone.png 0\ngood.png 0\n")
        self.assert_clips([[0, 1, 2, 3]], unusable=("square.png", "uneven.png", "gone.png"))

    def test_one_video_is_a_source(self):
        self.root = write_video(self.root / "alone.mp4", numbered(range(8)))
        self.assert_clips(TWO_CLIPS)

    def test_frames_are_squashed(self):
        wide = np.zeros([4, 32, 96, 3], np.uint8)
        wide[:, :, 48:] = 255
        write_pictures(self.root / "frames", wide)
        write_video(self.root / "video.mp4", wide)
        halves = np.repeat([0, 255], 7)  # the two columns in the middle may be mixed
        self.assertLen(self.opened(), 2)
        for clip in self.opened():
            self.assertAllClose(np.delete(clip[3, 5, :, 0].astype(int), [7, 8]), halves, atol=12)

    def test_names_with_spaces_and_letters_of_any_alphabet(self):
        for name in ("two words", "Größe été", "небо 天空", "a1²2", "100%d"):
            with self.subTest(name):
                self.root = Path(self.create_tempdir().full_path) / name
                write_pictures(self.root / name, numbered(range(4)), name + " {}.png")
                write_video(self.root / f"{name}.mp4", numbered(range(4, 8)))
                self.assert_clips(TWO_CLIPS[::-1])

    def test_one_of_several_lists_must_be_named(self):
        for index, name in enumerate(("train", "test")):
            write_strip(self.root / f"{name}.png", numbered(range(4 * index, 4 * index + 4)))
            (self.root / f"{name}.txt").write_text(f"\ufeff{name}.png,{index}\n", encoding="utf-8")
        with self.assertRaisesRegex(UsageError, r"several lists.*test\.txt.*train\.txt"):
            self.opened()
        self.root = self.root / "test.txt"
        self.assert_clips([[4, 5, 6, 7]])

    def test_a_folder_of_strips_needs_no_list(self):
        for index in range(2):
            write_strip(self.root / f"{index}.png", numbered(range(4 * index, 4 * index + 4)))
        self.assert_clips(TWO_CLIPS)


class NotesTest(ClipFolderTest):
    def test_what_is_done_to_an_input_is_told_once(self):
        write_interlaced(self.root / "tv.mp4", numbered(range(8), 64, 64))
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            self.assertLen(self.opened(), 2)
        self.assertLen(logs.output, 1)
        self.assertIn(f"{self.root}/tv.mp4: interlaced; ", logs.output[0])


class StandInTest(ClipFolderTest):
    """Video i of nine begins with frame i, and gives one clip; video 6 is too short for it."""

    def setUp(self):
        super().setUp()
        for number in range(9):
            frames = numbered(range(number, number + (4 if number != 6 else 2)))
            write_video(self.root / f"{number}.mp4", frames)

    def firsts(self, stand_in: int | None) -> list[int]:
        folder = ClipFolder(self.root, 16, 4, stand_in=stand_in)
        self.assertEqual(folder.num_inputs, 9)
        return [numbers(clip)[0] for clip in folder]

    def test_few_clips_are_of_inputs_at_equal_distances(self):
        self.assertEqual(self.firsts(1), [0])
        self.assertEqual(self.firsts(2), [0, 4])
        self.assertEqual(self.firsts(9), [0, 1, 2, 3, 4, 5, 7, 8])
        self.assertEqual(self.firsts(None), [0, 1, 2, 3, 4, 5, 7, 8])

    def test_others_stand_in_for_those_that_cannot_be_used(self):
        self.assertEqual(self.firsts(3), [0, 3, 1])  # 0, 3, and 6, in whose place is the first of the others

    def test_of_few_inputs_all_clips_are_there_to_choose_from(self):
        write_video(self.root / "9.mp4", numbered(range(12)))
        self.assertLen(ClipFolder(self.root / "9.mp4", 16, 4, stand_in=2), 3)

    def test_of_very_many_clips_some_at_equal_distances_are_kept(self):
        """Each 16 at most for one; of two inputs, each has its share."""
        for name, clips in (("a", 40), ("b", 10)):
            write_video(self.root / "many" / f"{name}.mp4", numbered(np.arange(4 * clips) // 4 % 13))
        folder = ClipFolder(self.root / "many", 16, 4, stand_in=2)
        self.assertEqual(
            [numbers(clip)[0] for clip in folder], [place % 13 for place in (*range(0, 40, 2), *range(0, 10, 2))]
        )
        self.assertEqual([item.name for item in folder.origins], ["a.mp4"] * 20 + ["b.mp4"] * 5)
        self.assertEqual(folder.decoded, {"a.mp4": 40, "b.mp4": 10})
        folder = ClipFolder(self.root / "many", 16, 4, stand_in=1)
        self.assertEqual([numbers(clip)[0] for clip in folder], [place % 13 for place in range(0, 40, 4)])
        self.assertLen(ClipFolder(self.root / "many", 16, 4), 50)


class DamageTest(ClipFolderTest):
    def test_unusable_files_are_named_and_the_rest_is_used(self):
        write_video(self.root / "good.mp4", numbered(range(8)))
        write_video(self.root / "short.mp4", numbered(range(3)))
        cut(write_video(self.root / "cut.mp4", numbered(range(8))), 0.6)
        (self.root / "empty.mp4").touch()
        (self.root / "renamed.mp4").write_text("Once upon a time.\n" * 50)
        write_pictures(self.root, numbered(range(1)), "still.png")
        (self.root / "still.png").rename(self.root / "picture.avi")
        write_pictures(self.root / "pair", numbered(range(2)))
        names = ("short.mp4", "cut.mp4", "empty.mp4", "renamed.mp4", "picture.avi", "pair")
        self.assert_clips(TWO_CLIPS, unusable=names)

    def test_a_cut_off_video_is_named_and_its_start_is_used(self):
        for name in ("cut.mkv", "cut.mp4"):  # with the index in front, FFmpeg opens it all the same
            with self.subTest(name):
                self.root = Path(self.create_tempdir().full_path)
                noise = np.random.default_rng(0).integers(-6, 7, [12, 64, 64, 1])  # so that frames have a size
                frames = (numbered(range(12), 64, 64) + noise).astype(np.uint8)
                cut(write_video(self.root / name, frames, index_first=name.endswith("mp4")), 0.7)
                self.assert_clips([[0, 1, 2, 3]], unusable=(name,))

    def test_no_clip_spans_a_damaged_frame(self):
        for damage in (
            lambda path: path.write_bytes(b""),
            lambda path: cut(path, 0.5),
            lambda path: path.write_text("?"),
        ):
            self.root = Path(self.create_tempdir().full_path)
            write_pictures(self.root / "video", numbered(range(10)), "{}.jpg")
            damage(self.root / "video" / "5.jpg")
            self.assert_clips([[0, 1, 2, 3], [6, 7, 8, 9]], unusable=("5.jpg",))

    def test_damaged_strips(self):
        for name in ("good", "cut", "empty"):
            write_strip(self.root / f"{name}.jpg", numbered(range(4)))
        cut(self.root / "cut.jpg", 0.5)
        cut(self.root / "empty.jpg", 0)
        (self.root / "list.txt").write_text("cut.jpg\nempty.jpg\ngood.jpg\n")
        self.assert_clips([[0, 1, 2, 3]], unusable=("cut.jpg", "empty.jpg"))

    def test_nothing_usable_says_what_was_looked_for(self):
        (self.root / "notes.md").touch()
        with self.assertRaisesRegex(
            UsageError, r"nothing usable.*\(0 unusable inputs\).*videos.*\.jpg.*\*\.txt.*strips.*4 frames"
        ):
            self.opened()
        (self.root / "bad.mp4").touch()
        with self.assertRaisesRegex(UsageError, r"\(1 unusable input, the first: "):
            self.opened()


class NeighboursTest(ClipFolderTest):
    """What lies beside the data and is none."""

    def setUp(self):
        super().setUp()
        write_pictures(self.root / "video", numbered(range(8)))

    def test_texts_and_hidden_files_are_passed_over(self):
        for name in ("README.md", "notes.txt", "labels.csv", "video/info.json", ".DS_Store", "._a.mp4", ".cache/a.mp4"):
            (self.root / name).parent.mkdir(exist_ok=True)
            (self.root / name).write_text("Once upon a time\n")
        self.assert_clips(TWO_CLIPS)

    def test_a_text_that_mentions_a_picture_is_no_list_of_strips(self):
        (self.root / "README.txt").write_text("Frames of a sunset.\nFor a preview see http://example.org/cover.jpg\n")
        self.assert_clips(TWO_CLIPS)

    def test_a_folder_named_as_a_text(self):
        (self.root / "old.txt").mkdir()
        self.assert_clips(TWO_CLIPS)


class RealClipsTest(tf.test.TestCase):
    def test_every_readable_folder(self):
        # Frames counted with PyAV and Pillow by themselves; 32 a clip, the rest of each sequence dropped.
        counts = {"sky_clips": 36, "sky_sequences": 11 + 1 + 1 + 1, "strips": 136, "static_videos": 123}
        for name, count in counts.items():
            with self.subTest(name):
                if not (REAL_CLIPS / name).is_dir():
                    self.skipTest(f"{REAL_CLIPS / name} is absent")
                source = ClipFolder(REAL_CLIPS / name, 32, 32)
                self.assertEqual((len(source), source.skipped), (count, []))
                some = [source[index] for index in range(0, count, 5)]
                shapes, deviations = zip(*((clip.shape, clip.std()) for clip in some), strict=True)
                self.assertEqual(set(shapes), {(32, 32, 32, 3)})
                self.assertGreater(min(deviations), 5)  # pictures, not blanks
