"""Pictures on disk and film-strips, by Pillow. Frames are uint8 RGB."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from tfvideogan.config import UsageError
from tfvideogan.files import atomic, flatten, optional, paths

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".avif", ".heic", ".heif"),
)
_IMAGE_FORMATS = (  # EPS is left out, as it is a program.
    *("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF"),
)
_MANY_PAGES = (b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # Such files begin with one of these.
_HEADER_BYTES = 2**16
_MOST_COUNTED = 100
MAX_PIXELS = 64_000_000  # A picture that declares more is refused by its header.

# A Fit maps the (width, height) of a frame to those that it is scaled to. It can be sent to another process.
Fit = Callable[[int, int], tuple[int, int]]


def squash(size: int) -> Fit:
    """Scales to `size` x `size` pixels whatever the shape was, as MD-GAN's data are."""
    return functools.partial(_squashed, size)


def _squashed(size: int, width: int, height: int) -> tuple[int, int]:  # noqa: ARG001 - the shape does not count
    return size, size


def at_most(longest: int) -> Fit:
    """Scales pictures down, in their shape, whose longer side is over `longest` pixels."""
    return functools.partial(_shrunk, longest)


def _shrunk(longest: int, width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def short_side(size: int) -> Fit:
    """Scales to a short side of `size` pixels and keeps the shape, as Video-GAN's data are before they are cropped."""
    return functools.partial(_to_short_side, size)


def _to_short_side(size: int, width: int, height: int) -> tuple[int, int]:
    scale = size / min(width, height)
    return max(size, round(width * scale)), max(size, round(height * scale))


def centre_crop(frame: np.ndarray) -> np.ndarray:
    """The square in the middle of uint8 [H, W, 3], as large as it goes."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]


def read_image(path: str | Path, fit: Fit | None = None) -> np.ndarray:
    """A picture as uint8 [H, W, 3], scaled if `fit` is given.

    Raises:
        UsageError: the file is missing, no picture or truncated, or declares more than `MAX_PIXELS`.
    """
    with _telling(path), _opened(path) as (file, image):
        if image.format == "WEBP" and optional.has_tensorflow_io():
            exif, image = image.getexif(), Image.fromarray(_decode_webp(Path(file).read_bytes()))
            image.info["exif"] = exif.tobytes()
        elif image.format == "PNG" and image.tile and "transparency" in image.info:
            flatten.find_transparent(file, image)
        ImageOps.exif_transpose(image, in_place=True)  # A copy of a large picture would take much memory.
        return _fitted(image, fit)


def read_pages(path: str | Path, fit: Fit) -> Iterator[np.ndarray]:
    """All pages of a file that has several, such as a TIFF or an animated WebP or PNG, uint8 [H, W, 3] each.

    Raises:
        UsageError: as for `read_image`, also after some pages.
    """
    with _telling(path), _opened(path) as (_, image):
        for page in ImageSequence.Iterator(image):
            yield _fitted(ImageOps.exif_transpose(page), fit)


def from_array(frame: np.ndarray, fit: Fit) -> np.ndarray:
    """Grey uint8 [H, W] or [H, W, 1], or colours [H, W, 3 or 4], the last of which is opacity, as uint8 [H, W, 3]."""
    return _fitted(Image.fromarray(frame[..., 0] if frame.shape[2:] == (1,) else frame), fit)


def count_pages(path: str | Path) -> int:
    """How many pages a picture has by its content, whatever its name; 1 for what cannot be read.

    Of a TIFF no more than a hundred are counted: Pillow takes minutes for one of many thousand empty pages.
    """
    if not may_have_pages(path):
        return 1
    try:
        with paths.local(path) as file, Image.open(file, formats=_formats(path)) as image:
            return _count_tiff(image) if image.format == "TIFF" else getattr(image, "n_frames", 1)
    except Exception:  # Pillow's readers raise anything on evil files, which decoding will tell of.
        return 1


def may_have_pages(path: str | Path) -> bool:
    """Whether a file begins as pictures of several pages do; nothing of it is decoded."""
    try:
        if not paths.is_file(path):  # To read a pipe could take for ever.
            return False
        with paths.path(path).open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except Exception:  # Each file system raises errors of its own, which decoding will tell of.
        return False
    if head.startswith(b"\x89PNG"):
        return _may_be_animated_png(head)
    if head.startswith(b"RIFF"):  # Of WebP's extended header, a bit tells of an animation.
        return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
    return head.startswith(_MANY_PAGES)


def _may_be_animated_png(head: bytes) -> bool:
    """Whether a PNG says before its first pixels that it has several frames, or those begin behind this head."""
    place = 8
    while len(chunk := head[place : place + 8]) == 8:
        length, kind = struct.unpack(">I4s", chunk)
        if kind in (b"acTL", b"IDAT"):
            return kind == b"acTL"
        place += 12 + length  # The length itself, the kind and a checksum have 12 bytes.
    return True


def _count_tiff(image: Image.Image) -> int:
    for page in range(1, _MOST_COUNTED):
        try:
            image.seek(page)
        except EOFError:
            return page
    return _MOST_COUNTED


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[str | Path, Image.Image]]:
    """A local copy of a file, and the picture in it, whose header has been checked."""
    if Path(path).suffix.lower() in (".heic", ".heif"):
        try:
            optional.package("pillow_heif", "pillow-heif", "heic").register_heif_opener()
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    with paths.local(path) as file, Image.open(file, formats=_formats(path)) as image:
        check_pixels(path, image.width, image.height)
        yield file, image


def _formats(path: str | Path) -> list[str]:
    """Pillow's formats to try. Nothing marks a TGA but its name, and its reader would take other files for one."""
    Image.init()
    names = [*_IMAGE_FORMATS, "HEIF", *(["TGA"] if Path(path).suffix.lower() == ".tga" else [])]
    return [name for name in names if name in Image.OPEN]


@contextlib.contextmanager
def _telling(path: str | Path) -> Iterator[None]:
    """Raises UsageError in place of what Pillow raises."""
    try:
        yield
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UsageError(f"{path}: not a picture that Pillow can read") from error
    except UsageError:
        raise
    except MemoryError as error:  # Pillow raises it for damaged JPEG 2000, too.
        raise UsageError(f"{path}: cannot allocate memory for this picture, which may be damaged") from error
    except Exception as error:  # Pillow's readers raise anything on evil files.
        raise UsageError(f"{path}: damaged picture ({error})") from error


def _fitted(image: Image.Image, fit: Fit | None) -> np.ndarray:
    """An upright picture on paper where it is transparent, in 8 bits a colour, and scaled."""
    return np.asarray(flatten.flattened(image, *(fit(*image.size) if fit else image.size)))


def _decode_webp(content: bytes) -> np.ndarray:
    """A WebP picture as uint8 [H, W, 4], by tensorflow-io."""
    return optional.tensorflow_io().image.decode_webp(content).numpy()


def is_strip(path: str | Path) -> bool | None:
    """Whether a picture is four or more square frames under each other by its header; None if it cannot be read."""
    try:
        with _opened(path) as (_, image):
            return image.height % image.width == 0 and image.height >= 4 * image.width
    except Exception:  # Pillow's readers raise anything on evil files, which decoding will tell of.
        return None


def check_pixels(path: str | Path, width: int, height: int) -> None:
    """Raises UsageError for more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise UsageError(f"{path}: {width} x {height} pixels are more than {MAX_PIXELS:,}")


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scales uint8 [H, W, 3] to [height, width, 3], antialiased and without a crop."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(flatten.resized(Image.fromarray(frame), width, height))


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] as a PNG, completely or not at all."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    atomic.write_bytes(path, buffer.getvalue())


@dataclasses.dataclass(frozen=True)
class StripEncoding:
    """How film-strips are compressed: as `jpeg` of a quality from 1 to 100, or as lossless `png`."""

    name: str = "jpeg"
    quality: int = 95


def encode_strip(frames: np.ndarray, encoding: StripEncoding) -> bytes:
    """Encodes frames uint8 [T, H, W, 3] as one picture of them under each other.

    JPEGs have the full colour resolution, so that no frame bleeds into its neighbour if H is a multiple of 8.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(frames.reshape(-1, *frames.shape[2:]))
    if encoding.name == "jpeg":
        image.save(buffer, "JPEG", quality=encoding.quality, subsampling=0)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def strip_size(content: bytes) -> tuple[int, int]:
    """Width and height by the header of a JPEG or PNG. Raises ValueError if it is none, or declares too much."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG", "PNG"]) as image:
            width, height = image.size
    except UnidentifiedImageError as error:
        raise ValueError("strips must be JPEGs or PNGs") from error
    except Exception as error:  # Pillow's readers raise anything on evil files.
        raise ValueError(f"a strip whose header cannot be read ({error})") from error
    if width * height > MAX_PIXELS:
        raise ValueError(f"a strip of {width} x {height} pixels, which are more than {MAX_PIXELS:,}")
    return width, height


def decode_strip(content: bytes) -> np.ndarray:
    """The frames of a JPEG film-strip of square frames, uint8 [T, H, H, 3]. Raises ValueError for what is none."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            check_pixels("a film-strip", image.width, image.height)
            rows = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"a film-strip cannot be decoded ({error})") from error
    if len(rows) % rows.shape[1]:
        raise ValueError(f"a film-strip has square frames. Received: {rows.shape[1]} x {len(rows)} pixels")
    return rows.reshape(-1, rows.shape[1], *rows.shape[1:])
