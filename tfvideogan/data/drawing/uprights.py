"""What stands upright before the skies of `synthetic:skies`: towers, domes, spires, chimneys, masts with wires; ours.

Places and sizes are in canvas widths, (x, y) with y downwards.
"""

from __future__ import annotations

import numpy as np

from tfvideogan.data.drawing.cel import Cel


def draw(rng: np.random.Generator, cel: Cel, base: float) -> None:
    """Draws one to three things on a cel, all of one kind, each from the sky down to below `base`."""
    kind = (tower, dome, spire, chimney, mast)[rng.choice(5, p=(0.3, 0.15, 0.2, 0.1, 0.25))]
    colour = rng.uniform(0.05, 1.0) * (1 + rng.uniform(-0.25, 0.25) * np.array([1.0, 0.1, -1.0]))
    for _ in range(int(rng.integers(1, 4))):
        foot = np.array([rng.uniform(0.05, 0.95), base + 0.06])
        kind(rng, cel, foot, rng.uniform(0.2, 0.7) * base + 0.1, colour * rng.uniform(0.8, 1.1))


def tower(rng: np.random.Generator, cel: Cel, foot: np.ndarray, height: float, colour: np.ndarray) -> None:
    """A house of many floors, or a block of stone, lit from one side."""
    half = rng.uniform(0.02, 0.1)
    _block(cel, foot, half, height, colour)
    _block(cel, np.add(foot, [half * rng.choice([-1, 1]) * 0.6, 0]), half * 0.4, height, colour * rng.uniform(0.5, 0.9))
    for floor in np.arange(foot[1] - height + 0.02, foot[1], rng.uniform(0.015, 0.04)):
        cel.limb(np.array([foot[0] - half * 0.8, floor]), np.array([foot[0] + half * 0.8, floor]), 0.003, colour * 0.6)


def dome(rng: np.random.Generator, cel: Cel, foot: np.ndarray, height: float, colour: np.ndarray) -> None:
    """An observatory or a church's dome on its wall."""
    half = rng.uniform(0.04, 0.14)
    height = min(height, 0.08 + 2 * half)
    cel.disc(foot - [0, height], half, colour * rng.uniform(0.7, 1.2))
    _block(cel, foot, half, height, colour)


def spire(rng: np.random.Generator, cel: Cel, foot: np.ndarray, height: float, colour: np.ndarray) -> None:
    """A church's tower with a pointed roof."""
    half, wall = rng.uniform(0.015, 0.05), height * rng.uniform(0.4, 0.7)
    _block(cel, foot, half, wall, colour)
    roof = [[-half * 1.2, -wall], [half * 1.2, -wall], [0, -height]]
    cel.polygon(np.add(foot, roof), colour * rng.uniform(0.4, 0.9))


def chimney(rng: np.random.Generator, cel: Cel, foot: np.ndarray, height: float, colour: np.ndarray) -> None:
    """It gets narrower upwards, and may have a ring of paint."""
    low, high = rng.uniform(0.015, 0.04), rng.uniform(0.008, 0.015)
    cel.polygon(np.add(foot, [[-low, 0], [low, 0], [high, -height], [-high, -height]]), colour)
    _block(cel, foot - [0, height * 0.8], high * 1.2, 0.03, colour * rng.uniform(0.3, 1.5))


def mast(rng: np.random.Generator, cel: Cel, foot: np.ndarray, height: float, colour: np.ndarray) -> None:
    """A pole with arms, and wires that hang from it across the picture."""
    width, top = rng.uniform(0.006, 0.016), foot - [0, height]
    cel.limb(foot, top, width, colour * 0.5)
    for drop in rng.uniform(0.02, 0.1, int(rng.integers(0, 3))):
        middle, arm = np.add(top, [0, drop]), np.array([rng.uniform(0.03, 0.08), 0])
        cel.limb(middle - arm, middle + arm, width * 0.7, colour * 0.5)
        if rng.random() < 0.6:
            x = np.linspace(0, 1, 20)
            sag = middle[1] + rng.uniform(0.02, 0.08) * np.abs(np.sin(np.pi * (x - top[0]) / rng.uniform(0.5, 1.0)))
            for start, end in zip(np.stack([x, sag], -1)[:-1], np.stack([x, sag], -1)[1:], strict=True):
                cel.limb(start, end, 0.004, colour * 0.4)


def _block(cel: Cel, foot: np.ndarray, half: float, height: float, colour: np.ndarray) -> None:
    cel.polygon(np.add(foot, [[-half, 0], [half, 0], [half, -height], [-half, -height]]), colour)
