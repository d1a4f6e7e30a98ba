"""Scores of clips that are longer than a prediction: one prediction after another (`animation.rolled_out`); ours."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfvideogan.data import clips as clip_values
from tfvideogan.data.sources import ClipSource
from tfvideogan.inference import scoring
from tfvideogan.inference.animation import Animator, seam_frames
from tfvideogan.inference.sampling import first_frames
from tfvideogan.metrics import motion, seams
from tfvideogan.models.adversarial import AdversarialModel


def score(model: AdversarialModel, source: ClipSource, count: int, num_frames: int) -> dict[str, Any]:
    """How seams show, and whether the motion goes on, in clips from the first frames of `count` real ones.

    Args:
        num_frames: frames of the long clips, more than a prediction has.

    Returns:
        {"frames": ..., "seam_ratio": ..., "motion_kept": ...}, as `metrics.seams` defines both.
    """
    animator, changes = Animator(model), []
    for real, _ in scoring.real_batches(model, source, count):
        frames, winds = first_frames(model, real) if model.takes_wind else (real[:, 0], [None] * len(real))
        for frame, wind in zip(clip_values.to_uint8(frames), winds, strict=True):
            clip = animator.longer(frame, wind, num_frames)
            changes.append(motion.frame_changes(clip_values.to_float(clip)[None])[0])
    of_all = np.stack(changes)
    return {
        "frames": num_frames,
        "seam_ratio": seams.seam_ratio(of_all, seam_frames(model.num_frames, num_frames)),
        "motion_kept": seams.motion_kept(of_all, model.num_frames),
    }
