"""Whatever takes a stranger's picture or video has it read in a process with limits, and ends in one line."""

from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import tiny
from tests.helpers.commands import run
from tests.helpers.evil_makers import many_scans
from tests.helpers.made_files import numbered, numbers, picture, write_video
from tfvideogan import load_exported, predict
from tfvideogan.config import UsageError
from tfvideogan.data.folder import ClipFolder
from tfvideogan.files import pictures, videos
from tfvideogan.inference import remote
from tfvideogan.web import answers


class InAnotherProcessTest(tf.test.TestCase):
    """Nothing is decoded in this process, where decoders raise an error."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.photo = self.folder / "photo.jpg"
        self.photo.write_bytes(picture())
        self.video = write_video(self.folder / "video.mp4", numbered(range(6)))
        for module, name in (
            *((pictures, name) for name in ("read_image", "read_pages", "count_pages", "is_strip", "_opened")),
            *((videos, name) for name in ("read_video", "read_past_damage")),
        ):
            patch = mock.patch.object(module, name, side_effect=AssertionError(f"{name} was called here"))
            patch.start()
            self.addCleanup(patch.stop)

    def test_folders(self):
        self.assertLen(ClipFolder(self.folder, 16, 4), 1)

    def test_the_picture_and_the_video_of_predict(self):
        self.assertEqual(predict._read_picture(self.photo).shape, (40, 60, 3))
        clip = predict._read_real(str(self.video), 4, 16)
        self.assertEqual((clip.shape, clip.dtype, numbers(clip)), ((4, 16, 16, 3), np.uint8, [0, 1, 2, 3]))
        for path, count, why in (
            (self.video, 7, "video.mp4: 6 frames, fewer than 7"),
            (self.photo, 2, "photo.jpg: 1 frame, fewer than 2"),
            (self.folder / "gone.mp4", 2, "gone.mp4: no such file"),
        ):
            with self.assertRaisesRegex(UsageError, f"--real must be a video whose first {count} frames.*{why}"):
                predict._read_real(str(path), count, 16)
        with self.assertRaisesRegex(UsageError, f"must be a video. Received: {self.folder}, which is a folder$"):
            predict._read_real(str(self.folder), 4, 16)
        with self.assertRaisesRegex(UsageError, "^--real: a{300}: File name too long$"):
            predict._read_real("a" * 300, 4, 16)

    def test_exported_models(self):
        exported = load_exported(tiny.run_folder(self.folder / "run", "vgan_conditional"))
        self.assertEqual(exported.predict(self.photo).shape, (1, 4, 16, 16, 3))

    def test_model_servers(self):
        with self.assertRaises(remote.ServerError):  # The picture was read; nobody listens.
            remote.RemoteModel("rest://localhost:1", "mdgan", retries=0).predict(self.photo)

    def test_the_page(self):
        (kind, content), note = answers.photo(self.photo.read_bytes())
        self.assertEqual((kind, note), ("image/jpeg", ""))
        self.assertStartsWith(content, b"\xff\xd8\xff")


class CommandsTest(tf.test.TestCase):
    def test_a_hostile_picture_ends_a_command_in_one_line(self):
        folder = Path(self.create_tempdir().full_path)
        picture, output = many_scans(folder / "scans.jpg"), f"--output={folder / 'clip.gif'}"
        for command in (
            ["predict", "--weights=mdgan-skies-64"],
            ["client", "--target=rest://localhost:1", "--model=mdgan"],
        ):
            done = run(*command, f"--image={picture}", output)
            self.assertEqual(done.returncode, 2)
            reason = "took longer than (4.5 s of processor time|60 s)"  # A very busy machine has the second first.
            self.assertRegex(done.stderr, f"^{command[0]}: error: --image: {picture}: {reason}\n$")
            self.assertFalse((folder / "clip.gif").exists())

    def test_what_libraries_print_of_a_damaged_picture_is_not_among_the_lines(self):
        folder = Path(self.create_tempdir().full_path)
        noise = np.random.default_rng(0).integers(0, 255, [64, 64, 3], np.uint8)
        Image.fromarray(noise).save(folder / "a.tif", compression="tiff_deflate")
        content = bytearray((folder / "a.tif").read_bytes())
        content[1000:1010] = bytes(10)
        (folder / "a.tif").write_bytes(content)
        done = run("client", "--target=rest://localhost:1", "--model=mdgan", f"--image={folder / 'a.tif'}",
                   f"--output={folder / 'clip.gif'}")  # fmt: skip
        self.assertEqual(done.returncode, 2)
        self.assertRegex(done.stderr, r"^client: error: --image: .*a\.tif: damaged picture .*\n$")


if __name__ == "__main__":
    tf.test.main()
