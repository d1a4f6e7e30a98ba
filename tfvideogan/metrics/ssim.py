"""Structural similarity (Wang et al. 2004), equal to what scikit-image computes frame by frame.

Protocol: a uniform window of 7x7 inside the frame, sample (co)variances. The score of a frame is the mean over its
channels, and the result is the mean over all frames.

Variances are small differences of large sums: in float32 the scores of flat frames are wrong by up to 6e-4. In float64
the time goes to memory, so frames are taken in blocks that fit in a core's cache, arrays are worked on in place, and
what concerns the real frames alone is computed once for all predictions of them.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

WINDOW = 7
_COUNT = WINDOW**2
_BLOCK = 25_000  # Small frames are taken together up to so many values; 200 kB an array.


def ssim(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> float:
    """Mean SSIM of clips [N, T, H, W, 3].

    Args:
        data_range: largest minus smallest possible value; 2 for clips in [-1, 1].

    Raises:
        ValueError: a side of a frame is under 7 pixels, or the shapes differ.
    """
    return float(frame_ssim(generated, real, data_range).mean())


def frame_ssim(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> np.ndarray:
    """The SSIM of each frame, float64 [..., N, T]; arguments and errors as for `ssim`.

    Args:
        generated: one or several predictions [..., N, T, H, W, C] of the real clips [N, T, H, W, C]. Several in one
            call take less time than one after another.
    """
    if generated.shape[-5:] != real.shape or min(real.shape[2:4]) < WINDOW:
        raise ValueError(f"clips must be of one shape, {WINDOW} pixels a side or more. Received: "
                         f"{generated.shape}, {real.shape}")  # fmt: skip
    frames = real.reshape(-1, *real.shape[2:])
    predictions = generated.reshape(-1, *frames.shape)
    starts = range(0, len(frames), max(_BLOCK // frames[0].size, 1))
    blocks = [slice(start, start + starts.step) for start in starts]
    of_block = functools.partial(_of_block, data_range=data_range)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # NumPy computes outside of Python's lock.
        scores = threads.map(of_block, (predictions[:, block] for block in blocks), (frames[block] for block in blocks))
        return np.concatenate(list(scores), axis=1).reshape(generated.shape[:-3])


def _of_block(predictions: np.ndarray, real: np.ndarray, data_range: float) -> np.ndarray:
    """The SSIM of each frame, [K, F], of K predictions [K, F, H, W, C] of F real frames.

    Means are multiplied by 49 and (co)variances by 49 * 48. Both factors of the numerator, 2 mean_x mean_y + c1 and
    2 cov_xy + c2, are halved.
    """
    c1, c2 = (0.01 * data_range * _COUNT) ** 2, (0.03 * data_range) ** 2 * _COUNT * (_COUNT - 1)
    windows = _Windows(real.shape)
    y = real.astype(np.float64).ravel()
    sum_y, of_y = windows.sums(y.copy()), windows.sums(y * y)
    mean_y = sum_y * sum_y
    of_y *= _COUNT
    of_y -= mean_y
    of_y += c2
    mean_y += c1
    x, x_squared, product = (np.empty_like(y) for _ in range(3))
    scores = []
    for prediction in predictions:
        x[:] = prediction.ravel()
        np.multiply(x, x, out=x_squared)
        np.multiply(x, y, out=product)
        sum_x, variance, covariance = (windows.sums(values) for values in (x, x_squared, product))
        means = sum_x * sum_y
        sum_x *= sum_x
        covariance *= _COUNT
        covariance -= means
        covariance += c2 / 2
        means += c1 / 2
        means *= covariance
        variance *= _COUNT
        variance -= sum_x
        variance += of_y
        sum_x += mean_y
        variance *= sum_x
        means /= variance
        scores.append(4 * windows.mean(means))
    return np.stack(scores)


class _Windows:
    """Sums over the windows of frames [F, H, W, C] as flat arrays, where a shift by a pixel or by a row is one slice.

    Windows that run over the end of a row or of a frame are computed with the others, and dropped last.
    """

    def __init__(self, shape: tuple[int, ...]):
        self._shape, (_, _, width, channels) = shape, shape
        self._steps = width * channels, channels
        self._spare = np.empty(np.prod(shape)), np.empty(np.prod(shape))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum of each window, in place of the values."""
        twos, rows = self._spare
        by_row, by_pixel = self._steps
        return _sums_of_seven(_sums_of_seven(values, by_row, twos, rows), by_pixel, twos, values)

    def mean(self, scores: np.ndarray) -> np.ndarray:
        """The mean of each frame's windows, [F]."""
        frames = self._spare[0]
        frames[: len(scores)] = scores
        frames[len(scores) :] = 0
        return frames.reshape(self._shape)[:, : 1 - WINDOW, : 1 - WINDOW].mean(axis=(1, 2, 3))


def _sums_of_seven(values: np.ndarray, step: int, twos: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """v[i] + v[i + step] + ... + v[i + 6 step] of a flat array, for all i for which there are seven.

    Each sum is of these seven alone. Running sums would carry rounding errors, and one NaN, through the whole array.
    """
    twos, sums = twos[: len(values) - step], sums[: len(values) - 6 * step]
    np.add(values[:-step], values[step:], out=twos)
    np.add(twos[: len(sums)], twos[2 * step : 2 * step + len(sums)], out=sums)
    sums += twos[4 * step : 4 * step + len(sums)]
    sums += values[6 * step :]
    return sums
