"""MSE and PSNR of predicted clips. Protocol: per frame, mean over frames, then over clips."""

from __future__ import annotations

import numpy as np


def mse(generated: np.ndarray, real: np.ndarray) -> float:
    """Mean squared error of clips [N, T, H, W, 3]; of the range they are given in (ours: [-1, 1])."""
    return float(_frame_mse(generated, real).mean())


def psnr(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> float:
    """Peak signal-to-noise ratio of clips [N, T, H, W, 3], decibels; infinite if any frame is exact.

    Args:
        data_range: largest minus smallest possible value; 2 for clips in [-1, 1].
    """
    with np.errstate(divide="ignore"):
        return float((10 * np.log10(data_range**2 / _frame_mse(generated, real))).mean())


def _frame_mse(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """[N, T], in float64."""
    return ((generated.astype(np.float64) - real) ** 2).mean(axis=(2, 3, 4))
