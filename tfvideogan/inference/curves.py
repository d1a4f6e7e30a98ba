"""Curves as a picture: a panel for each figure, drawn by Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 480, 220  # A panel has so many pixels.
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 34
_COLOURS = ((200, 60, 40), (30, 90, 180), (60, 140, 60), (130, 90, 160))
_GREY, _BLACK = (205, 205, 205), (40, 40, 40)


def picture(panels: Mapping[str, Mapping[str, Points]], columns: int = 2, x_label: str = "step") -> np.ndarray:
    """Panels by their titles, of curves by their names, each of points (x, y) in order: uint8 [H, W, 3].

    Points whose y is not finite are left out.
    """
    drawn = [_panel(title, curves, x_label) for title, curves in panels.items()]
    drawn += [Image.new("RGB", (_WIDTH, _HEIGHT), "white")] * (-len(drawn) % columns)
    rows = [
        np.concatenate(list(map(np.asarray, drawn[i : i + columns])), axis=1) for i in range(0, len(drawn), columns)
    ]
    return np.concatenate(rows)


def _panel(title: str, curves: Mapping[str, Points], x_label: str) -> Image.Image:
    finite = {name: [(x, y) for x, y in points if np.isfinite(y)] for name, points in curves.items()}
    points = [point for of_curve in finite.values() for point in of_curve]
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    draw.text((_LEFT, 8), title, _BLACK, font)
    if not points:
        return image
    ticks_x, ticks_y = (_ticks([point[axis] for point in points]) for axis in (0, 1))
    (low_x, high_x), (low_y, high_y) = ((ticks[0], ticks[-1]) for ticks in (ticks_x, ticks_y))

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    for value in ticks_y:
        start, end = place(low_x, value), place(high_x, value)
        draw.line([start, end], _GREY)
        draw.text((start[0] - 6, start[1]), f"{value:.4g}", _BLACK, font, anchor="rm")
    right, below = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM + 8
    draw.text((8, below), x_label, _BLACK, font, anchor="la")
    for value in ticks_x:
        draw.text((place(value, low_y)[0], below), f"{value:.6g}", _BLACK, font, anchor="ma")
    for (name, of_curve), colour in reversed(list(zip(finite.items(), _COLOURS, strict=False))):
        at = [place(*point) for point in of_curve]
        draw.line(at, colour, 2)
        for x, y in at if len(at) < 40 else []:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], colour)
        draw.text((right, 8), name, colour, font, anchor="ra")
        right -= draw.textlength(name, font) + 14
    return image


def _ticks(values: Sequence[float]) -> np.ndarray:
    """Two to six round numbers, equally far apart, of which the first and the last enclose all values."""
    low, high = min(values), max(values)
    rough = max(high - low or abs(high) or 1.0, 1e-9 * abs(high)) / 4  # Rounding alone is no range.
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    first, last = np.floor(low / step), np.ceil(high / step)
    return np.arange(first, max(last, first + 1) + 1) * step
