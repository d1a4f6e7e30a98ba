"""MSE and PSNR of predicted clips. Protocol: each frame has a score, and the result is the mean over all frames."""

from __future__ import annotations

import numpy as np

MOST_DB = 100.0  # Time-lapses repeat frames, and one exact frame would make the mean of all infinite.


def mse(generated: np.ndarray, real: np.ndarray) -> float:
    """Mean squared error of clips [N, T, H, W, 3], in the squared units of their values (ours are in [-1, 1])."""
    return float(frame_mse(generated, real).mean())


def psnr(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> float:
    """Peak signal-to-noise ratio of clips [N, T, H, W, 3] in decibels, no frame of which counts by more than 100.

    Args:
        data_range: largest minus smallest possible value; 2 for clips in [-1, 1].
    """
    return float(to_psnr(frame_mse(generated, real), data_range).mean())


def frame_mse(generated: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The mean squared error of each frame of clips [N, T, H, W, 3], float64 [N, T]."""
    clips = zip(generated, real, strict=True)
    return np.array([[_mean_square(*frames) for frames in zip(*pair, strict=True)] for pair in clips])


def _mean_square(a: np.ndarray, b: np.ndarray) -> float:
    squared = np.subtract(a, b, dtype=np.float64)  # One frame stays in the cache; a batch would not.
    squared *= squared  # `np.dot` would call threads for each frame, which takes longer.
    return squared.mean()


def to_psnr(mse: np.ndarray, data_range: float = 2.0) -> np.ndarray:
    """The PSNR of frames in decibels, at most 100 (ours), for their mean squared errors, float64 of any shape."""
    smallest = data_range**2 / 10 ** (MOST_DB / 10)
    return 10 * np.log10(data_range**2 / np.maximum(mse, smallest))


def capped_frames(psnr: np.ndarray) -> np.ndarray:
    """How many frames of each clip are exact, or nearer than 100 dB, and count as 100: [N, T] in dB -> int64 [N]."""
    return (psnr >= MOST_DB).sum(axis=1)
