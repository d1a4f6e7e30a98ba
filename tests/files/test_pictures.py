"""Pictures on disk, through the real Pillow."""

import base64
import importlib.util
import itertools
import struct
import time
import zlib
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import made_files
from tfvideogan.config import UsageError
from tfvideogan.data.synthetic import Sprites
from tfvideogan.files import flatten, pictures
from tfvideogan.inference.decoding import decode_images

HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJpbG9jAA"
    "AAAERAAAEAAQAAAAABoAABAAAAAAAAAFUAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAA"
    "AADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkA"
    "AAAwAAAwAeoCCBBZbqrprm4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAA"
    "AChjbGFwAAAAEAAAAAEAAAAQAAAAAf///9AAAAAC////0AAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAXW"
    "1kYXQAAABRKAGvBPIawsaAQlFUe/qZ86/sx//xcsA52HOf/QxZvadbG5Tbva04DGDDHhSzPN/e+oz5UQdApPxfqLLrlhqmvRtA7sF550z3CJRC"
    "slwV/4zA"
)


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


class PicturesTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def refused(self, name: str, message: str = ""):
        """The one error that a command prints, which names the file."""
        with self.assertRaisesRegex(UsageError, f"{name}.*{message}"):
            pictures.read_image(self.folder / name)

    def test_pictures_survive_the_round_trip(self):
        frame = Sprites(16, 1)[0][0]
        pictures.write_image(self.folder / "new" / "picture.png", frame)
        self.assertAllEqual(pictures.read_image(self.folder / "new" / "picture.png"), frame)

    def test_every_mode_is_read_as_rgb(self):
        for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK"):
            with self.subTest(mode):
                path = self.folder / ("picture.tif" if mode == "CMYK" else "picture.png")
                Image.new("RGB", (20, 10), "white").convert(mode).save(path)
                self.assertAllEqual(pictures.read_image(path), np.full([10, 20, 3], 255))

    def test_what_is_transparent_lies_on_paper(self):
        """Under transparent pixels there is red, which nobody is meant to see; half a blue is mixed with white."""
        colours = np.zeros([4, 6, 4], np.uint8)
        colours[:, :2], colours[:, 2:4], colours[:, 4:] = (255, 0, 0, 0), (0, 0, 200, 128), (0, 0, 200, 255)
        shown = [[255, 255, 255], [127, 127, 227], [0, 0, 200]]
        picture = Image.fromarray(colours)
        picture.save(self.folder / "a.png")
        picture.save(self.folder / "a.webp", lossless=True, exact=True)
        for name in ("a.png", "a.webp"):
            self.assertAllClose(pictures.read_image(self.folder / name)[0, ::2].astype(int), shown, atol=1, msg=name)
        Image.merge("LA", [Image.new("L", (2, 2), 10), Image.new("L", (2, 2), 0)]).save(self.folder / "la.png")
        palette = Image.new("P", (2, 2), 1)
        palette.putpalette([0, 0, 0, 200, 30, 30])
        palette.save(self.folder / "p.png", transparency=1)
        palette.save(self.folder / "p.gif", transparency=1)
        for name in ("la.png", "p.png", "p.gif"):
            self.assertAllEqual(pictures.read_image(self.folder / name), np.full([2, 2, 3], 255), name)

    def test_large_pictures_are_the_same_by_strips(self):
        """Strips of three rows and of one, of every mode, scaled down and up."""
        rng = np.random.default_rng(0)
        rgba = Image.fromarray(rng.integers(0, 256, [23, 31, 4], np.uint8))
        images = [rgba.convert(mode) for mode in ("RGBA", "LA", "L", "CMYK", "YCbCr", "1")]
        images += [rgba.convert("RGB").quantize(16), rgba.convert("RGB")]
        images[-2].info["transparency"] = 3
        images[-1].info["transparency"] = images[-1].getpixel((0, 0))
        for image, (width, height) in itertools.product(images, ((31, 23), (7, 5), (31, 5), (40, 50))):
            with self.subTest(image.mode, width=width):
                expected = flatten.flattened(image, width, height)
                for pixels in (100, 1):
                    with mock.patch.object(flatten, "_PIXELS_AT_ONCE", pixels):
                        self.assertAllEqual(flatten.flattened(image, width, height), expected)
                whole = Image.new("RGB", image.size, flatten.PAPER)
                opaque = image.convert("RGBA")
                whole.paste(opaque, mask=opaque)
                self.assertAllEqual(whole.resize((width, height), Image.Resampling.BILINEAR), expected)

    def test_pages_are_counted_by_content_and_read_in_order(self):
        pages = [Image.new("RGB", (8, 6), (40 * number, 90, 200)) for number in range(5)]
        for name in ("a.tif", "a.webp", "a.png", "misnamed.png"):
            kind = "GIF" if name.startswith("misnamed") else None
            options = {"lossless": True} if name.endswith("webp") else {}
            pages[0].save(self.folder / name, kind, save_all=True, append_images=pages[1:], **options)
            self.assertEqual(pictures.count_pages(self.folder / name), 5, name)
            read = list(pictures.read_pages(self.folder / name, pictures.squash(4)))
            self.assertAllClose([int(page[0, 0, 0]) for page in read], [0, 40, 80, 120, 160], atol=3, msg=name)
        for name in ("one.tif", "one.webp", "one.png", "one.jpg"):
            pages[0].save(self.folder / name)
            self.assertEqual(pictures.count_pages(self.folder / name), 1, name)
        (self.folder / "text.png").write_text("II*\0 no picture")
        self.assertEqual(pictures.count_pages(self.folder / "text.png"), 1)
        self.assertEqual(pictures.count_pages(self.folder / "gone.png"), 1)

    def test_what_has_one_page_by_its_header_is_told_without_decoding(self):
        pages = [Image.new("RGB", (8, 6), (40 * number, 90, 200)) for number in range(5)]
        exif = Image.Exif()
        exif[0x0112] = 6
        for name in ("a.png", "a.webp"):
            pages[0].save(self.folder / name, exif=exif)
            self.assertFalse(pictures.may_have_pages(self.folder / name), name)
            pages[0].save(self.folder / name, save_all=True, append_images=pages[1:], exif=exif)
            self.assertTrue(pictures.may_have_pages(self.folder / name), name)
        content = (self.folder / "a.png").read_bytes()
        for text in (b"no IDAT yet", bytes(70_000)):
            chunk = b"tEXt" + b"key\0" + text
            whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
            (self.folder / "text.png").write_bytes(content[:33] + whole + content[33:])
            self.assertTrue(pictures.may_have_pages(self.folder / "text.png"))
            self.assertEqual(pictures.count_pages(self.folder / "text.png"), 5)
        for head in (b"RIFF", b"RIFF____WEBPVP8X", b"\x89PNG"):
            (self.folder / "short.png").write_bytes(head)
            self.assertEqual(pictures.count_pages(self.folder / "short.png"), 1)

    def test_further_formats(self):
        picture = Image.new("RGB", (16, 16), (200, 100, 50))
        for suffix in (".ppm", ".pnm", ".tga", ".jp2", ".jfif", ".jpe", ".avif"):
            kind = {".jfif": "JPEG", ".jpe": "JPEG", ".pnm": "PPM"}.get(suffix)
            picture.save(self.folder / f"a{suffix}", kind)
            shown = pictures.read_image(self.folder / f"a{suffix}")[8, 8].astype(int)
            self.assertAllClose(shown, [200, 100, 50], atol=6, msg=suffix)
        for suffix, mode in ((".pgm", "L"), (".pbm", "1"), (".tga", "L")):
            picture.convert(mode).save(self.folder / f"grey{suffix}", "TGA" if suffix == ".tga" else "PPM")
            self.assertEqual(pictures.read_image(self.folder / f"grey{suffix}").shape, (16, 16, 3))

    def test_photos_of_phones_are_read_where_pillow_heif_is(self):
        """The file is of 16 x 16 pixels, blue and orange, written by pillow-heif 1.8.1."""
        path = self.folder / "phone.heic"
        path.write_bytes(base64.b64decode(HEIC))
        if importlib.util.find_spec("pillow_heif") is None:
            self.refused("phone.heic", r"pillow-heif is not installed.*\[heic\]")
        else:
            self.assertFalse(pictures.is_strip(path))
            shown = pictures.read_image(path)[8, [3, 12]].astype(int)
            self.assertAllClose(shown, [[0, 0, 200], [200, 100, 50]], atol=4)
            made_files.cut(path, 0.9)
            self.refused("phone.heic", "damaged")

    def test_sixteen_bit_grey_is_scaled_and_not_cut(self):
        greys = np.array([[0, 257, 32896, 65535]], np.uint16)
        Image.fromarray(greys).save(self.folder / "deep.png")
        self.assertAllClose(
            pictures.read_image(self.folder / "deep.png")[..., 0].astype(int), [[0, 1, 128, 255]], atol=1
        )

    def test_floats_and_32_bits_are_scaled_by_their_range_or_refused(self):
        shares = np.array([[0.0, 0.25, 0.5, 1.0]])
        for name, values in (
            ("unit.tif", np.float32(shares)),
            ("levels.tif", np.float32(shares * 255)),
            ("deep.tif", np.float32(shares * 65_535)),
            ("int.tif", np.int32(shares * 65_535)),
        ):
            Image.fromarray(values).save(self.folder / name)
            found = pictures.read_image(self.folder / name)[..., 0].astype(int)
            self.assertAllClose(found, [[0, 64, 127, 255]], atol=1, msg=name)
        for name, values in (("wide.tif", np.int32([[0, 2**31 - 1]])), ("minus.tif", np.float32([[-1, 1]]))):
            Image.fromarray(values).save(self.folder / name)
            self.refused(name, "no known range")

    def test_a_photo_is_turned_as_its_camera_says(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise
        Image.new("RGB", (20, 10)).save(self.folder / "photo.jpg", exif=exif)
        self.assertEqual(pictures.read_image(self.folder / "photo.jpg").shape, (20, 10, 3))

    def test_pictures_are_squashed_without_a_crop(self):
        frame = np.zeros([16, 48, 3], np.uint8)
        frame[:, 24:] = 255
        made_files.write_pictures(self.folder, frame[None])
        image = pictures.read_image(self.folder / "frame_0.png", pictures.squash(8))
        self.assertEqual((image.shape, image.dtype), ((8, 8, 3), np.uint8))
        self.assertAllClose(image[:, [0, 1, 2, 5, 6, 7], 0].astype(int), [[0, 0, 0, 255, 255, 255]] * 8, atol=12)

    def test_shrinking_is_antialiased(self):
        stripes = np.zeros([32, 32, 3], np.uint8)
        stripes[:, ::2] = 254
        self.assertAllClose(pictures.resize(stripes, 8, 8)[:, 1:-1].astype(int), np.full([8, 6, 3], 127), atol=2)

    def test_what_is_missing_or_of_another_kind(self):
        self.refused("gone.png", "no such file")
        for name in ("text.jpg", "empty.jpg", "picture.png"):
            (self.folder / name).write_bytes(b"" if "empty" in name else b"Once upon a time.\n" * 50)
            with self.subTest(name):
                self.refused(name)
        (self.folder / "folder.png").mkdir()
        self.refused("folder.png")

    def test_truncated_pictures(self):
        noise = np.random.default_rng(0).integers(0, 256, [1, 64, 64, 3], np.uint8)
        for suffix in set(pictures.IMAGE_SUFFIXES) - {".heic", ".heif"}:
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


def empty_pages(count: int) -> bytes:
    """A TIFF of so many pages without a pixel, 114 bytes each."""
    tags = [(256, 1), (257, 16), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 16), (279, 256)]
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    ends = (8 + (i + 1) * (len(entries) + 6) for i in range(count))
    pages = (struct.pack("<H", len(tags)) + entries + struct.pack("<I", end) for end in ends)
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


class ManyPagesTest(tf.test.TestCase):
    def test_a_tiff_of_a_hundred_thousand_empty_pages_is_told_at_once(self):
        path = Path(self.create_tempdir().full_path) / "a.tif"
        begin = time.monotonic()
        for count, counted in ((3, 3), (100_000, 100)):
            path.write_bytes(empty_pages(count)[:-4] + bytes(4))
            self.assertEqual(pictures.count_pages(path), counted)
        self.assertLess(time.monotonic() - begin, 3)


class OneTransparentTest(tf.test.TestCase):
    """PNGs of which one level or colour shows the paper. The graph of a served model, by libpng, shows the same."""

    def assert_shown(self, levels: np.ndarray, transparent: list[int], bits: int) -> None:
        path = Path(self.create_tempdir().full_path) / "a.png"
        made_files.one_transparent(path, levels, transparent, bits)
        colours = levels if levels.ndim == 3 else np.repeat(levels[..., None], 3, -1)
        shown = colours >> 8 if bits == 16 else colours * (255 // (2**bits - 1))
        expected = np.where((colours == transparent).all(-1, keepdims=True), 255, shown)
        self.assertGreater((expected == shown).sum(), 0)
        self.assertAllEqual(pictures.read_image(path), expected)
        in_graph = decode_images(tf.constant([path.read_bytes()]), len(levels))[0]
        self.assertAllEqual(in_graph, expected)

    def test_grey_of_every_depth(self):
        for bits in (1, 2, 4, 8):
            with self.subTest(bits):
                self.assert_shown(np.arange(64).reshape(8, 8) % 2**bits, [1], bits)

    def test_grey_of_16_bits(self):
        grey = np.array([[1000, 5000], [5001, 5255]])
        for level in (5000, 1000, 5255):
            self.assert_shown(grey, [level], 16)

    def test_colours(self):
        self.assert_shown(np.array([[[5, 6, 7], [5, 6, 8]], [[7, 6, 5], [0, 0, 0]]]), [5, 6, 7], 8)

    def test_colours_of_16_bits_that_differ_in_the_lower_ones_only(self):
        colours = np.array([[[5000, 6000, 7000], [5001, 6000, 7000]], [[5000, 6000, 7001], [1000, 1000, 1000]]])
        self.assert_shown(colours, [5000, 6000, 7000], 16)

    def test_colours_of_16_bits_that_look_like_some_of_8(self):
        colours = np.array([[[100, 100, 100], [25_700, 25_700, 25_700]], [[101, 100, 100], [0, 0, 0]]])
        for colour in ([100, 100, 100], [0, 0, 0]):
            self.assert_shown(colours, colour, 16)
