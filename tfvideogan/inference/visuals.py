"""Pictures of clips for people: grids, rows of Video-GAN's streams, MD-GAN's comparison sheet.

`streams`, `sample_rows` and `stage_rows` take floats in [-1, 1], as models make them, and give uint8 RGB. All other
functions take and give uint8 RGB, which `files.pictures` and `files.videos` write.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfvideogan.data.clips import to_uint8

_GAP = 2
_SHADE = 24  # The gaps are of this grey.
_RED = (255, 40, 40)


def streams(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A generator's outputs [N, T, H, W, C] -> uint8 clips [N, T, H, W, 3] by name.

    The mask is grey, from black for 0 to white for 1. `masked_foreground` is
    mask * foreground on black, and the background is repeated over time.
    """
    shape = outputs["clip"].shape
    shown = {"clip": outputs["clip"]}
    if "mask" in outputs:
        mask, foreground, black = outputs["mask"], outputs["foreground"], -1.0
        shown["foreground"] = foreground
        shown["mask"] = np.broadcast_to(mask * 2.0 - 1.0, shape)
        shown["masked_foreground"] = mask * foreground + (1.0 - mask) * black
        shown["background"] = np.broadcast_to(outputs["background"], shape)
    return {name: to_uint8(clip) for name, clip in shown.items()}


def enlarge(clips: np.ndarray, zoom: int) -> np.ndarray:
    """uint8 [..., H, W, 3] with each pixel repeated `zoom` times both ways; 0 and 1 change nothing."""
    return clips.repeat(zoom, axis=-3).repeat(zoom, axis=-2) if zoom > 1 else clips


def sample_rows(outputs: dict[str, np.ndarray], real: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """A model's outputs as rows for `labelled_rows`, below the real clips that they predict, if there are any.

    Args:
        outputs: the dict of a model, [N, T, H, W, C].
        real: [N, T, H, W, 3] in [-1, 1].
    """
    rows = {} if real is None else {"real": to_uint8(real)}
    if "base" in outputs:
        return rows | {"stage 1": to_uint8(outputs["base"]), "stage 2": to_uint8(outputs["clip"])}
    return rows | streams(outputs)


def stage_rows(outputs: dict[str, np.ndarray], image: np.ndarray, real: np.ndarray | None) -> dict[str, np.ndarray]:
    """The first clip of MD-GAN's outputs as rows for `comparison_sheet`, with its input and the real clip.

    Args:
        outputs: the dict of the model, [N, T, H, W, 3].
        image: the input, uint8 [H, W, 3], or [T, H, W, 3] if it drifts.
        real: uint8 [T, H, W, 3], or None if there is none.
    """
    clip = to_uint8(outputs["clip"][0])
    rows = {"input": np.broadcast_to(image, clip.shape)}
    if "base" in outputs:
        rows |= {"stage 1": to_uint8(outputs["base"][0]), "stage 2": clip}
    else:
        rows["stage 1"] = clip
    return rows if real is None else rows | {"real": real}


def grid(clips: np.ndarray, columns: int | None = None, width: int = 0) -> np.ndarray:
    """Clips uint8 [N, T, H, W, 3] -> one clip [T, H', W', 3], in which they stand row by row.

    Args:
        columns: clips in a row; by default as many as make the grid square.
        width: small clips are enlarged up to four times, while the grid is no wider than this, in pixels.
    """
    columns = columns or math.ceil(math.sqrt(len(clips)))
    clips = enlarge(clips, min(4, width // (columns * clips.shape[3])))
    rows = [clips[i : i + columns] for i in range(0, len(clips), columns)]
    return np.concatenate([_pad_row(row, columns) for row in rows], axis=1)


def labelled_rows(rows: dict[str, np.ndarray], tile: int = 128) -> np.ndarray:
    """Rows of clips by name -> one clip [T, H', W', 3], in which they stand below each other.

    Args:
        rows: name -> uint8 [N, T, H, W, 3].
        tile: smaller clips are enlarged up to this height, pixels.
    """
    height = next(iter(rows.values())).shape[2]
    big = [enlarge(clips, tile // height) for clips in rows.values()]
    joined = np.concatenate([_pad_row(row, len(row)) for row in big], axis=1)
    labels = _labels(list(rows), big[0].shape[2])
    return np.concatenate([np.broadcast_to(labels, (len(joined), *labels.shape)), joined], axis=2)


def comparison_sheet(rows: dict[str, np.ndarray], times: int = 8, tile: int = 128) -> np.ndarray:
    """A row of frames for each clip, with a ring around the region in which the two stages differ most.

    Args:
        rows: name -> uint8 [T, H, W, 3]; `stage 1` and `stage 2` are compared if both are there.
        times: the number of columns, which are evenly spaced frames from the first to the last.
        tile: smaller frames are enlarged up to this width, pixels.

    Returns:
        uint8 [H', W', 3].
    """
    frames = len(next(iter(rows.values())))
    columns = np.linspace(0, frames - 1, min(times, frames)).round().astype(int)
    tiles = {name: enlarge(clip[columns], tile // clip.shape[2]) for name, clip in rows.items()}
    if "stage 1" in tiles and "stage 2" in tiles:
        boxes = [differing_region(a, b) for a, b in zip(tiles["stage 1"], tiles["stage 2"], strict=True)]
        for name in ("stage 1", "stage 2"):
            tiles[name] = np.stack([_ring(image, box) for image, box in zip(tiles[name], boxes, strict=True)])
    body = np.concatenate([_pad_row(row[:, None], len(row))[0] for row in tiles.values()])
    labels = _labels(list(tiles), next(iter(tiles.values())).shape[1])
    header = _header([f"frame {t + 1}" for t in columns], next(iter(tiles.values())).shape[2], labels.shape[1])
    return np.concatenate([header, np.concatenate([labels, body], axis=1)])


def differing_region(a: np.ndarray, b: np.ndarray, share: float = 0.3) -> tuple[int, int, int, int] | None:
    """The square window in which two pictures uint8 [H, W, 3] differ most.

    Args:
        share: the window's side as a share of the picture's height.

    Returns:
        (left, top, right, bottom) in pixels, all within the window, or None if the pictures are equal.
    """
    difference = np.abs(a.astype(np.int64) - b).sum(-1)  # [H, W]
    if not difference.any():
        return None
    side = max(2, round(difference.shape[0] * share))
    sums = np.pad(difference, [(1, 0), (1, 0)]).cumsum(0).cumsum(1)  # A summed area table.
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(windows.argmax(), windows.shape)
    return int(left), int(top), int(left) + side - 1, int(top) + side - 1


def _ring(image: np.ndarray, box: tuple[int, int, int, int] | None) -> np.ndarray:
    """The picture uint8 [H, W, 3] with a red ring in the box, or as it is without one."""
    picture = Image.fromarray(image)
    if box is not None:
        ImageDraw.Draw(picture).ellipse(box, outline=_RED, width=max(1, image.shape[0] // 64))
    return np.asarray(picture)


def _pad_row(clips: np.ndarray, columns: int) -> np.ndarray:
    """Clips [N, T, H, W, 3] -> [T, H + gap, W', 3]: side by side, each with a gap to its right and below it.

    Gaps fill the places of clips that are missing from `columns`.
    """
    padded = np.pad(clips, [(0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)], constant_values=_SHADE)
    missing = np.full_like(padded[:1], _SHADE).repeat(columns - len(clips), axis=0)
    return np.concatenate(list(np.concatenate([padded, missing])), axis=2)


def _labels(names: list[str], height: int) -> np.ndarray:
    """A column of row names -> [len(names) * (height + gap), W', 3]."""
    font = ImageFont.load_default(size=14)
    width = 16 + max(int(font.getlength(name.replace("_", " "))) for name in names)
    column = Image.new("RGB", (width, len(names) * (height + _GAP)), (_SHADE,) * 3)
    draw = ImageDraw.Draw(column)
    for row, name in enumerate(names):
        y = row * (height + _GAP) + height // 2
        draw.text((8, y), name.replace("_", " "), fill="white", font=font, anchor="lm")
    return np.asarray(column)


def _header(titles: list[str], width: int, offset: int) -> np.ndarray:
    """A strip of column titles -> [24, W', 3]; columns begin `offset` pixels from the left."""
    strip = Image.new("RGB", (offset + len(titles) * (width + _GAP), 24), (_SHADE,) * 3)
    draw = ImageDraw.Draw(strip)
    for column, title in enumerate(titles):
        x = offset + column * (width + _GAP) + width // 2
        draw.text((x, 12), title, fill="white", font=ImageFont.load_default(size=13), anchor="mm")
    return np.asarray(strip)
