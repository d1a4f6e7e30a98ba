"""Noise that the built-in clips are made of: value noise for `sky` and `sprites`, tiling textures for the others.

A texture holds two independent fields, A and B. `cos(a) A + sin(a) B` with a turning angle `a` dissolves and grows
while its statistics stay: that is a walk through a third dimension of the noise, without the memory of one.
"""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np

from tfvideogan.files import optional

CELLS = 512  # Texels on a side of a texture; a power of two, so that its halves tile too.


def opencv() -> ModuleType:
    """OpenCV, which draws and samples `skies` and `scenes`. Raises UsageError with the line that installs it."""
    return optional.package("cv2", "OpenCV, which the built-in skies and scenes need,", "data")


def fractal(
    rng: np.random.Generator, y: np.ndarray, x: np.ndarray, octaves: int, scale: float, span: float
) -> np.ndarray:
    """Multi-octave value noise, about 0.5 on average, sampled at rows y [H] and, frame by frame, columns x [T, W].

    Args:
        scale: lattice cells a frame width in the coarsest octave; each next octave has twice as many.
        span: the largest coordinate. The lattice depends on it and not on the pixels, so every size has the same one.
    """
    total = np.zeros([x.shape[0], y.size, x.shape[1]])
    amplitudes = 0.5 ** np.arange(octaves)
    for octave, amplitude in enumerate(amplitudes / amplitudes.sum()):
        cells = scale * 2**octave
        lattice = rng.random([int(span * cells) + 3] * 2)
        total += amplitude * _smooth_lookup(lattice, y * cells, x * cells)
    return total


def _smooth_lookup(lattice: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Smoothstep interpolation of a lattice at rows y [H] and columns x [T, W] -> [T, H, W]."""
    (row, fy), (column, fx) = _cell(y), _cell(x)
    by_row = lattice[row] * (1 - fy[:, None]) + lattice[row + 1] * fy[:, None]  # [H, lattice]
    left, right = by_row[:, column], by_row[:, column + 1]  # [H, T, W]
    return np.moveaxis(left + (right - left) * fx, 0, 1)


def _cell(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cell of each position, and the smoothed fraction of the way through it."""
    cell = np.floor(position).astype(int)
    fraction = position - cell
    return cell, fraction * fraction * (3 - 2 * fraction)


@functools.cache
def texture(name: str, seed: int) -> tuple[np.ndarray, ...]:
    """A tiling texture, made once a process: float32 [N, N, 2], mean 0 and deviation 1, then each level half as large.

    Args:
        name: `smooth` and `rough` (Gaussian, by their spectra), `billows` (heaps, from distances to scattered points),
            `cells` (heaps of one size), `wisps` (long threads along x).
        seed: textures of different seeds have nothing in common.
    """
    rng = np.random.default_rng([seed, sorted(_MAKERS).index(name)])
    levels = [np.stack([_standard(_MAKERS[name](rng)) for _ in "AB"], axis=-1).astype(np.float32)]
    while levels[-1].shape[0] > 8:
        half = levels[-1].shape[0] // 2
        levels.append(levels[-1].reshape(half, 2, half, 2, 2).mean(axis=(1, 3)))
    return tuple(levels)


def sample(levels: tuple[np.ndarray, ...], x: np.ndarray, y: np.ndarray, step: float) -> np.ndarray:
    """Both fields of a texture at places x, y [H, W], in texture sides -> float32 [H, W, 2].

    Args:
        step: the distance of neighbouring places; the level whose texels are about as wide is read, which has
            no detail that pixels so far apart would miss.
    """
    level = levels[int(np.clip(np.rint(np.log2(max(step * CELLS, 1.0))), 0, len(levels) - 1))]
    cells = level.shape[0]
    x, y = ((c * cells - 0.5).astype(np.float32) for c in (x, y))
    cv2 = opencv()
    return cv2.remap(level, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _spectral(rng: np.random.Generator, slope: float, lowest: float = 2.0, stretch: float = 1.0) -> np.ndarray:
    """Gaussian noise [N, N] whose amplitude falls with frequency as f^-slope, drawn out along x by `stretch`."""
    f = np.fft.fftfreq(CELLS, 1 / CELLS)
    radius = np.hypot(f[None] * stretch, f[:, None])
    amplitude = np.where(radius < lowest, 0.0, np.maximum(radius, 1.0) ** -slope)
    return np.fft.ifft2(np.fft.fft2(rng.standard_normal([CELLS, CELLS])) * amplitude).real


def _heaps(rng: np.random.Generator, points: int) -> np.ndarray:
    """Distances [N, N] to the nearest of scattered points, of about -1 between them and 0 on them."""
    free = np.full([CELLS, CELLS], 255, np.uint8)
    side = round(points**0.5)  # A point is drawn in each square of a grid, so that there are no large gaps.
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    column, row = ((grid + rng.random(grid.shape)) * CELLS / side).astype(int).T
    free[row, column] = 0
    cv2, edge = opencv(), CELLS // 4
    far = cv2.distanceTransform(np.pad(free, edge, mode="wrap"), cv2.DIST_L2, 5)
    return -far[edge:-edge, edge:-edge] * side / CELLS


def _billows(rng: np.random.Generator) -> np.ndarray:
    return sum(_standard(_heaps(rng, 4 * 4**k)) * 0.58**k for k in range(2, 7)) + 0.5 * _standard(_spectral(rng, 1.6))


def _cells(rng: np.random.Generator) -> np.ndarray:
    heaps = _standard(_heaps(rng, 256)) + 0.5 * _standard(_spectral(rng, 1.0, 24))
    return _warped(heaps, _spectral(rng, 2.0), _spectral(rng, 2.0), 12)


def _wisps(rng: np.random.Generator) -> np.ndarray:
    threads = _standard(_spectral(rng, 1.3, 3.0, stretch=5.0)) + 0.35 * _standard(_spectral(rng, 1.2, 8.0))
    return _warped(threads, _spectral(rng, 2.2), _spectral(rng, 2.0), 16)


def _warped(field: np.ndarray, dx: np.ndarray, dy: np.ndarray, texels: float) -> np.ndarray:
    """A field displaced by noise of a deviation of so many texels."""
    row, column = np.mgrid[:CELLS, :CELLS].astype(np.float32)
    x, y = (np.float32(texels) * _standard(d).astype(np.float32) for d in (dx, dy))
    cv2 = opencv()
    return cv2.remap(field.astype(np.float32), column + x, row + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _standard(field: np.ndarray) -> np.ndarray:
    return (field - field.mean()) / field.std()


_MAKERS = {
    "smooth": lambda rng: _spectral(rng, 2.2, 4.0),
    "rough": lambda rng: _spectral(rng, 1.75),
    "billows": _billows,
    "cells": _cells,
    "wisps": _wisps,
}
