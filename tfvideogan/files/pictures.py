"""Pictures on disk and film-strips, by Pillow. Frames are uint8 RGB."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tfvideogan.config import UsageError
from tfvideogan.files import atomic, optional, paths

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # EPS is left out, as it is a program.
MAX_PIXELS = 64_000_000  # A picture that declares more is refused by its header.

# A Fit maps the (width, height) of a frame to those that it is scaled to.
Fit = Callable[[int, int], tuple[int, int]]


def squash(size: int) -> Fit:
    """Scales to `size` x `size` pixels whatever the shape was, as MD-GAN's data are."""
    return lambda width, height: (size, size)  # noqa: ARG005


def at_most(longest: int) -> Fit:
    """Scales pictures down, in their shape, whose longer side is over `longest` pixels."""

    def fit(width: int, height: int) -> tuple[int, int]:
        scale = min(1.0, longest / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    return fit


def short_side(size: int) -> Fit:
    """Scales to a short side of `size` pixels and keeps the shape, as Video-GAN's data are before they are cropped."""

    def fit(width: int, height: int) -> tuple[int, int]:
        scale = size / min(width, height)
        return max(size, round(width * scale)), max(size, round(height * scale))

    return fit


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
    try:
        with paths.local(path) as file, Image.open(file, formats=_IMAGE_FORMATS) as image:
            check_pixels(path, image.width, image.height)
            if image.format == "WEBP" and optional.has_tensorflow_io():
                exif, image = image.getexif(), Image.fromarray(_decode_webp(Path(file).read_bytes()))
                image.info["exif"] = exif.tobytes()
            frame = np.asarray(ImageOps.exif_transpose(_eight_bits(image)).convert("RGB"))
            return frame if fit is None else resize(frame, *fit(frame.shape[1], frame.shape[0]))
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UsageError(f"{path}: not a picture that Pillow can read") from error
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"{path}: damaged picture ({error})") from error


def _decode_webp(content: bytes) -> np.ndarray:
    """A WebP picture as uint8 [H, W, 3], by tensorflow-io."""
    return optional.tensorflow_io().image.decode_webp(content).numpy()[..., :3]


def is_strip(path: str | Path) -> bool | None:
    """Whether a picture is four or more square frames under each other by its header; None if it cannot be read."""
    try:
        with paths.local(path) as file, Image.open(file, formats=_IMAGE_FORMATS) as image:
            return image.height % image.width == 0 and image.height >= 4 * image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture with 16-bit grey scaled to 8 bits, where Pillow's own conversion would clip it at 255."""
    return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)) if image.mode.startswith("I") else image


def check_pixels(path: str | Path, width: int, height: int) -> None:
    """Raises UsageError for more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise UsageError(f"{path}: {width} x {height} pixels are more than {MAX_PIXELS:,}")


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scales uint8 [H, W, 3] to [height, width, 3], antialiased and without a crop."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize([width, height], Image.Resampling.BILINEAR))


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
