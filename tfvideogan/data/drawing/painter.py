"""What a clip of `synthetic:skies` is made of, and the painter that lays it over its frames; ours."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfvideogan.data.drawing import clouds, lights, noise


@dataclasses.dataclass
class Sky:
    """What is drawn for a clip before anything is rendered; lengths in frame widths, speeds in widths a clip."""

    light: lights.Light
    layers: list[clouds.Layer]
    winds: np.ndarray  # [layers, 2] (x, y)
    wind: np.ndarray  # [2], the mean of the layers, weighted by how much of the sky each covers.
    land: str
    upright: bool  # Towers or masts stand there.
    horizon: float
    vanishing: float  # Where the plane of the clouds would meet the eye's level; 0 for a camera that looks up.
    sun: np.ndarray  # [2] (x, y)


class Painter:
    """Draws the parts of a sky onto frames, float32 [T, H, W, 3] in about [0, 1]."""

    def __init__(self, sky: Sky, size: int, times: np.ndarray):
        self.sky, self.size, self.times = sky, size, times
        grid = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = np.meshgrid(grid, grid)  # [H, W]
        self.height = np.clip(self.y / sky.horizon, 0, 1)  # It is 0 at the top, and 1 at the horizon.
        squash = 1.6 if sky.light.hour == "dusk" else 1.0
        distance = np.hypot((self.x - sky.sun[0]) / squash, self.y - sky.sun[1])
        self.glow = (sky.light.glow * np.exp(-distance / 0.22))[..., None].astype(np.float32)

    def background(self, rng: np.random.Generator) -> np.ndarray:
        light = self.sky.light
        aside = (self.x - 0.5) * rng.normal(0, 0.15)
        gradient = np.clip(self.height ** rng.uniform(0.8, 2.5) + aside, 0, 1)[..., None]
        still = light.top + (light.bottom - light.top) * gradient + light.sun * self.glow
        if light.disc:
            distance = np.hypot(self.x - self.sky.sun[0], self.y - self.sky.sun[1])
            disc = np.clip((light.disc - distance) / 0.015 + 0.5, 0, 1)[..., None]
            still = still + (light.sun * 1.25 - still) * disc
        frames = np.repeat(still[None].astype(np.float32), len(self.times), axis=0)
        if light.stars:
            self._add_stars(rng, frames)
        return frames

    def _add_stars(self, rng: np.random.Generator, frames: np.ndarray) -> None:
        """Points that turn about a pole; each is shared by the four pixels around it."""
        count, size = int(rng.integers(300, 2500)), self.size
        pole, turn = rng.uniform(-0.5, 1.5, 2), rng.choice([0.0, rng.normal(0, 0.12)])
        places = rng.uniform(-0.7, 1.7, [count, 2]) - pole
        flux = self.sky.light.stars * rng.random(count) ** 9 * (size / 64) ** 1.5
        tint = 1 + rng.normal(0, 0.08, [count, 3])
        for t, time in enumerate(self.times):
            at = turned(places, turn * time) + pole
            cell = np.floor(at * size - 0.5).astype(int)
            part = at * size - 0.5 - cell
            for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
                x, y = cell[:, 0] + dx, cell[:, 1] + dy
                share = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
                seen = (x >= 0) & (x < size) & (y >= 0) & (y < size)
                np.add.at(frames[t], (y[seen], x[seen]), ((flux * share)[:, None] * tint)[seen])

    def add_aurora(self, rng: np.random.Generator, frames: np.ndarray, seed: int) -> None:
        """Curtains: a bright lower edge that waves, and rays that fade upwards from green into violet."""
        smooth, rough = noise.texture("smooth", seed), noise.texture("rough", seed)
        green, violet = self.sky.light.sun, lights.hsv(rng.uniform(0.75, 0.95), 0.6, 0.6)
        for _ in range(int(rng.integers(1, 4))):
            offset, height = rng.random(2), rng.uniform(0.12, 0.4)
            edge, wave, slant = rng.uniform(0.35, 0.9) * self.sky.horizon, rng.uniform(0.05, 0.15), rng.normal(0, 0.15)
            for t, time in enumerate(self.times):
                lift = noise.sample(smooth, self.x * 0.25 + offset[0], 0 * self.y + offset[1] + 0.03 * time, 0.01)[
                    ..., 0
                ]
                rays = noise.sample(
                    rough, (self.x + slant * self.y) * 0.4 + offset[1] + 0.05 * time, 0.02 * self.y + 0.15 * time, 0.005
                )[..., 0]
                above = edge + wave * lift - self.y
                curtain = np.clip(above / 0.05 + 1, 0, 1) * np.exp(-np.maximum(above, 0) / height)
                bright = (curtain * np.clip(0.45 + 0.4 * rays, 0, 1.2))[..., None]
                frames[t] += bright * (green + (violet - green) * np.clip(above / 0.5, 0, 1)[..., None])

    def add_layer(self, frames: np.ndarray, layer: clouds.Layer, wind: np.ndarray) -> None:
        """Clouds over what is there; thin ones near the sun shine, and far ones take the haze's colour."""
        light, horizon = self.sky.light, self.sky.horizon
        x, y, paths = self.x, self.y, self.times[:, None] * wind
        if self.sky.vanishing:
            x, y, paths = self._on_plane(self.sky.vanishing, 0.0, horizon, paths)
        opaque, lit = layer.render(x, y, paths, self.times, 1 / self.size, self._towards_light())
        opaque, lit = opaque[..., None], lit[..., None]
        colour = light.shade + (light.lit - light.shade) * lit
        colour += light.sun * self.glow * (1.15 - 0.9 * opaque)
        haze = (np.float32(0.75) * np.exp((self.height - 1) / np.float32(0.12)))[..., None]
        colour += (light.bottom - colour) * haze
        frames += (colour - frames) * opaque

    def add_cloud_tops(self, frames: np.ndarray, layer: clouds.Layer, wind: np.ndarray) -> None:
        """A sea of clouds below the horizon, as from a mountain or an aeroplane."""
        light, horizon = self.sky.light, self.sky.horizon
        x, y, paths = self._on_plane(horizon - 0.3, horizon, 1.0, self.times[:, None] * wind)
        _, lit = layer.render(x, y, paths, self.times, 1 / self.size, self._towards_light())
        colour = light.shade + (light.lit - light.shade) * lit[..., None]
        depth = np.maximum(self.y - horizon, 0)
        colour += (light.bottom - colour) * (0.9 * np.exp(-depth / np.float32(0.08)))[
            ..., None
        ] + light.sun * self.glow * 0.5
        frames += (colour - frames) * np.clip((self.y - horizon) / 0.02 + 0.5, 0, 1)[..., None]

    def _towards_light(self) -> np.ndarray:
        towards = self.sky.sun - [0.5, 0.5]
        return towards / max(np.hypot(*towards), 0.1) if self.sky.light.glow else np.array([0.3, -0.95])

    def _on_plane(
        self, vanishing: float, first: float, last: float, paths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where pixels look at a level plane, [H, W] each, and paths [T, 2] on it.

        A plane seen under an elevation e from its vanishing line has its places at ((x - 1/2) / e, 1 / e). The scales
        are such that the mean motion in the picture is that of the paths.

        Args:
            first, last: the rows between which the plane is seen, in frame heights; all above or all below `vanishing`.
        """
        rows = first + (np.arange(64) + 0.5) / 64 * (last - first)
        mean, square = (np.mean((vanishing - rows) ** k) for k in (1, 2))
        e = vanishing - np.clip(self.y, first, last)
        return (self.x - 0.5) * (mean / e), mean**2 / e, paths * [1.0, mean**2 / square]

    def add_water(self, rng: np.random.Generator, frames: np.ndarray, water: np.ndarray, seed: int) -> None:
        """Mirrors what is above the horizon, broken by ripples that are small far away."""
        cv2, horizon = noise.opencv(), np.float32(self.sky.horizon)
        depth = np.maximum(self.y - horizon, 0.004)
        ripples = noise.texture("wisps", seed)
        offset, rough = rng.random(2), rng.uniform(0.1, 0.6)
        tint, dim = self.sky.light.shade * 0.5 + self.sky.light.top * 0.3, rng.uniform(0.5, 0.9)
        for t, time in enumerate(self.times):
            places = self.x * 0.15 / (depth + 0.1) + offset[0], 0.25 / (depth + 0.1) + offset[1] + time * 0.5
            wave = noise.sample(ripples, *places, 1 / self.size)[..., 0]
            row = (horizon - depth * 1.2 + rough * depth * wave - 0.004) * self.size
            column = (self.x + 0.15 * rough * depth * wave) * self.size - 0.5
            mirror = cv2.remap(frames[t], column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            mirror = (mirror * dim + tint * (1 - dim)) * (1 + 0.12 * wave * np.minimum(depth * 8, 1))[..., None]
            frames[t] += (mirror - frames[t]) * water[..., None]


def turned(places: np.ndarray, angle: float) -> np.ndarray:
    """Vectors [..., 2] turned by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return places @ np.array([[c, s], [-s, c]])
