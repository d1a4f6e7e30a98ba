"""Pictures in the process that reads them: as they are read outside of it, and within its limits."""

import os
import resource
import threading
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import made_files
from tests.helpers.evil_makers import many_scans
from tfvideogan.config import UsageError
from tfvideogan.data.inputs import find_inputs
from tfvideogan.files import picture_reader, pictures
from tfvideogan.files.confined import Confined, Limits


class PictureReaderTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.good = self.folder / "good.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, [30, 20, 3], np.uint8)).save(self.good)

    def limit(self, seconds: float, megabytes: int, cpu_seconds: float | None = None) -> Confined:
        """Gives this test a process of its own, with these limits."""
        process = Confined(picture_reader.__name__, None, Limits(seconds, megabytes, cpu_seconds=cpu_seconds))
        self.addCleanup(process.close)
        lock = threading.Lock()
        patch = mock.patch.object(picture_reader, "_process", lambda _: (process, lock))
        patch.start()
        self.addCleanup(patch.stop)
        return process

    def refused(self, path: Path, message: str) -> None:
        """It is refused in these words, and the next picture is none the worse."""
        with self.assertRaisesRegex(UsageError, f"^{path}: {message}$"):
            picture_reader.read_image(path, pictures.squash(16))
        self.assert_read(self.good)

    def assert_read(self, path: Path) -> None:
        fit = pictures.at_most(16)
        self.assertAllEqual(picture_reader.read_image(path, fit), pictures.read_image(path, fit))

    def test_pictures_are_read_as_they_are_outside(self):
        self.assert_read(self.good)
        strip = made_files.write_strip(self.folder / "strip.jpg", made_files.numbered(range(4)))
        pages = [Image.new("RGB", (8, 6), (40 * number, 90, 200)) for number in range(5)]
        pages[0].save(self.folder / "pages.tif", save_all=True, append_images=pages[1:])
        (self.folder / "text.png").write_text("II*\0 no picture")
        names = [self.good, strip, self.folder / "pages.tif", self.folder / "text.png", self.folder / "gone.png"]
        self.assertEqual([picture_reader.is_strip(name) for name in names], [False, True, False, None, None])
        self.assertEqual([picture_reader.count_pages(name) for name in names], [1, 1, 5, 1, 1])
        self.refused(self.folder / "gone.png", "no such file")
        self.refused(self.folder / ("a" * 300), "File name too long")
        self.refused(self.folder / "text.png", "not a picture that Pillow can read")

    def test_a_picture_that_takes_too_long(self):
        self.limit(0.5, 512)
        self.refused(many_scans(self.folder / "scans.jpg"), "took longer than 0.5 s")

    def test_a_picture_that_takes_too_much_processor_time(self):
        """Started beforehand, it has what it was given, and not up to a second more."""
        self.limit(300, 512, cpu_seconds=1.5)
        self.assert_read(self.good)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with self.assertRaisesRegex(UsageError, "took longer than 1.5 s of processor time$"):
            picture_reader.read_image(many_scans(self.folder / "scans.jpg"), pictures.squash(16))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertBetween(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1.4, 3.0)
        self.assert_read(self.good)

    def test_each_picture_has_all_of_the_processor_time(self):
        process = self.limit(60, 512, cpu_seconds=1)
        Image.new("RGB", (6000, 4000)).save(self.folder / "a.jpg", progressive=True)
        started = None
        while started is None or _processor_time(process) < 2.5:
            picture_reader.read_image(self.folder / "a.jpg", pictures.squash(16))
            started = started or process._process.pid
        self.assertEqual(process._process.pid, started)

    def test_a_picture_that_needs_too_much_memory(self):
        self.limit(60, 64)
        Image.new("LA", (5000, 5000)).save(self.folder / "a.png", compress_level=1)
        self.refused(self.folder / "a.png", "needs more than 64 MB")

    def test_large_photos_are_within_the_limits(self):
        """One of 50 million pixels, turned, one of deep grey, and a slow one, a JPEG 2000 of 12 million."""
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (8160, 6120), (200, 100, 50)).save(self.folder / "a.jpg", exif=exif)
        shown = picture_reader.read_image(self.folder / "a.jpg", pictures.at_most(16))
        self.assertEqual(shown.shape, (16, 12, 3))
        self.assertAllClose(shown[5, 5].astype(int), [200, 100, 50], atol=2)
        Image.fromarray(np.full([6120, 8160], 32_896, np.uint16)).save(self.folder / "a.png", compress_level=1)
        self.assertAllEqual(
            picture_reader.read_image(self.folder / "a.png", pictures.squash(2)), np.full([2, 2, 3], 128)
        )
        noise = np.random.default_rng(0).integers(0, 256, [500, 667, 3], np.uint8)
        Image.fromarray(noise).resize([4000, 3000]).save(self.folder / "a.jp2", irreversible=True)
        self.assertEqual(picture_reader.read_image(self.folder / "a.jp2", pictures.squash(2)).shape, (2, 2, 3))

    def test_pictures_with_transparency_take_their_own_memory_alone(self):
        """A quarter of the largest ones in a quarter of the memory; paper and opacity would each take as much again."""
        self.limit(300, picture_reader.LIMITS.megabytes // 4)
        for mode, colour in (("RGBA", (200, 0, 0, 0)), ("LA", (90, 0))):
            Image.new(mode, (4000, 4000), colour).save(self.folder / f"{mode}.png", compress_level=1)
            shown = picture_reader.read_image(self.folder / f"{mode}.png", pictures.squash(2))
            self.assertAllEqual(shown, np.full([2, 2, 3], 255))

    def test_a_process_that_has_died(self):
        process = self.limit(60, 64)
        self.assert_read(self.good)
        process._process.kill()
        process._process.wait()
        self.assert_read(self.good)

    def test_what_a_process_cannot_have_read_is_refused(self):
        """A file that has taken the process over may answer anything."""
        answer = picture_reader.Answer
        for given in (answer(bytes(10), 1), answer(b"", 0), answer(b"", -1), answer(bytes(12), -2)):
            patch = mock.patch.object(picture_reader, "_ask", return_value=given)
            with patch, self.assertRaisesRegex(UsageError, "the decoder gave"):
                picture_reader.read_image(self.good, pictures.squash(16))

    def test_what_is_no_file_is_not_opened(self):
        os.mkfifo(self.folder / "pipe.png")  # Nobody writes to it.
        (self.folder / "folder.png").mkdir()
        for name in ("pipe.png", "folder.png"):
            self.assertEqual(picture_reader.count_pages(self.folder / name), 1)
            self.assertIsNone(picture_reader.is_strip(self.folder / name))
            self.refused(self.folder / name, "no file, but a folder, a pipe, a socket or a device")

    def test_a_folder_tells_of_pictures_whose_pages_cannot_be_counted(self):
        """A GIF by another name, of which Pillow has to look at every frame."""
        self.limit(0.5, 512)
        made_files.write_pictures(self.folder / "frames", made_files.numbered(range(4)))
        frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
        head = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"
        (self.folder / "frames" / "frame_2.png").write_bytes(head + frame * 300_000 + b";")
        contents = find_inputs(str(self.folder / "frames"))
        self.assertEqual(contents.unusable, [("frame_2.png", "took longer than 0.5 s")])
        self.assertEqual(sum(len(item.files) for item in contents.inputs), 3)


def _processor_time(process: Confined) -> float:
    """Seconds that a process has had of all processors."""
    fields = Path(f"/proc/{process._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    tf.test.main()
