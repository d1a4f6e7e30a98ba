"""What a folder holds: kinds and groups of inputs, and what is none."""

import os
from pathlib import Path

from tests.data.case import FolderTest
from tests.helpers.made_files import numbered, write_pictures, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data.inputs import find_inputs


class FindTest(FolderTest):
    def test_kinds_and_groups(self):
        write_video(self.root / "b" / "clip.mp4", numbered(range(4)))
        write_pictures(self.root / "sky" / "sky_2", numbered(range(4)))
        write_pictures(self.root / "sky" / "sky_10", numbered(range(4)))
        write_strip(self.root / "strips" / "walk_001.jpg", numbered(range(4)))
        write_strip(self.root / "strips" / "walk_002.jpg", numbered(range(4)))
        write_strip(self.root / "strips" / "7.jpg", numbered(range(4)))  # a number only: cut from what the folder names
        contents = find_inputs(str(self.root))
        self.assertEqual((contents.unusable, contents.ignored), ([], []))
        self.assertCountEqual(
            [(item.name, item.kind, item.group, len(item.files)) for item in contents.inputs],
            [
                ("b/clip.mp4", "video", "b/clip.mp4", 1),
                ("sky/sky_2", "frames", "sky", 4),
                ("sky/sky_10", "frames", "sky", 4),
                ("strips/walk_001.jpg", "strip", "strips/walk", 1),
                ("strips/walk_002.jpg", "strip", "strips/walk", 1),
                ("strips/7.jpg", "strip", "strips", 1),
            ],
        )

    def test_strips_that_are_numbers_only_are_videos_of_their_own(self):
        for i in range(3):
            write_strip(self.root / f"{i}.jpg", numbered(range(4)))
        self.assertEqual([item.group for item in find_inputs(str(self.root)).inputs], ["0.jpg", "1.jpg", "2.jpg"])

    def test_what_is_no_file_of_the_folder(self):
        outside = Path(self.create_tempdir().full_path)
        write_video(outside / "video.mp4", numbered(range(4)))
        write_video(self.root / "in.mp4", numbered(range(4)))
        (self.root / "out.mp4").symlink_to(outside / "video.mp4")
        (self.root / "folder").symlink_to(outside)
        (self.root / "loop").symlink_to(".")
        (self.root / "gone.mp4").symlink_to("nowhere")
        (self.root / "inside.mp4").symlink_to("in.mp4")
        os.mkfifo(self.root / "pipe.jpg")
        (self.root / "README").with_suffix(".md").touch()
        contents = find_inputs(str(self.root))
        self.assertCountEqual([item.name for item in contents.inputs], ["in.mp4", "inside.mp4"])
        self.assertCountEqual(
            [name for name, _ in contents.unusable], ["out.mp4", "folder", "loop", "gone.mp4", "pipe.jpg"]
        )
        self.assertEqual(contents.ignored, ["README.md"])

    def test_a_list_of_pictures_that_do_not_exist(self):
        text = self.root / "list.txt"
        text.write_text("a.jpg 3\nb.jpg 4\n")
        with self.assertRaisesRegex(UsageError, f"list.txt lists 2 pictures, none of which exists: {self.root}/a.jpg$"):
            find_inputs(str(text))
        self.assertEqual(find_inputs(str(self.root)).ignored, ["list.txt"])  # Beside clips any text may lie.

    def test_a_folder_that_is_a_link_itself(self):
        write_video(self.root / "real" / "in.mp4", numbered(range(4)))
        (self.root / "link").symlink_to("real")
        contents = find_inputs(str(self.root / "link"))
        self.assertEqual(([item.name for item in contents.inputs], contents.unusable), (["in.mp4"], []))
