"""Pictures and clips on disk, through the real Pillow and FFmpeg."""

import struct
import time
import zlib
from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import made_files
from tfvideogan.config import UsageError
from tfvideogan.data.synthetic import Sprites
from tfvideogan.files import atomic, pictures, videos


def gif_frames(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        frames = []
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB")))
    return np.stack(frames)


def declared_png(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes whose header declares this size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    whole = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


class MediaTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.get_temp_dir())

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


class WriteTest(MediaTest):
    def test_clips_survive_the_round_trip(self):
        frames = Sprites(32, 6)[0]
        for name in ("clip.gif", "clip.mp4", "CLIP.MP4"):
            with self.subTest(name):
                path = self.folder / name
                videos.write_clip(path, frames, fps=10)
                back = (
                    gif_frames(path)
                    if name.endswith("gif")
                    else np.stack(list(videos.read_video(path, pictures.squash(32))))
                )
                self.assertEqual(back.shape, frames.shape)
                self.assertLess(np.abs(back.astype(int) - frames).mean(), 4)
                order = [np.abs(frames.astype(int) - frame).mean((1, 2, 3)).argmin() for frame in back]
                self.assertEqual(order, list(range(6)))

    def test_gif_keeps_every_frame_of_a_still_clip(self):
        for numbers in ([3] * 8, [0, 0, 5, 5, 5, 1]):
            with self.subTest(numbers=numbers):
                videos.write_clip(self.folder / "still.gif", made_files.numbered(numbers))
                self.assertEqual(made_files.numbers(gif_frames(self.folder / "still.gif")), numbers)

    def test_gif_of_a_still_background_does_not_flicker(self):
        frames = np.repeat(Sprites(32, 2)[0][:1], 4, axis=0)
        frames[1:3, :4, :4] = 255
        videos.write_clip(self.folder / "clip.gif", frames)
        self.assertEqual(np.ptp(gif_frames(self.folder / "clip.gif").astype(int)[:, 4:], axis=0).max(), 0)

    def test_odd_sides_of_an_mp4_repeat_the_last_line(self):
        frames = made_files.numbered(range(4), height=17, width=19).copy()
        frames[:, -1], frames[:, :, -1] = 250, 250
        videos.write_clip(self.folder / "odd.mp4", frames)
        with av.open(str(self.folder / "odd.mp4")) as container:
            back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        self.assertEqual(back.shape, (4, 18, 20, 3))
        self.assertAllClose(back[:, 17, 19].astype(int), np.full([4, 3], 250), atol=12)

    def test_pictures_survive_the_round_trip(self):
        frame = Sprites(16, 1)[0][0]
        pictures.write_image(self.folder / "new" / "picture.png", frame)
        self.assertAllEqual(pictures.read_image(self.folder / "new" / "picture.png"), frame)

    def test_nothing_but_the_file_is_left(self):
        for name in ("clip.gif", "clip.mp4"):
            videos.write_clip(self.folder / name, made_files.numbered(range(3)))
            videos.write_clip(self.folder / name, made_files.numbered(range(4)))  # over the old one
        self.assertEqual(self.names(), ["clip.gif", "clip.mp4"])
        self.assertLen(list(videos.read_video(self.folder / "clip.mp4", pictures.squash(16))), 4)

    def test_a_failed_write_leaves_what_was_there(self):
        videos.write_clip(self.folder / "clip.mp4", made_files.numbered(range(3)))
        with self.assertRaises(Exception):  # noqa: B017 - whatever it is
            videos.write_clip(self.folder / "clip.mp4", np.zeros([2, 16, 16, 7], np.uint8))
        (self.folder / "taken.gif").mkdir()
        with self.assertRaises(OSError):
            videos.write_clip(self.folder / "taken.gif", made_files.numbered(range(3)))
        self.assertEqual(self.names(), ["clip.mp4", "taken.gif"])
        self.assertLen(list(videos.read_video(self.folder / "clip.mp4", pictures.squash(16))), 3)

    def test_outputs_that_cannot_be_written_are_refused(self):
        (self.folder / "folder.mp4").mkdir()
        (self.folder / "file").touch()
        for name in ("clip.avi", "clip", "clip.mp4.txt", "folder.mp4", "file/clip.mp4"):
            with self.subTest(name), self.assertRaisesRegex(UsageError, f"--output.*{Path(name).parts[0]}"):
                atomic.check_output("output", self.folder / name, videos.CLIP_SUFFIXES)
        for name in ("clip.MP4", "new/folders/clip.gif"):
            atomic.check_output("output", self.folder / name, videos.CLIP_SUFFIXES)
        self.assertEqual(self.names(), ["file", "folder.mp4"])


class ReadTest(MediaTest):
    def refused(self, name: str, message: str = ""):
        """The one error a command prints, and it names the file."""
        read = (
            pictures.read_image
            if Path(name).suffix in pictures.IMAGE_SUFFIXES
            else lambda path: list(videos.read_video(path, pictures.squash(16)))
        )
        with self.assertRaisesRegex(UsageError, f"{name}.*{message}"):
            read(self.folder / name)

    def test_every_mode_is_read_as_rgb(self):
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
            with self.subTest(mode):
                path = self.folder / ("picture.tif" if mode == "CMYK" else "picture.png")
                Image.new("RGB", (20, 10), "white").convert(mode).save(path)
                self.assertAllEqual(pictures.read_image(path), np.full([10, 20, 3], 255))

    def test_sixteen_bit_grey_is_scaled_and_not_cut(self):
        greys = np.array([[0, 257, 32896, 65535]], np.uint16)
        Image.fromarray(greys).save(self.folder / "deep.png")
        self.assertAllClose(
            pictures.read_image(self.folder / "deep.png")[..., 0].astype(int), [[0, 1, 128, 255]], atol=1
        )

    def test_a_photo_is_turned_as_its_camera_says(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise
        Image.new("RGB", (20, 10)).save(self.folder / "photo.jpg", exif=exif)
        self.assertEqual(pictures.read_image(self.folder / "photo.jpg").shape, (20, 10, 3))

    def test_a_video_is_turned_as_its_camera_says(self):
        frames = np.zeros([4, 32, 32, 3], np.uint8)
        frames[:, :, :16] = 255  # white on the left
        path = made_files.write_video(self.folder / "phone.mp4", frames)
        content = path.read_bytes()
        matrix = content.index(b"tkhd") + 44  # a quarter to the right: (x, y) -> (-y, x)
        one = 1 << 16
        turned = struct.pack(">9i", 0, one, 0, -one, 0, 0, 32 * one, 0, 1 << 30)
        path.write_bytes(content[:matrix] + turned + content[matrix + 36 :])
        for frame in videos.read_video(path, pictures.squash(32)):
            self.assertAllClose([frame[:14].mean(), frame[18:].mean()], [255, 0], atol=3)  # white on top

    def test_pictures_and_videos_are_squashed_without_a_crop(self):
        frame = np.zeros([16, 48, 3], np.uint8)
        frame[:, 24:] = 255
        made_files.write_pictures(self.folder, frame[None])
        made_files.write_video(self.folder / "video.mp4", np.stack([frame] * 2))
        squashed = [
            pictures.read_image(self.folder / "frame_0.png", pictures.squash(8)),
            *videos.read_video(self.folder / "video.mp4", pictures.squash(8)),
        ]
        self.assertLen(squashed, 3)
        for image in squashed:
            self.assertEqual((image.shape, image.dtype), ((8, 8, 3), np.uint8))
            self.assertAllClose(image[:, [0, 1, 2, 5, 6, 7], 0].astype(int), [[0, 0, 0, 255, 255, 255]] * 8, atol=12)

    def test_shrinking_is_antialiased(self):
        stripes = np.zeros([32, 32, 3], np.uint8)
        stripes[:, ::2] = 254
        self.assertAllClose(pictures.resize(stripes, 8, 8)[:, 1:-1].astype(int), np.full([8, 6, 3], 127), atol=2)

    def test_what_is_missing_or_of_another_kind(self):
        for name in ("gone.png", "gone.mp4"):
            self.refused(name, "no such file")
        for name in ("text.jpg", "text.mp4", "empty.jpg", "empty.mp4", "picture.png"):
            (self.folder / name).write_bytes(b"" if "empty" in name else b"Once upon a time.\n" * 50)
            with self.subTest(name):
                self.refused(name)
        (self.folder / "folder.png").mkdir()
        self.refused("folder.png")

    def test_truncated_pictures(self):
        noise = np.random.default_rng(0).integers(0, 256, [1, 64, 64, 3], np.uint8)
        for suffix in pictures.IMAGE_SUFFIXES:
            with self.subTest(suffix):
                made_files.write_pictures(self.folder, noise, "cut{}" + suffix)
                made_files.cut(self.folder / f"cut0{suffix}", 0.6)
                self.refused(f"cut0{suffix}")

    def test_a_picture_bomb_is_refused_from_its_header(self):
        for side in (30_000, 8_100):
            (self.folder / "bomb.png").write_bytes(declared_png(side, side))
            start = time.monotonic()
            with self.subTest(side=side):
                self.refused("bomb.png", "pixels")
                self.assertLess(time.monotonic() - start, 1.0)
        (self.folder / "large.png").write_bytes(declared_png(4000, 4000))
        self.refused("large.png", "damaged")  # a size that is fine, and no pixels
