"""Pictures of any mode of Pillow's in 8 bits of RGB, on paper where they are transparent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

PAPER = (255, 255, 255)  # What is transparent shows this colour.
_PIXELS_AT_ONCE = 2**20  # Opacity and paper of a large picture would take twice its memory.


def flattened(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture in RGB of 8 bits, on paper, scaled to so many pixels."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return resized(image, width, height)
    image, narrow = _eight_bits(image), Image.new("RGB", (width, image.height))
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):  # Pillow, too, scales the width first.
        part = _on_paper(image.crop((0, top, image.width, min(top + rows, image.height))))
        narrow.paste(resized(part, width, part.height), (0, top))
    return resized(narrow, width, height)


def resized(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture scaled, antialiased."""
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)


def _on_paper(image: Image.Image) -> Image.Image:
    """The picture in RGB, with PAPER behind what is transparent."""
    if "transparency" not in image.info and not image.mode.upper().endswith("A"):
        return image if image.mode == "RGB" else image.convert("RGB")
    colour = image.info.get("transparency")
    if isinstance(colour, tuple) and max(colour) > 255:  # It is of 16 bits, of which Pillow has taken the upper ones.
        image.info["transparency"] = tuple(level >> 8 for level in colour)
    picture = image if image.mode == "RGBA" else image.convert("RGBA")
    paper = Image.new("RGB", picture.size, PAPER)
    paper.paste(picture, mask=picture)
    return paper


def find_transparent(file: str | Path, image: Image.Image) -> None:
    """Mends what Pillow makes of the one transparent level or colour of a PNG, where a sample is not of 8 bits.

    Pillow scales grey of 2 and 4 bits, and not that level. Of colours of 16 bits it keeps the upper 8 and takes the
    level for one of 8, so that the lower ones are read too, as if the file had the other order of bytes.
    """
    rawmode = image.tile[0].args
    if rawmode in ("L;2", "L;4"):
        image.info["transparency"] *= 85 if rawmode == "L;2" else 17
    elif rawmode == "RGB;16B":
        colour = np.array(image.info.pop("transparency"))
        with Image.open(file, formats=["PNG"]) as lower:
            lower.tile = [lower.tile[0]._replace(args="RGB;16L")]
            del lower.info["transparency"]
            same = np.all(np.asarray(lower) == colour % 256, axis=-1)
        same &= np.all(np.asarray(image) == colour >> 8, axis=-1)
        image.putalpha(Image.fromarray(np.where(same, np.uint8(0), np.uint8(255))))


def _eight_bits(image: Image.Image) -> Image.Image:
    """The picture with deep grey scaled to 8 bits, where Pillow's own conversion would clip it.

    Integers up to 65,535 are taken for 16 bits. Floats are taken for what their values say: in [0, 1], or levels of 8
    or of 16 bits. ValueError for any others, since nothing tells what is white.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    low, high = np.min(values), np.max(values)
    if not (low >= 0 and high <= 65_535):
        raise ValueError(f"its values, from {low:g} to {high:g}, are of no known range")
    if image.mode.startswith("F"):
        white = 65_535 if high > 255 else 255 if high > 1 else 1
        return Image.fromarray(np.uint8(np.floor(values / np.float64(white) * 255 + 0.001)))
    eight = np.uint8(np.floor(np.arange(65_536) / 65_535 * 255 + 0.001))
    if isinstance(level := image.info.get("transparency"), int):
        eight[level] = PAPER[0]
    return Image.fromarray(eight[values])
