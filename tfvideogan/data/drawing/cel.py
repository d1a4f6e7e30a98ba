"""A transparent sheet on which the built-in skies and scenes draw trees and actors, with OpenCV; ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfvideogan.data.drawing import noise

CANVAS = 256  # Pixels on a side of what is drawn on.
_BITS = 4  # OpenCV's coordinates are sixteenths of a pixel.


class Cel:
    """A transparent sheet: colour uint8 [CANVAS, CANVAS, 3] and cover uint8 [CANVAS, CANVAS].

    `still` is the cover of what does not move, as a flag's pole: it is seen, and not in the mask.

    Args:
        tone: how much light there is, by which all colours are multiplied.
    """

    def __init__(self, tone: np.ndarray):
        self.colour = np.zeros([CANVAS, CANVAS, 3], np.uint8)
        self.cover = np.zeros([CANVAS, CANVAS], np.uint8)
        self.still = np.zeros([CANVAS, CANVAS], np.uint8)
        self.anchor = np.zeros(2)  # Where the actor is, so that its texture goes along with it.
        self._tone = tone
        self._cv2 = noise.opencv()

    def clear(self) -> None:
        self.colour[:], self.cover[:], self.still[:] = 0, 0, 0

    def polygon(self, points: np.ndarray, colour: np.ndarray) -> None:
        """Fills the polygon of points [n, 2] (x, y)."""
        self._draw(lambda sheet, c: self._cv2.fillPoly(sheet, [_fixed(points)], c, self._cv2.LINE_AA, _BITS), colour)

    def disc(self, centre: np.ndarray, radius: float, colour: np.ndarray) -> None:
        length = max(int(radius * CANVAS * 2**_BITS), 1)
        self._draw(
            lambda sheet, c: self._cv2.circle(sheet, _point(centre), length, c, -1, self._cv2.LINE_AA, _BITS), colour
        )

    def limb(self, start: np.ndarray, end: np.ndarray, width: float, colour: np.ndarray) -> None:
        """A line with round ends."""
        pixels = max(round(width * CANVAS), 1)
        self._draw(
            lambda sheet, c: self._cv2.line(sheet, _point(start), _point(end), c, pixels, self._cv2.LINE_AA, _BITS),
            colour,
        )

    def fix(self) -> None:
        """What has been drawn so far stands still."""
        self.still[:] = self.cover

    def underlay(self, colour: np.ndarray) -> None:
        """Gives the empty sheet a colour, which is then that of soft edges."""
        self.colour[:] = self._levels(colour)

    def soften(self, radius: float) -> None:
        """Blurs the edges of all that has been drawn."""
        self.cover[:] = self._cv2.GaussianBlur(self.cover, (0, 0), radius * CANVAS)

    def _levels(self, colour: np.ndarray) -> np.ndarray:
        return np.clip(colour * self._tone * 255, 0, 255).astype(int)

    def _draw(self, draw: Callable, colour: np.ndarray) -> None:
        draw(self.colour, self._levels(colour).tolist())
        draw(self.cover, 255)


def _point(place: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(np.asarray(place) * CANVAS * 2**_BITS).astype(int)
    return int(x), int(y)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(points) * CANVAS * 2**_BITS).astype(np.int32)
