"""Whether a long clip, put together of predictions, shows where they meet, and whether it goes on moving; ours.

Protocol: the change of a frame is its mean absolute difference from the one before it, averaged over clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfvideogan.metrics import motion


def seam_ratio(changes: np.ndarray, seams: Sequence[int]) -> float:
    """The mean change at the seams over the mean change elsewhere: at 1 no seam shows; a jump has more, a halt less.

    NaN if there is no seam, or nothing moves elsewhere.

    Args:
        changes: [N, T - 1], of `motion.frame_changes`.
        seams: the frames, counted from 0, whose change belongs to a seam.
    """
    at_seam = np.isin(np.arange(1, changes.shape[1] + 1), seams)
    if not at_seam.any() or at_seam.all():
        return float("nan")
    return motion.ratio(float(changes[:, at_seam].mean()), float(changes[:, ~at_seam].mean()))


def motion_kept(changes: np.ndarray, num_frames: int) -> float:
    """The mean change over the last `num_frames` frames over that of the first: under 1 the motion dies away."""
    length = num_frames - 1
    return motion.ratio(float(changes[:, -length:].mean()), float(changes[:, :length].mean()))
