"""The colours of a sky at some hour and in some weather, as `synthetic:skies` draws them; ours.

Colours are RGB in [0, 1] as a camera stores them, after its curve.
"""

from __future__ import annotations

import colorsys
import dataclasses
from collections.abc import Callable

import numpy as np

# The share of the clips that each hour has.
HOURS = {"day": 0.41, "grey": 0.25, "dusk": 0.19, "tinted": 0.05, "night": 0.07, "aurora": 0.03}


@dataclasses.dataclass
class Light:
    """What lights a clip: colours [3] of the sky, of clouds in shade and in light, of the sun, and of the land."""

    hour: str
    top: np.ndarray
    bottom: np.ndarray
    shade: np.ndarray
    lit: np.ndarray
    sun: np.ndarray
    glow: float  # How bright the sun's or moon's surroundings are; 0 for none.
    disc: float  # The radius of a sun or moon that is seen, in frame widths; 0 for none.
    land: float  # How much light falls on the land, in [0, 1].
    stars: float = 0.0  # How bright the brightest star is.


def draw(rng: np.random.Generator) -> Light:
    """A light, drawn by the shares of `HOURS`, then graded as cameras and their owners do."""
    hour = str(rng.choice(list(HOURS), p=list(HOURS.values())))
    light = _HOURS[hour](rng)
    return _graded(rng, light)


def _day(rng: np.random.Generator) -> Light:
    hue, strength = rng.uniform(0.54, 0.64), rng.uniform(0.3, 1.0) ** 0.7
    top = hsv(hue, rng.uniform(0.6, 0.95) * strength, rng.uniform(0.4, 0.95))
    bottom = hsv(hue - rng.uniform(0, 0.04), rng.uniform(0.1, 0.6) * strength, rng.uniform(0.75, 1.0))
    lit = hsv(rng.choice([0.09, 0.6]), rng.uniform(0, 0.08), rng.uniform(0.9, 1.1))
    shade = hsv(hue + rng.uniform(-0.02, 0.04), rng.uniform(0.04, 0.28), rng.uniform(0.35, 0.75))
    glow = rng.uniform(0.2, 0.8) if rng.random() < 0.3 else 0.0
    disc = rng.uniform(0.02, 0.05) if glow and rng.random() < 0.6 else 0.0
    return Light("day", top, bottom, shade, lit, hsv(0.12, 0.08, 1.0), glow, disc, rng.uniform(0.25, 0.9))


def _grey(rng: np.random.Generator) -> Light:
    hue, saturation = (
        rng.choice([rng.uniform(0.5, 0.72), rng.uniform(0.02, 0.15)], p=[0.82, 0.18]),
        rng.uniform(0, 0.16),
    )
    value, contrast = rng.uniform(0.3, 0.85), rng.uniform(0.3, 0.9)
    top = hsv(hue, saturation * 1.2, value)
    bottom = hsv(hue, saturation * 0.7, value + rng.uniform(-0.1, 0.2))
    lit = hsv(hue, saturation * 0.6, min(value + contrast * 0.6, 1.0))
    shade = hsv(hue, saturation * 1.3, max(value - contrast * 0.8, 0.06))
    glow = rng.uniform(0.1, 0.5) if rng.random() < 0.3 else 0.0
    return Light("grey", top, bottom, shade, lit, hsv(0.12, 0.1, 1.0), glow, 0.0, rng.uniform(0.05, 0.6) * value)


def _dusk(rng: np.random.Generator) -> Light:
    warm = rng.uniform(0.01, 0.1)
    value, depth = rng.uniform(0.2, 0.85), rng.uniform(0.15, 0.85)
    if rng.random() < 0.25:  # The whole sky burns.
        top = hsv(warm, rng.uniform(0.6, 0.95), value * rng.uniform(0.5, 0.9))
        bottom = hsv(warm + rng.uniform(0, 0.04), rng.uniform(0.6, 0.95), min(value + rng.uniform(0.1, 0.5), 1.0))
    else:
        top = hsv(rng.uniform(0.54, 0.7), rng.uniform(0.15, 0.6), value * rng.uniform(0.5, 1.0))
        bottom = hsv(warm, rng.uniform(0.15, 0.75), min(value + rng.uniform(0.0, 0.4), 1.0))
    lit = hsv(warm + rng.uniform(-0.06, 0.03), depth * rng.uniform(0.4, 1.0), min(value + rng.uniform(0.1, 0.5), 1.0))
    shade = hsv(rng.choice([rng.uniform(0.58, 0.7), warm]), rng.uniform(0.05, 0.4), value * rng.uniform(0.25, 0.75))
    glow = rng.uniform(0.4, 1.0) if rng.random() < 0.7 else 0.0
    disc = rng.uniform(0.02, 0.06) if glow and rng.random() < 0.5 else 0.0
    sun = hsv(warm + 0.03, rng.uniform(0.15, 0.7), 1.0)
    return Light("dusk", top, bottom, shade, lit, sun, glow, disc, rng.uniform(0.0, 0.35))


def _tinted(rng: np.random.Generator) -> Light:
    """Teal, violet or pink, as films are graded."""
    hue, other = rng.uniform(0.42, 0.98), rng.uniform(-0.12, 0.12)
    top = hsv(hue, rng.uniform(0.2, 0.55), rng.uniform(0.3, 0.8))
    bottom = hsv(hue + other, rng.uniform(0.15, 0.5), rng.uniform(0.6, 0.95))
    lit = hsv(hue + rng.uniform(-0.4, 0.4), rng.uniform(0.03, 0.3), rng.uniform(0.8, 1.0))
    shade = hsv(hue + other / 2, rng.uniform(0.15, 0.5), rng.uniform(0.35, 0.65))
    return Light("tinted", top, bottom, shade, lit, hsv(0.1, 0.2, 1.0), 0.0, 0.0, rng.uniform(0.1, 0.6))


def _night(rng: np.random.Generator) -> Light:
    hue = rng.uniform(0.5, 0.75)
    top = hsv(hue, rng.uniform(0.2, 0.8), rng.uniform(0.03, 0.22))
    town = hsv(rng.choice([rng.uniform(0.02, 0.12), hue]), rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.45))
    shade = hsv(hue, rng.uniform(0.2, 0.5), rng.uniform(0.02, 0.12))
    lit = hsv(rng.choice([hue, 0.07]), rng.uniform(0.1, 0.5), rng.uniform(0.15, 0.5))
    moon = rng.random() < 0.35
    glow, disc = (rng.uniform(0.3, 0.8), rng.uniform(0.015, 0.035)) if moon else (0.0, 0.0)
    stars = 0.0 if moon else rng.uniform(0.3, 1.0)
    return Light("night", top, town, shade, lit, hsv(0.58, 0.1, 0.9), glow, disc, rng.uniform(0.0, 0.1), stars)


def _aurora(rng: np.random.Generator) -> Light:
    light = _night(rng)
    light.hour, light.glow, light.disc, light.stars = "aurora", 0.0, 0.0, rng.uniform(0.2, 0.7)
    light.sun = hsv(rng.choice([0.38, 0.45, 0.33]), rng.uniform(0.6, 0.95), rng.uniform(0.5, 0.95))
    return light


_HOURS: dict[str, Callable[[np.random.Generator], Light]] = {
    "day": _day, "grey": _grey, "dusk": _dusk, "tinted": _tinted, "night": _night, "aurora": _aurora,
}  # fmt: skip


def _graded(rng: np.random.Generator, light: Light) -> Light:
    """The light as a camera and its owner leave it: white balance, contrast, lifted blacks, now and then no colour."""
    gains = rng.normal(1.0, 0.03, 3)
    contrast, lift = rng.uniform(0.9, 1.35), rng.uniform(0.0, 0.04)
    saturation = 0.0 if rng.random() < 0.05 else rng.uniform(0.9, 1.6)
    for name in ("top", "bottom", "shade", "lit", "sun"):
        colour = getattr(light, name) * gains
        colour = colour.mean() + (colour - colour.mean()) * saturation
        setattr(light, name, np.clip((colour - 0.4) * contrast + 0.4 + lift, 0.0, 1.1).astype(np.float32))
    return light


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
