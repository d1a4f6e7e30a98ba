"""Structural similarity (Wang et al. 2004) as scikit-image computes it.

Protocol: a uniform window of 7x7. The score of a frame is the mean over its channels, and the result is the mean over
all frames.
"""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity


def ssim(generated: np.ndarray, real: np.ndarray, data_range: float = 2.0) -> float:
    """Mean SSIM of clips [N, T, H, W, 3].

    Args:
        data_range: largest minus smallest possible value; 2 for clips in [-1, 1].

    Raises:
        ValueError: a side of a frame is under 7 pixels.
    """
    frames = zip(generated.reshape(-1, *generated.shape[2:]), real.reshape(-1, *real.shape[2:]), strict=True)
    options = {"win_size": 7, "channel_axis": -1, "data_range": data_range}
    scores = [structural_similarity(a.astype(np.float64), b.astype(np.float64), **options) for a, b in frames]
    return float(np.mean(scores))
