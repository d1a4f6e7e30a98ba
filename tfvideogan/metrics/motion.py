"""How much a clip moves, in pixels' values: a still clip scores 0, whatever its PSNR."""

from __future__ import annotations

import numpy as np


def mean_frame_difference(clips: np.ndarray) -> float:
    """Mean absolute difference of consecutive frames of [N, T, H, W, 3], in the range they are given in."""
    return float(np.abs(np.diff(clips.astype(np.float64), axis=1)).mean())


def ratio(generated: float, real: float) -> float:
    """The motion ratio, mean frame difference of generated over real clips: 1 is as much motion as real.

    NaN if the real clips do not move.
    """
    return generated / real if real else float("nan")
