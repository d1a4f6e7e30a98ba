"""What a folder holds: kinds and groups of inputs, and what is none."""

import os
from pathlib import Path

from PIL import Image

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

    def test_several_videos_in_one_folder_and_files_of_several_pages(self):
        for name, count in (("run_{:03d}.png", 4), ("walk_{:03d}.png", 5)):
            write_pictures(self.root / "flat", numbered(range(count)), name)
        pages = [Image.fromarray(frame) for frame in numbered(range(6))]
        pages[0].save(self.root / "flat" / "cell.tif", save_all=True, append_images=pages[1:])
        contents = find_inputs(str(self.root))
        self.assertCountEqual(
            [(item.name, item.kind, item.group, len(item.files)) for item in contents.inputs],
            [
                ("flat/cell.tif", "pages", "flat/cell.tif", 1),
                ("flat/run_000 to run_003", "frames", "flat/run_#", 4),
                ("flat/walk_000 to walk_004", "frames", "flat/walk_#", 5),
            ],
        )

    def test_parts_of_one_video_stay_in_one_group_though_one_has_a_hole(self):
        write_pictures(self.root / "sky" / "sky_1", numbered(range(4)))
        write_pictures(self.root / "sky" / "sky_1", numbered(range(4)), start=90)
        write_pictures(self.root / "sky" / "sky_2", numbered(range(4)))
        inputs = find_inputs(str(self.root)).inputs
        self.assertEqual([(len(item.files), item.group) for item in inputs], [(4, "sky")] * 3)

    def test_a_list_made_on_windows(self):
        for number in range(3):
            write_strip(self.root / "strips" / f"walk {number}.jpg", numbered(range(4)))
        lines = "".join(f"strips\\walk {number}.jpg 0\r\n" for number in range(3))
        (self.root / "train.txt").write_bytes(b"\xef\xbb\xbf" + lines.encode())
        names = [item.name for item in find_inputs(str(self.root / "train.txt")).inputs]
        self.assertEqual(names, [f"strips/walk {number}.jpg" for number in range(3)])

    def test_a_list_does_not_leave_its_folder_unless_it_may(self):
        outside = Path(self.create_tempdir().full_path)
        write_strip(outside / "secret.jpg", numbered(range(4)))
        write_strip(self.root / "own.jpg", numbered(range(4)))
        lines = ["own.jpg", str(outside / "secret.jpg"), f"../{outside.name}/secret.jpg", f"{self.root}/own.jpg"]
        (self.root / "train.txt").write_text("\n".join(lines))
        contents = find_inputs(str(self.root / "train.txt"))
        self.assertEqual({item.name for item in contents.inputs}, {"own.jpg"})
        self.assertEqual([reason.partition(";")[0] for _, reason in contents.unusable],
                         ["outside of the folder of its list"] * 2)  # fmt: skip
        found = find_inputs(str(self.root / "train.txt"), allow_outside=True)
        self.assertEqual((len(found.inputs), found.unusable), (3, []))
        os.mkfifo(outside / "pipe.jpg")
        (self.root / "train.txt").write_text(f"own.jpg\n{outside / 'pipe.jpg'}")
        found = find_inputs(str(self.root / "train.txt"), allow_outside=True)
        self.assertEqual([reason for _, reason in found.unusable], ["no file, but a pipe, a socket or a device"])

    def test_what_was_named_itself_is_told_why_it_is_not_read(self):
        os.mkfifo(self.root / "pipe.mp4")
        for name, message in (
            ("clips.zip", "an archive: unpack it"), ("notes.pdf", "no video, no picture, no array and no list"),
            ("pipe.mp4", "a pipe"),
        ):  # fmt: skip
            if name != "pipe.mp4":
                (self.root / name).write_bytes(b"PK")
            with self.assertRaisesRegex(UsageError, f"{name}': .*{message}"):
                find_inputs(str(self.root / name))
        self.assertIn(("clips.zip", "an archive: unpack it, and name the folder"), find_inputs(self.root).unusable)

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
        with self.assertRaisesRegex(UsageError, f"list.txt lists 2 files, none of which exists: {self.root}/a.jpg$"):
            find_inputs(str(text))
        self.assertEqual(find_inputs(str(self.root)).ignored, ["list.txt"])  # Beside clips any text may lie.

    def test_a_folder_that_is_a_link_itself(self):
        write_video(self.root / "real" / "in.mp4", numbered(range(4)))
        (self.root / "link").symlink_to("real")
        contents = find_inputs(str(self.root / "link"))
        self.assertEqual(([item.name for item in contents.inputs], contents.unusable), (["in.mp4"], []))
