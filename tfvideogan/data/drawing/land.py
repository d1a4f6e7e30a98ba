"""What stands still under the skies of `synthetic:skies`: hills, mountains, trees, houses, fields, and water; ours.

It is drawn once a clip on a canvas of a fixed size, and made as large as the frames: a clip looks alike at every size.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfvideogan.data.drawing import noise, uprights
from tfvideogan.data.drawing.cel import CANVAS, Cel
from tfvideogan.data.drawing.lights import Light, hsv

KINDS = {
    "none": 0.31, "hills": 0.13, "mountains": 0.09, "trees": 0.13, "town": 0.12, "field": 0.06, "sea": 0.12,
    "clouds": 0.04,
}  # fmt: skip
UPRIGHT = 0.25  # How often towers or masts stand there.


@dataclasses.dataclass
class Land:
    """Colour [H, W, 3] and cover [H, W] of what stands before the sky, and where there is water [H, W], float32."""

    colour: np.ndarray
    cover: np.ndarray
    water: np.ndarray


def draw(
    rng: np.random.Generator, kind: str, upright: bool, horizon: float, light: Light, size: int, seed: int
) -> Land | None:
    """What stands still in a clip, or None if there is nothing, or only clouds lie over the land.

    Args:
        kind: one of `KINDS`.
        upright: towers or masts stand behind the land, or before a sky alone.
        horizon: where it begins, in frame heights from the top.
        size: height and width of the frames.
        seed: the seed of the textures.
    """
    empty = kind in ("none", "clouds")
    if empty and not upright:
        return None
    painter = _Painter(rng, horizon, light, seed)
    if upright:
        painter.uprights()
    if not empty:
        getattr(painter, kind)()
    layers = [painter.colour, painter.cover, painter.water]
    cv2 = noise.opencv()
    shape, interpolation = (size, size), cv2.INTER_AREA if size <= CANVAS else cv2.INTER_LINEAR
    colour, cover, water = (cv2.resize(layer, shape, interpolation=interpolation) for layer in layers)
    return Land(colour, np.clip(cover, 0, 1), np.clip(water, 0, 1))


class _Painter:
    """A canvas on which things are drawn over each other, the farthest first."""

    def __init__(self, rng: np.random.Generator, horizon: float, light: Light, seed: int):
        self.rng, self.horizon, self.light = rng, horizon, light
        self.colour = np.zeros([CANVAS, CANVAS, 3], np.float32)
        self.cover = np.zeros([CANVAS, CANVAS], np.float32)
        self.water = np.zeros([CANVAS, CANVAS], np.float32)
        self.y, self.x = ((np.mgrid[:CANVAS, :CANVAS] + 0.5) / CANVAS).astype(np.float32)
        self._seed = seed
        self._green = rng.random() < 0.65

    def uprights(self) -> None:
        """Towers or masts, which stand behind what is drawn later."""
        cel = Cel(self.light.lit * self.light.land)
        uprights.draw(self.rng, cel, min(self.horizon, 0.95))
        self._paint(cel.cover / np.float32(255), cel.colour / np.float32(255))

    def hills(self) -> None:
        count = int(self.rng.integers(1, 4))
        for k in range(count):
            near = (k + 1) / count
            top = self.horizon + 0.1 * k - 0.02 + self._line(1.7, self.rng.uniform(0.01, 0.05))
            self._earth(top, near)

    def mountains(self) -> None:
        peaks = self._line(1.3, self.rng.uniform(0.03, 0.08), lowest=1, highest=8)
        crags = np.abs(self._line(1.0, self.rng.uniform(0.01, 0.03), lowest=4))
        self._earth(self.horizon - peaks - crags, self.rng.uniform(0.3, 1.0), rough=1.0, snow=self.rng.random() < 0.35)
        if self.rng.random() < 0.6:
            self._earth(self.horizon + 0.08 + self._line(1.5, 0.02), 1.0)

    def trees(self) -> None:
        if self.rng.random() < 0.5:
            self._earth(self.horizon + self._line(1.7, 0.02), 0.5)
        woods = self._line(1.0, self.rng.uniform(0.005, 0.02), lowest=3) + np.abs(self._line(0.3, 0.012, lowest=20))
        base = self.horizon + self._line(1.6, 0.03)
        mask = np.clip((self.y - (base - woods + 0.02)[None]) * CANVAS, 0, 1).astype(np.float32)
        cel = Cel(np.ones(3))
        for _ in range(int(self.rng.integers(0, 9))):
            x, height = self.rng.random(), self.rng.uniform(0.04, 0.14)
            self._crown(cel, x, base[int(x * CANVAS)] + 0.04, height, self.rng.uniform(0.3, 0.7))
        for side in (0.0, 1.0):  # A large tree reaches into the frame from its side.
            if self.rng.random() < 0.3:
                self._crown(cel, side, 0.95, self.rng.uniform(0.4, 0.9), self.rng.uniform(0.15, 0.3))
        self._paint(np.maximum(mask, cel.cover / np.float32(255)), self._ground(1.0, dark=0.5), speckle=0.5)

    def town(self) -> None:
        rng = self.rng
        if rng.random() < 0.5:
            self._earth(self.horizon - 0.02 + self._line(1.7, 0.02), 0.4)
        night = self.light.hour in ("night", "dusk") and rng.random() < 0.8
        for near in (0.5, 0.8, 1.0):
            for _ in range(int(rng.integers(2, 12))):
                width, x = rng.uniform(0.02, 0.14) * (0.5 + near), rng.uniform(-0.05, 1.0)
                top = self.horizon + 0.06 * near - rng.exponential(0.05)
                self._house(x, max(top, self.horizon - 0.35), width, near, night)
        self._earth(self.horizon + 0.09 + self._line(1.3, 0.02), 1.0)

    def field(self) -> None:
        if self.rng.random() < 0.6:
            self._earth(self.horizon - 0.02 + self._line(1.3, 0.015), 0.5)
        mask = (self.y > self.horizon).astype(np.float32)
        depth = 1 / np.maximum(self.y - self.horizon + 0.03, 0.01)  # Furrows draw together towards the horizon.
        grain = self._texture("rough", self.x * depth * 0.03, depth * 0.05)
        rows = 0.5 * np.sin((self.x - self.rng.random()) * depth * self.rng.uniform(3, 12)) * (self.rng.random() < 0.5)
        shade = 1 + 0.25 * grain + 0.3 * rows
        self._paint(mask, self._ground(1.0) * shade[..., None] * (0.6 + 0.8 * (self.y - self.horizon))[..., None])

    def sea(self) -> None:
        if self.rng.random() < 0.6:
            top = self.horizon + 0.01 - np.maximum(self._line(1.3, self.rng.uniform(0.02, 0.08)), 0)
            self._earth(top, self.rng.uniform(0.2, 0.9), bottom=self.horizon + 0.005)
        for _ in range(int(self.rng.integers(0, 4))):
            self._island()
        self.water = np.clip((self.y - self.horizon) * CANVAS + 0.5, 0, 1)
        if self.rng.random() < 0.3:  # A shore in front.
            self._earth(self.horizon + self.rng.uniform(0.12, 0.25) + self._line(1.4, 0.05), 1.0)

    def _island(self) -> None:
        rng = self.rng
        middle, half, height = rng.random(), rng.uniform(0.03, 0.25), rng.uniform(0.02, 0.15)
        heap = height * np.sqrt(np.maximum(1 - ((self.x[0] - middle) / half) ** 2, 0))
        rocks = heap * (1 + np.clip(self._line(1.0, rng.uniform(0.05, 0.4), lowest=4), -0.7, 0.7))
        foot = self.horizon + rng.uniform(0.0, 0.05)
        self._earth(foot - rocks, rng.uniform(0.4, 1.0), bottom=foot, rough=1.0)

    def _line(self, slope: float, height: float, lowest: int = 1, highest: int = 60) -> np.ndarray:
        """A random curve [CANVAS] of zero mean and a deviation of about `height`, rougher with a lower slope."""
        f = np.arange(lowest, highest)
        phases = self.rng.uniform(0, 2 * np.pi, f.size)
        sizes = f**-slope * self.rng.rayleigh(1.0, f.size)
        waves = np.sin(2 * np.pi * f[:, None] * 0.7 * self.x[0] + phases[:, None])
        return height * sizes @ waves / np.hypot.reduce(f**-slope)

    def _texture(self, name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        dx, dy = self.rng.random(2)
        return noise.sample(noise.texture(name, self._seed), x + dx, y + dy, 1 / CANVAS)[..., 0]

    def _ground(self, near: float, dark: float = 1.0) -> np.ndarray:
        """The colour [3] of earth or plants in this light, paler with distance."""
        rng, light = self.rng, self.light
        hue = rng.uniform(0.19, 0.36) if self._green else rng.uniform(0.04, 0.12)
        own = hsv(hue, rng.uniform(0.2, 0.6), rng.uniform(0.35, 0.8))
        colour = own * (0.6 * light.lit + 0.4 * light.bottom) * light.land * dark
        return colour + (light.bottom * 0.75 - colour) * (1 - near) * 0.7

    def _earth(self, top: np.ndarray, near: float, bottom: float = 2.0, rough: float = 0.5, snow: bool = False) -> None:
        """Ground from a line [CANVAS] down."""
        mask = np.clip((self.y - top[None]) * CANVAS + 0.5, 0, 1) * (self.y < bottom)
        relief = self._texture("rough", self.x * 0.8, (self.y - 0.5 * top[None]) * 1.6)
        colour = self._ground(near) * (1 + rough * 0.35 * np.clip(relief, -2, 2) * near)[..., None]
        if snow:
            white = np.clip((0.12 - (self.y - top[None]) + 0.06 * relief) * 12, 0, 0.8)[..., None]
            colour += (self.light.lit * (0.25 + 0.75 * self.light.land) - colour) * white
        self._paint(mask, colour)

    def _crown(self, cel: Cel, x: float, base: float, height: float, width: float) -> None:
        """A tree: a trunk, and leaves in heaps."""
        rng = self.rng
        count, black = int(70 + 900 * height), np.zeros(3)
        cel.limb(np.array([x, base]), np.array([x, base - height * 0.6]), height * 0.05, black)
        up = rng.beta(1.3, 1.6, count)
        aside = rng.normal(0, width * height * 0.5 * (1.1 - up) ** 0.6)
        radii = np.minimum(height * rng.uniform(0.02, 0.11, count), rng.uniform(0.004, 0.018, count))
        for centre, radius in zip(np.stack([x + aside, base - height * (0.1 + 0.9 * up)], -1), radii, strict=True):
            cel.disc(centre, radius, black)

    def _house(self, x: float, top: float, width: float, near: float, night: bool) -> None:
        rng = self.rng
        left, right, row = int(x * CANVAS), int((x + width) * CANVAS), int(top * CANVAS)
        left, right = max(left, 0), min(right, CANVAS)
        if right <= left:
            return
        wall = hsv(rng.uniform(0.0, 0.15), rng.uniform(0, 0.35), rng.uniform(0.3, 0.95)) * self.light.land
        colour = wall * self.light.lit + (self.light.bottom * 0.7 - wall) * (1 - near) * 0.6
        part = (slice(row, CANVAS), slice(left, right))
        self.colour[part], self.cover[part] = colour * rng.uniform(0.7, 1.0), 1.0
        pitch = int(rng.integers(4, 8))
        across, down = np.arange(left + 2, right - 2, pitch), np.arange(row + 3, CANVAS - 2, pitch)
        for window in np.stack(np.meshgrid(down, across), -1).reshape(-1, 2):
            shine = (
                hsv(0.12, rng.uniform(0.2, 0.7), rng.uniform(0.5, 1.0))
                if night and rng.random() < 0.3
                else colour * 0.5
            )
            self.colour[window[0] : window[0] + pitch // 2, window[1] : window[1] + pitch // 2] = shine

    def _paint(self, mask: np.ndarray, colour: np.ndarray, speckle: float = 0.0) -> None:
        if speckle:
            colour = colour * (1 + speckle * 0.5 * self._texture("rough", self.x * 3, self.y * 3))[..., None]
        self.colour += (colour.astype(np.float32) - self.colour) * mask[..., None]
        self.cover = np.maximum(self.cover, mask)
