"""How much a clip moves, by how far its pixel values change: a still clip scores 0, whatever its PSNR is."""

from __future__ import annotations

import numpy as np


def mean_frame_difference(clips: np.ndarray) -> float:
    """Mean absolute difference of consecutive frames of clips [N, T, H, W, 3], in the units of their values."""
    return float(np.abs(np.diff(clips.astype(np.float64), axis=1)).mean())


def frame_changes(clips: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each frame from the one before it, [N, T - 1], of clips [N, T, H, W, 3]."""
    return np.abs(np.diff(clips.astype(np.float64), axis=1)).mean(axis=(2, 3, 4))


def ratio(generated: float, real: float) -> float:
    """The mean frame difference of generated clips over that of real ones; at 1 they move as much as real ones.

    NaN if the real clips do not move.
    """
    return generated / real if real else float("nan")
