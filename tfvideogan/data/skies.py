"""Built-in skies with many kinds of light, clouds and land, and a wind that is known: `skies`; ours.

They are made to resemble time-lapses of real skies. As in `synthetic`, clip i follows from (kind, split, seed, i)
alone, and looks alike at every `frame_size`. The splits have no texture in common either.
"""

from __future__ import annotations

import numpy as np

from tfvideogan.data.drawing import clouds, land, lights, noise
from tfvideogan.data.drawing.painter import Painter, Sky, turned
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


class Skies(Synthetic):
    """Clouds of one to three layers that drift and change, over a sky and land of some hour."""

    kind = 3
    COMMON_WIND: tuple[float, float] | None = None

    def __init__(self, frame_size: int, num_frames: int, split: str = "train", seed: int = 0, num_clips: int = 2000):
        super().__init__(frame_size, num_frames, split, seed, num_clips)
        noise.opencv()
        self._textures = SPLITS.index(split)

    def wind(self, index: int) -> tuple[float, float]:
        """The mean motion (u, v) of the clouds of clip `index`, in frame widths (heights) a frame, right and down.

        Several layers count by how much of the sky each covers. Land, stars and the sun stand still, so a measurement
        over the whole picture finds less.
        """
        u, v = self._draw(self._rng(index)).wind / self.num_frames
        return float(u), float(v)

    def still(self, index: int) -> np.ndarray:
        """The first frame of clip `index`, uint8 [H, W, 3], which is not kept for a second time."""
        return self._make(index)[0]

    def _make(self, index: int) -> np.ndarray:
        rng = self._rng(index)
        sky = self._draw(rng)
        times = np.arange(self.num_frames) / self.num_frames
        painter = Painter(sky, self.frame_size, times)
        frames = painter.background(rng)
        if sky.light.hour == "aurora":
            painter.add_aurora(rng, frames, self._textures)
        for layer, wind in zip(sky.layers, sky.winds, strict=True):
            painter.add_layer(frames, layer, wind)
        if sky.land == "clouds":
            painter.add_cloud_tops(frames, clouds.Layer(rng, "tops", self._textures), sky.wind)
        ground = land.draw(rng, sky.land, sky.upright, sky.horizon, sky.light, self.frame_size, self._textures)
        if ground:
            frames += (ground.colour - frames) * ground.cover[..., None]
            if ground.water.any():
                painter.add_water(rng, frames, ground.water, self._textures)
        return _filmed(rng, sky.light, frames, times)

    def _draw(self, rng: np.random.Generator) -> Sky:
        light = lights.draw(rng)
        recipes = LAYERS[light.hour]
        shares = np.array(list(recipes.values())) / sum(recipes.values())
        names = list(recipes)[rng.choice(len(recipes), p=shares)]
        layers = [clouds.Layer(rng, name, self._textures) for name in names]
        wind = 32 * (np.array(self.COMMON_WIND) if self.COMMON_WIND else _wind(rng))
        # A higher layer seems slower, and need not go the same way.
        winds = np.stack([turned(wind, rng.normal(0, 0.25)) * 0.7 ** (len(layers) - 1 - k) for k in range(len(layers))])
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
        upright = bool(rng.random() < land.UPRIGHT)
        return Sky(light, layers, winds, wind, kind, upright, horizon, vanishing, sun)


class SkiesCommonWind(Skies):
    """The same with one wind in all clips, that of `sky`: which way clouds go can then be told from one frame."""

    kind = 4
    COMMON_WIND = (0.012, 0.0)


def _wind(rng: np.random.Generator) -> np.ndarray:
    """(u, v) in widths a frame of 32: most are between 0.001 and 0.01, along the horizon more often than not."""
    speed = np.clip(rng.lognormal(np.log(0.0035), 0.75), 0.0, 0.03)
    angle = rng.normal(0, 0.3) if rng.random() < 0.7 else rng.uniform(-np.pi, np.pi)
    return speed * np.array([np.cos(angle) * rng.choice([-1, 1]), np.sin(angle)])


def _filmed(rng: np.random.Generator, light: lights.Light, frames: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The frames as a camera stores them: light that changes over the clip, soft optics, grain; uint8 [T, H, W, 3]."""
    cv2, size = noise.opencv(), frames.shape[1]
    change = rng.normal(0, 0.1 if light.hour == "dusk" else 0.04) + rng.normal(0, 0.015, 3)
    frames *= (1 + change * (times[:, None] - 0.5)).astype(np.float32)[:, None, None]
    blur = rng.choice([0.0, rng.uniform(0.002, 0.008)]) * size
    if blur > 0.3:
        frames = np.stack([cv2.GaussianBlur(frame, (0, 0), blur) for frame in frames])
    grain = rng.uniform(0.001, 0.008) if rng.random() < 0.35 else 0.0
    shade = rng.uniform(0.1, 0.6) if rng.random() < 0.3 else 0.0  # Corners that the lens darkens.
    if shade:
        away = (np.arange(size) + 0.5) / size - 0.5
        frames *= (1 - shade * (away[:, None] ** 2 + away**2))[..., None].astype(np.float32)
    if grain:
        frames += np.float32(grain) * rng.standard_normal([*frames.shape[:3], 1], np.float32)
    return to_uint8(frames)
