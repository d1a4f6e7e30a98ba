"""Pictures inside a graph against `tfvideogan.predict`'s reading of the same files, by Pillow."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from tests.helpers.made_files import picture
from tfvideogan.files import pictures
from tfvideogan.inference import decoding

SIZE = 64


def exif(orientation: int, endian: str = "<") -> bytes:
    """Exif with a tag before the orientation and one behind it."""
    tags = Image.Exif()
    tags.endian = endian
    tags[0x010F], tags[0x0112], tags[0x0131] = "a camera", orientation, "a program"
    return tags.tobytes()


class DecodingTest(tf.test.TestCase, parameterized.TestCase):
    def assert_read_alike(self, content: bytes, levels: int = 1) -> np.ndarray:
        path = Path(self.create_tempdir().full_path) / "picture"
        path.write_bytes(content)
        (frame,) = decoding.decode_images(tf.constant([content]), SIZE).numpy()
        self.assertAllClose(
            frame.astype(int), pictures.read_image(path, pictures.squash(SIZE)).astype(int), atol=levels
        )
        return frame

    @parameterized.product(kind=("JPEG", "PNG"), shape=((300, 200), (20, 31), (64, 64), (1, 1)), mode=("RGB", "L"))
    def test_pictures_of_any_size_are_squashed_alike(self, kind, shape, mode):
        self.assert_read_alike(picture(*shape, kind=kind, mode=mode))

    @parameterized.parameters(
        {"kind": "PNG", "mode": "P"}, {"kind": "PNG", "mode": "RGBA"}, {"kind": "JPEG", "progressive": True},
        {"kind": "JPEG", "subsampling": 2, "quality": 40}, {"kind": "JPEG", "exif": Image.Exif()},
    )  # fmt: skip
    def test_kinds_of_jpeg_and_png_are_read_alike(self, **options):
        self.assert_read_alike(picture(**options))

    def test_what_is_transparent_lies_on_paper(self):
        """The colours under transparent pixels are noise, which neither reading may show."""
        noise = np.random.default_rng(0).integers(0, 255, [64, 64, 4], np.uint8)
        noise[..., 3] = np.arange(64) * 4
        noise[20:40, :, 3] = 0
        grey = Image.merge("LA", [Image.fromarray(noise[..., 0]), Image.fromarray(noise[..., 3])])
        palette = Image.fromarray(noise[..., :3]).quantize(16)
        for image, options in ((Image.fromarray(noise), {}), (grey, {}), (palette, {"transparency": 3})):
            buffer = io.BytesIO()
            image.save(buffer, "PNG", **options)
            frame = self.assert_read_alike(buffer.getvalue(), levels=2)
            if not options:
                self.assertAllEqual(frame[20:40], np.full([20, 64, 3], 255))

    @parameterized.parameters(2, 4, 16, None)
    def test_opaque_pictures_of_few_bits_are_read_alike(self, colours):
        """Pillow writes palettes of up to 2, 4 and 16 colours in 1, 2 and 4 bits a pixel, and black and white in 1."""
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, [SIZE, SIZE, 3], np.uint8))
        buffer = io.BytesIO()
        (noise.quantize(colours) if colours else noise.convert("1")).save(buffer, "PNG")
        self.assertLess(buffer.getvalue()[24], 8)
        self.assert_read_alike(buffer.getvalue())

    def test_16_bits_a_pixel_are_read_alike(self):
        buffer = io.BytesIO()
        grey = np.random.default_rng(0).integers(0, 2**16, [90, 70]).astype(np.uint16)
        Image.fromarray(grey).save(buffer, "PNG")
        self.assert_read_alike(buffer.getvalue(), levels=2)

    @parameterized.product(orientation=[*range(1, 9)], endian=("<", ">"))
    def test_photos_are_turned_as_the_camera_was_held(self, orientation, endian):
        frame = self.assert_read_alike(picture(exif=exif(orientation, endian)))
        as_stored = self.assert_read_alike(picture())
        self.assertEqual(np.abs(frame.astype(int) - as_stored).max() > 20, orientation > 1)

    def test_damaged_exif_leaves_the_picture_as_it_is(self):
        as_stored = self.assert_read_alike(picture())
        tags = exif(6)
        for damaged in (tags[:10], tags[:6] + b"\xff" * 40, tags[:10] + b"\x7f\xff\xff\xff" + tags[14:]):
            frame = decoding.decode_images(tf.constant([picture(exif=damaged)]), SIZE)[0]
            self.assertAllEqual(frame, as_stored)


if __name__ == "__main__":
    tf.test.main()
