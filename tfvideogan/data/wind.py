"""The mean wind of a clip, measured by optical flow (ours): which way, and how fast, what is seen in it moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfvideogan.files import optional

_SIDE = 80  # The flow is measured in frames of so many pixels a side.
_PAIRS = 5  # So many pairs of neighbouring frames, evenly over a clip, tell its wind. More do not tell it better.
# Farneback's method takes the scale of a pyramid's levels, their number, the window, how often it iterates, and the
# size and sigma of its polynomials.
_FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


def require() -> Any:
    """OpenCV. Raises UsageError if it is missing."""
    return optional.package("cv2", "OpenCV", "data")


def measure(clip: np.ndarray) -> np.ndarray:
    """The wind of a clip uint8 [T, H, W, 3] from one frame to the next.

    It is the median over time of the mean flow (Farneback, 2003) between neighbouring frames, in which a pixel counts
    by its image gradient.

    Returns:
        float32 [2], (u, v): frame widths to the right and frame heights downwards a frame, as `drifting_clip` of
        `models/drift.py` takes them. Zero for a clip of one colour.

    Raises:
        UsageError: OpenCV is missing.
    """
    cv2 = require()
    chosen = np.unique(np.linspace(0, len(clip) - 2, min(_PAIRS, len(clip) - 1)).round().astype(int))
    numbers = np.unique([*chosen, *(chosen + 1)])
    greys = {t: _grey(cv2, clip[t]) for t in numbers}
    means = [_mean_flow(cv2, greys[t], greys[t + 1]) for t in chosen]
    return np.float32(np.median(means, axis=0) / _SIDE)


def _grey(cv2: Any, frame: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3] in grey, of the size at which its flow is measured."""
    interpolation = cv2.INTER_AREA if min(frame.shape[:2]) > _SIDE else cv2.INTER_LINEAR
    return cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=interpolation)


def _mean_flow(cv2: Any, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The mean flow [2] between two grey frames in pixels."""
    gradient = np.hypot(*np.gradient(np.float32(before)))
    if not gradient.any():
        return np.zeros(2)
    flow = cv2.calcOpticalFlowFarneback(before, after, None, *_FARNEBACK)
    return np.average(flow.reshape(-1, 2), axis=0, weights=gradient.ravel())


def with_wind(clip: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A clip uint8 [T, H, W, 3], and its wind float32 [2], in a `tf.data` graph."""
    wind = tf.numpy_function(measure, [clip], tf.float32, stateful=False)
    return clip, tf.ensure_shape(wind, [2])
