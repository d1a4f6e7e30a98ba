"""Built-in skies with many kinds of light, clouds and land, and a wind that is known: `skies`; ours.

They are made to resemble time-lapses of real skies. As in `synthetic`, clip i follows from (kind, split, seed, i)
alone, and looks alike at every `frame_size`. The splits have no texture in common either.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfvideogan.data import clouds, land, lights, noise
from tfvideogan.data.synthetic import SPLITS, Synthetic, to_uint8

# The clouds of each hour, the lowest layer last, and how often.
LAYERS = {
    "day": {("cumulus",): 5, ("cirrus",): 2, ("altocumulus",): 3, ("streaks",): 1, ("stratus",): 1, ("storm",): 1,
            ("cirrus", "cumulus"): 3, ("altocumulus", "cumulus"): 1, ("cumulus", "cumulus"): 1,
            ("cirrus", "altocumulus", "cumulus"): 1},
    "grey": {("stratus",): 3, ("storm",): 5, ("stratus", "cumulus"): 2, ("stratus", "storm"): 1, ("altocumulus",): 1,
             ("cumulus",): 2, ("stratus", "streaks", "cumulus"): 1},
    "dusk": {("cumulus",): 4, ("cirrus",): 2, ("altocumulus",): 3, ("streaks",): 4, ("storm",): 2, ("stratus",): 1,
             ("cirrus", "streaks"): 2, ("cirrus", "cumulus"): 2, ("altocumulus", "streaks", "cumulus"): 1},
    "tinted": {("cumulus",): 4, ("cirrus",): 1, ("altocumulus",): 1, ("cirrus", "cumulus"): 2, ("storm",): 1},
    "night": {("cumulus",): 2, ("cirrus",): 2, ("stratus",): 1, ("storm",): 1, ("streaks",): 2},
    "aurora": {("cirrus",): 2, ("streaks",): 1},
}  # fmt: skip


@dataclasses.dataclass
class _Sky:
    """What is drawn for a clip before anything is rendered; lengths in frame widths, speeds in widths a clip."""

    light: lights.Light
    layers: list[clouds.Layer]
    winds: np.ndarray  # [layers, 2] (x, y)
    wind: np.ndarray  # The mean of the layers, by how much each covers.
    land: str
    horizon: float
    vanishing: float  # Where the plane of the clouds would meet the eye's level; 0 for a camera that looks up.
    sun: np.ndarray  # [2] (x, y)


class Skies(Synthetic):
    """Clouds of one to three layers that drift and change, over a sky and land of some hour."""

    kind = 3
    COMMON_WIND: tuple[float, float] | None = None

    def __init__(self, frame_size: int, num_frames: int, split: str = "train", seed: int = 0, num_clips: int = 2000):
        super().__init__(frame_size, num_frames, split, seed, num_clips)
        noise.opencv()
        self._textures = SPLITS.index(split)

    def wind(self, index: int) -> tuple[float, float]:
        """The mean motion (u, v) of the clouds of clip `index`, in frame widths (heights) a frame, right and down."""
        u, v = self._draw(self._rng(index)).wind / self.num_frames
        return float(u), float(v)

    def _make(self, index: int) -> np.ndarray:
        rng = self._rng(index)
        sky = self._draw(rng)
        times = np.arange(self.num_frames) / self.num_frames
        painter = _Painter(sky, self.frame_size, times)
        frames = painter.background(rng)
        if sky.light.hour == "aurora":
            painter.add_aurora(rng, frames, self._textures)
        for layer, wind in zip(sky.layers, sky.winds, strict=True):
            painter.add_layer(frames, layer, wind)
        ground = land.draw(rng, sky.land, sky.horizon, sky.light, self.frame_size, self._textures)
        if ground:
            frames += (ground.colour - frames) * ground.cover[..., None]
            if ground.water.any():
                painter.add_water(rng, frames, ground.water, self._textures)
        return _filmed(rng, sky.light, frames, times)

    def _draw(self, rng: np.random.Generator) -> _Sky:
        light = lights.draw(rng)
        recipes = LAYERS[light.hour]
        shares = np.array(list(recipes.values())) / sum(recipes.values())
        names = list(recipes)[rng.choice(len(recipes), p=shares)]
        layers = [clouds.Layer(rng, name, self._textures) for name in names]
        wind = 32 * (np.array(self.COMMON_WIND) if self.COMMON_WIND else _wind(rng))
        # A higher layer seems slower, and need not go the same way.
        winds = np.stack(
            [_turned(wind, rng.normal(0, 0.25)) * 0.7 ** (len(layers) - 1 - k) for k in range(len(layers))]
        )
        if len(layers) > 1:
            covers = np.array([layer.cover * layer.opacity for layer in layers])
            winds += wind - covers @ winds / covers.sum()
        else:
            winds[0] = wind
        kind = str(rng.choice(list(land.KINDS), p=list(land.KINDS.values())))
        horizon = 1.0 if kind == "none" else float(rng.uniform(0.6, 0.92))
        vanishing = horizon + rng.uniform(0.25, 0.7) if rng.random() < (0.25 if kind == "none" else 0.6) else 0.0
        sun = np.array(
            [rng.uniform(0.05, 0.95), horizon * rng.uniform(*(0.55, 1.0) if light.hour == "dusk" else (-0.3, 0.8))]
        )
        return _Sky(light, layers, winds, wind, kind, horizon, vanishing, sun)


class SkiesCommonWind(Skies):
    """The same with one wind in all clips, that of `sky`: which way clouds go can then be told from one frame."""

    kind = 4
    COMMON_WIND = (0.012, 0.0)


class _Painter:
    """Draws the parts of a sky onto frames, float32 [T, H, W, 3] in about [0, 1]."""

    def __init__(self, sky: _Sky, size: int, times: np.ndarray):
        self.sky, self.size, self.times = sky, size, times
        grid = ((np.arange(size) + 0.5) / size).astype(np.float32)
        self.x, self.y = np.meshgrid(grid, grid)  # [H, W]
        self.height = np.clip(self.y / sky.horizon, 0, 1)  # 0 at the top, 1 at the horizon
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
            at = _turned(places, turn * time) + pole
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
                lift = noise.sample(smooth, self.x * 0.5 + offset[0], 0 * self.y + offset[1] + 0.06 * time, 0.02)[
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
        light, x, y = self.sky.light, self.x, self.y
        paths = self.times[:, None] * wind
        if self.sky.vanishing:
            # The plane is seen under an elevation e: its places are at ((x - 1/2) / e, 1 / e). The scales are such that
            # the mean motion in the picture, over the sky, is the wind.
            e = self.sky.vanishing - np.minimum(self.y, self.sky.horizon)
            above = (np.arange(64) + 0.5) / 64 * self.sky.horizon
            mean, square = (np.mean((self.sky.vanishing - above) ** k) for k in (1, 2))
            x, y = (self.x - 0.5) * mean / e, mean**2 / e
            paths = paths * [1.0, mean**2 / square]
        towards = self.sky.sun - [0.5, 0.5]
        towards = towards / max(np.hypot(*towards), 0.1) if light.glow else np.array([0.3, -0.95])
        opaque, lit = layer.render(x, y, paths, self.times, 1 / self.size, towards)
        opaque, lit = opaque[..., None], lit[..., None]
        colour = light.shade + (light.lit - light.shade) * lit
        colour += light.sun * self.glow * (1.15 - 0.9 * opaque)
        haze = (np.float32(0.75) * np.exp((self.height - 1) / np.float32(0.12)))[..., None]
        colour += (light.bottom - colour) * haze
        frames += (colour - frames) * opaque

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


def _wind(rng: np.random.Generator) -> np.ndarray:
    """(u, v) in widths a frame of 32: most are between 0.0015 and 0.01, along the horizon more often than not."""
    speed = np.clip(rng.lognormal(np.log(0.004), 0.75), 0.0, 0.03)
    angle = rng.normal(0, 0.3) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    return speed * np.array([np.cos(angle) * rng.choice([-1, 1]), np.sin(angle)])


def _turned(places: np.ndarray, angle: float) -> np.ndarray:
    """Vectors [..., 2] turned by an angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return places @ np.array([[c, s], [-s, c]])


def _filmed(rng: np.random.Generator, light: lights.Light, frames: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The frames as a camera stores them: light that changes over the clip, soft optics, grain; uint8 [T, H, W, 3]."""
    cv2, size = noise.opencv(), frames.shape[1]
    change = rng.normal(0, 0.1 if light.hour == "dusk" else 0.04) + rng.normal(0, 0.015, 3)
    frames *= (1 + change * (times[:, None] - 0.5)).astype(np.float32)[:, None, None]
    blur = rng.choice([0.0, rng.uniform(0.002, 0.008)]) * size
    if blur > 0.3:
        frames = np.stack([cv2.GaussianBlur(frame, (0, 0), blur) for frame in frames])
    grain = rng.uniform(0.001, 0.008) if rng.random() < 0.35 else 0.0
    if grain:
        frames += np.float32(grain) * rng.standard_normal([*frames.shape[:3], 1], np.float32)
    return to_uint8(frames)
