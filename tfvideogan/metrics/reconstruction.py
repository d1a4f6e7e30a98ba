"""MSE and PSNR of predicted clips. Protocol: each frame has a score, and the result is the mean over all frames."""

from __future__ import annotations

import numpy as np


def mse(generated: np.ndarray, real: np.ndarray) -> float:
    """Mean squared error of clips [N, T, H, W, 3], in the squared units of their values (ours are in [-1, 1])."""
    return float(_frame_mse(generated, real).mean())


def psnr(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> float:
    """Peak signal-to-noise ratio of clips [N, T, H, W, 3] in decibels; infinite if any frame is exact.

    Args:
        data_range: largest minus smallest possible value; 2 for clips in [-1, 1].
    """
    with np.errstate(divide="ignore"):
        return float((10 * np.log10(data_range**2 / _frame_mse(generated, real))).mean())


def _frame_mse(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The mean squared error of each frame, float64 [N, T]."""
    return ((generated.astype(np.float64) - real) ** 2).mean(axis=(2, 3, 4))
