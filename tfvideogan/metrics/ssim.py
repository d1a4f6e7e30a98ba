"""Structural similarity (Wang et al. 2004), equal to what scikit-image computes frame by frame.

Protocol: a uniform window of 7x7 inside the frame, sample (co)variances. The score of a frame is the mean over its
channels, and the result is the mean over all frames.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

WINDOW = 7
_COUNT = WINDOW**2


def ssim(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> float:
    """Mean SSIM of clips [N, T, H, W, 3].

    Args:
        data_range: largest minus smallest possible value; 2 for clips in [-1, 1].

    Raises:
        ValueError: a side of a frame is under 7 pixels, or the shapes differ.
    """
    return float(frame_ssim(generated, real, data_range).mean())


def frame_ssim(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> np.ndarray:
    """The SSIM of each frame of clips [N, T, H, W, C], float64 [N, T]; arguments and errors as for `ssim`."""
    if generated.shape != real.shape or min(real.shape[2:4]) < WINDOW:
        raise ValueError(f"clips must be of one shape, {WINDOW} pixels a side or more. Received: "
                         f"{generated.shape}, {real.shape}")  # fmt: skip
    frames = (clips.reshape(-1, *clips.shape[2:]) for clips in (generated, real))
    of_frame = functools.partial(_of_frame, data_range=data_range)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy computes outside of Python's lock.
        return np.reshape(list(threads.map(of_frame, *frames)), real.shape[:2])


def _of_frame(a: np.ndarray, b: np.ndarray, data_range: float) -> float:
    """The SSIM of two frames [H, W, C].

    All is computed on flat arrays, where a shift by a pixel or by a row is one slice without a loop over rows. Windows
    that run over the end of a row are computed with the others, and dropped last.
    """
    height, width, channels = a.shape
    x, y = (frame.astype(np.float64).ravel() for frame in (a, b))
    sum_x, sum_y, sum_xy, sum_squares = (
        _sums_of_seven(_sums_of_seven(values, width * channels), channels) for values in (x, y, x * y, x * x + y * y)
    )
    # Means are multiplied by 49 and (co)variances by 49 * 48, which cancels in the quotient.
    c1, c2 = (0.01 * data_range * _COUNT) ** 2, (0.03 * data_range) ** 2 * _COUNT * (_COUNT - 1)
    product, squares = sum_x * sum_y, sum_x * sum_x + sum_y * sum_y
    scores = (2 * product + c1) * (2 * (_COUNT * sum_xy - product) + c2)
    scores /= (squares + c1) * (_COUNT * sum_squares - squares + c2)
    rows = np.zeros((height - WINDOW + 1) * width * channels)
    rows[: len(scores)] = scores
    return float(rows.reshape(-1, width, channels)[:, : width - WINDOW + 1].mean())


def _sums_of_seven(values: np.ndarray, step: int) -> np.ndarray:
    """v[i] + v[i + step] + ... + v[i + 6 step] of a flat array, for all i for which there are seven."""
    twos = values[:-step] + values[step:]
    sums = twos[: -2 * step] + twos[2 * step :]
    sums = sums[: len(values) - 6 * step]
    sums += twos[4 * step : 4 * step + len(sums)]
    sums += values[6 * step :]
    return sums
