"""Still places for `synthetic:scenes`: rooms, streets, meadows, the sea, and skies; ours.

Each is drawn once a clip, float32 [CANVAS, CANVAS, 3] in [0, 1].
"""

from __future__ import annotations

import numpy as np

from tfvideogan.data.drawing import noise
from tfvideogan.data.drawing.cel import CANVAS
from tfvideogan.data.drawing.lights import hsv


class Backdrop:
    """A picture onto which ground, walls and things are laid.

    Args:
        rng: what all is drawn by.
        sky: the picture behind all, uint8 [CANVAS, CANVAS, 3].
        ground: where things stand, in frame heights from the top.
        seed: the seed of the textures.
    """

    def __init__(self, rng: np.random.Generator, sky: np.ndarray, ground: float, seed: int):
        self.rng, self.ground, self._seed = rng, ground, seed
        picture = sky.astype(np.float32) / 255
        self.picture = picture * max(1.0, 0.35 / (picture.mean() + 0.01))  # Nights are lit, so that things are seen.
        self.y, self.x = ((np.mgrid[:CANVAS, :CANVAS] + 0.5) / CANVAS).astype(np.float32)
        self.light = np.clip(self.picture.mean() * 1.3 + 0.15, 0.5, 1.0)

    def sky(self) -> None:
        """Nothing but the sky, and what land it has."""

    def room(self) -> None:
        rng = self.rng
        self.light = rng.uniform(0.5, 1.0)
        window, floor = self.picture.copy(), self.ground - rng.uniform(0.03, 0.15)
        wall = hsv(rng.random(), rng.uniform(0.02, 0.35), rng.uniform(0.45, 0.95)) * self.light
        self._fill(self.y > -1, wall, rng.choice(["rough", "smooth"]), 0.05)
        if rng.random() < 0.6:  # A window shows the sky.
            box = rng.uniform(0.02, 0.6), rng.uniform(0.05, 0.2), rng.uniform(0.15, 0.4), rng.uniform(0.2, 0.35)
            self._box(*box, wall * 0.6)
            self.picture = np.where(self._inside(*box, 0.012)[..., None], window, self.picture)
        for _ in range(int(rng.integers(0, 4))):  # Pictures and doors.
            self._box(rng.uniform(0, 0.9), rng.uniform(0.1, 0.4), *rng.uniform(0.05, 0.25, 2), self._any())
        plank = hsv(rng.uniform(0.03, 0.12), rng.uniform(0.05, 0.5), rng.uniform(0.25, 0.8)) * self.light
        self._plain(floor, plank, rng.uniform(0.05, 0.2), lines=rng.random() < 0.5)
        for _ in range(int(rng.integers(0, 4))):  # Furniture stands on the floor.
            high = rng.uniform(0.1, 0.3)
            self._box(rng.uniform(-0.1, 0.9), floor + 0.04 - high, rng.uniform(0.08, 0.3), high, self._any() * 0.7)

    def street(self) -> None:
        rng = self.rng
        kerb, x = self.ground - rng.uniform(0.05, 0.12), -0.1
        while x < 1.0:
            width = rng.uniform(0.1, 0.35)
            if rng.random() < 0.85:
                self._house(x, kerb - rng.uniform(0.15, 0.55), width, kerb)
            x += width
        self._plain(kerb, np.full(3, rng.uniform(0.4, 0.75)) * self.light, 0.15)
        self._plain(kerb + 0.04, np.full(3, rng.uniform(0.2, 0.45)) * self.light, 0.15)
        if rng.random() < 0.6:
            dashes = (np.abs(self.y - self.ground - 0.08) < 0.006) & ((self.x * 6 + rng.random()) % 1 < 0.6)
            self._fill(dashes, np.full(3, 0.85) * self.light)

    def meadow(self) -> None:
        rng = self.rng
        colour = hsv(rng.uniform(0.08, 0.36), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.7)) * self.light
        horizon = self.ground - rng.uniform(0.02, 0.25)
        if rng.random() < 0.6:  # A wood closes the view.
            tops = horizon - rng.uniform(0.02, 0.12) + 0.02 * self._texture("rough", self.x * 1.5, 0 * self.y)
            self._fill(self.y > tops, colour * rng.uniform(0.3, 0.7), "billows", 0.35)
        self._plain(horizon, colour, rng.uniform(0.15, 0.35))

    def sea(self) -> None:
        rng = self.rng
        horizon = self.ground - rng.uniform(0.02, 0.15)
        water = self.picture[: int(horizon * CANVAS)].mean((0, 1)) * hsv(
            rng.uniform(0.45, 0.65), 0.3, rng.uniform(0.5, 0.9)
        )
        depth = self.y - horizon + 0.04
        waves = self._texture("wisps", self.x * 0.1 / depth, 0.15 / depth)
        self._fill(self.y > horizon, water * (1 + 0.2 * waves[..., None]))
        if rng.random() < 0.4:
            shore = rng.uniform(0.85, 0.95) + 0.02 * self._texture("smooth", self.x * 0.5, 0 * self.y)
            self._fill(self.y > shore, hsv(0.1, 0.35, 0.75) * self.light, "rough", 0.1)

    def _any(self) -> np.ndarray:
        rng = self.rng
        return hsv(rng.random(), rng.uniform(0.05, 0.7), rng.uniform(0.15, 0.9)) * self.light

    def _texture(self, name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        dx, dy = self.rng.random(2)
        return noise.sample(noise.texture(name, self._seed), x + dx, y + dy, 1 / CANVAS)[..., 0]

    def _fill(self, where: np.ndarray, colour: np.ndarray, texture: str | None = None, contrast: float = 0.0) -> None:
        if texture:
            colour = colour * (1 + contrast * self._texture(texture, self.x, self.y))[..., None]
        self.picture = np.where(where[..., None], np.float32(colour), self.picture)

    def _plain(self, top: float, colour: np.ndarray, contrast: float, lines: bool = False) -> None:
        """Ground that is seen from a low height: its texture is finer far away."""
        depth = np.maximum(self.y - top + 0.12, 0.05)
        grain = self._texture("rough", (self.x - 0.5) * 0.12 / depth, 0.1 / depth)
        if lines:
            grain = grain + 2 * (((self.x - 0.5) / depth * 0.8) % 1 < 0.06)
        shade = (1 + contrast * grain) * (0.8 + 0.5 * np.clip(self.y - top, 0, 1))
        self._fill(self.y > top, colour * shade[..., None])

    def _inside(self, x: float, y: float, width: float, height: float, frame: float = 0.0) -> np.ndarray:
        across = np.abs(self.x - x - width / 2) < width / 2 - frame
        return across & (np.abs(self.y - y - height / 2) < height / 2 - frame)

    def _box(self, x: float, y: float, width: float, height: float, colour: np.ndarray) -> None:
        self._fill(self._inside(x, y, width, height), colour * 0.7)
        self._fill(self._inside(x, y, width, height, 0.01), colour, self.rng.choice(["rough", "smooth", "cells"]), 0.1)

    def _house(self, x: float, top: float, width: float, bottom: float) -> None:
        rng = self.rng
        wall = hsv(rng.uniform(0.0, 0.15), rng.uniform(0.05, 0.55), rng.uniform(0.3, 0.9)) * self.light
        self._fill(self._inside(x, top, width, bottom - top + 0.05), wall, "rough", 0.08)
        columns, rows = rng.uniform(10, 22, 2)
        panes = ((self.x - x) * columns % 1 > 0.45) & ((self.y - top) * rows % 1 > 0.4) & (self.y < bottom - 0.06)
        glass = hsv(rng.choice([0.58, 0.12]), rng.uniform(0.1, 0.4), rng.uniform(0.1, 0.5))
        self._fill(panes & self._inside(x, top, width, bottom - top, 0.015), glass * self.light)
