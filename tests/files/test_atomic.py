"""Files are complete or absent, and a command knows where it may write before it begins."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import made_files
from tfvideogan.config import UsageError
from tfvideogan.files import atomic, encoders, pictures, videos


class AtomicTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_folders_are_made_and_files_replaced(self):
        path = self.folder / "new" / "folders" / "file"
        for content in (b"first", b"second"):
            atomic.write_bytes(path, content)
            self.assertEqual(path.read_bytes(), content)
        self.assertEqual([file.name for file in path.parent.iterdir()], ["file"])

    def test_a_folder_in_the_way_is_left_as_it_was(self):
        (self.folder / "taken").mkdir()
        with self.assertRaises(OSError):
            atomic.write_bytes(self.folder / "taken", b"content")
        self.assertEqual(self.names(), ["taken"])

    def test_nothing_but_the_file_is_left(self):
        for name in ("clip.gif", "clip.mp4"):
            encoders.write_clip(self.folder / name, made_files.numbered(range(3)))
            encoders.write_clip(self.folder / name, made_files.numbered(range(4)))  # over the old one
        self.assertEqual(self.names(), ["clip.gif", "clip.mp4"])
        self.assertLen(list(videos.read_video(self.folder / "clip.mp4", pictures.squash(16))), 4)

    def test_a_failed_write_leaves_what_was_there(self):
        encoders.write_clip(self.folder / "clip.mp4", made_files.numbered(range(3)))
        with self.assertRaises(Exception):  # noqa: B017 - whatever it is
            encoders.write_clip(self.folder / "clip.mp4", np.zeros([2, 16, 16, 7], np.uint8))
        (self.folder / "taken.gif").mkdir()
        with self.assertRaises(OSError):
            encoders.write_clip(self.folder / "taken.gif", made_files.numbered(range(3)))
        self.assertEqual(self.names(), ["clip.mp4", "taken.gif"])
        self.assertLen(list(videos.read_video(self.folder / "clip.mp4", pictures.squash(16))), 3)

    def test_outputs_that_cannot_be_written_are_refused(self):
        (self.folder / "folder.mp4").mkdir()
        (self.folder / "file").touch()
        for name in ("clip.avi", "clip", "clip.mp4.txt", "folder.mp4", "file/clip.mp4"):
            with self.subTest(name), self.assertRaisesRegex(UsageError, f"--output.*{Path(name).parts[0]}"):
                atomic.check_output("output", self.folder / name, encoders.CLIP_SUFFIXES)
        for name in ("clip.MP4", "new/folders/clip.gif"):
            atomic.check_output("output", self.folder / name, encoders.CLIP_SUFFIXES)
        self.assertEqual(self.names(), ["file", "folder.mp4"])
