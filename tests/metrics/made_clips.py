"""Clips that the tests of several metrics score."""

from collections.abc import Sequence

import numpy as np


def random_clips(*shape: int, seed: int = 0) -> np.ndarray:
    """Uniform noise in [-1, 1], float32 of a shape."""
    return np.random.default_rng(seed).uniform(-1, 1, size=shape).astype(np.float32)


def flat_clip(frames: Sequence[float]) -> np.ndarray:
    """One clip [1, T, 8, 8, 3], each frame of one value."""
    return np.array(frames, np.float32)[None, :, None, None, None] * np.ones([1, 1, 8, 8, 3], np.float32)
