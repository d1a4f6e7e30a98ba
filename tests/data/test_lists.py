"""List files as people have them: of strips, videos and arrays, written on any system."""

import numpy as np

from tests.data.case import FolderTest
from tests.helpers.made_files import numbered, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data.inputs import find_inputs


class ListsTest(FolderTest):
    def setUp(self):
        super().setUp()
        write_video(self.root / "day 1" / "été.mp4", numbered(range(4)))
        write_strip(self.root / "day 1" / "walk.jpg", numbered(range(4)))
        np.save(self.root / "digits.npy", np.zeros([2, 4, 8, 8], np.uint8))
        self.text = self.root / "train.txt"

    def found(self, content: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        self.text.write_bytes(content)
        contents = find_inputs(str(self.text))
        self.assertEmpty(contents.ignored)  # Of a list nothing is passed over.
        return [(item.name, item.kind) for item in contents.inputs], contents.unusable

    def test_every_kind_of_file_from_every_system(self):
        lines = ["day 1/été.mp4 17", "", "day 1/walk.jpg", "digits.npy,3", "day 1/été.mp4", "take 2"]
        (self.root / "take 2").touch()  # a video without a suffix, and no class
        expected = [("day 1/été.mp4", "video"), ("day 1/walk.jpg", "strip"),
                    ("digits.npy/0", "array"), ("digits.npy/1", "array"), ("take 2", "video")]  # fmt: skip
        windows = "\r\n".join(lines).replace("/", "\\")
        for content in (
            "\n".join(lines).encode(),
            windows.encode("utf-8-sig"),
            windows.encode("utf-16"),
            windows.replace("digits.npy", '"digits.npy"').encode(),
        ):
            with self.subTest(content[:9]):
                self.assertEqual(self.found(content), (expected, []))

    def test_names_in_another_encoding_are_found_as_the_disk_has_them(self):
        name = "caf\xe9.mp4".encode("latin-1")
        (self.root / name.decode("utf-8", "surrogateescape")).write_bytes(b"")
        self.assertLen(self.found(name + b"\n")[0], 1)

    def test_what_is_missing_is_counted_and_named(self):
        _, unusable = self.found(b"gone.mp4\nday 1/walk.jpg\nC:\\clips\\a.mp4\nday 1/\n\0.mp4\nnotes\n" + b"x" * 5000)
        self.assertEqual(unusable[0], ("gone.mp4", "no such file; of 7 files in the list 2 exist"))
        self.assertLen(unusable, 6)
        self.assertIn(("day 1", "a folder, and no file"), unusable)
        with self.assertRaisesRegex(UsageError, "train.txt lists 2 files, none of which exists: .*/a.mp4"):
            self.found(b"a.mp4\nb.mp4\n")
        with self.assertRaisesRegex(UsageError, "train.txt lists no file: it is empty"):
            self.found(b"\n \n")

    def test_in_a_folder_a_list_of_videos_is_any_text(self):
        self.text.write_text("day 1/été.mp4\n")
        contents = find_inputs(str(self.root))
        self.assertEqual(contents.ignored, ["train.txt"])
        self.assertLen(contents.inputs, 4)
