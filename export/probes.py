"""What artefacts are calibrated on, checked with and timed on: latents of the prior, or first frames of clips."""

from __future__ import annotations

import logging

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.sources import open_source
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel

logger = logging.getLogger("tfvideogan.export")

FEWEST = 8
SKIES = "synthetic:sky:test"


def probe_inputs(
    model: AdversarialModel,
    count: int,
    clips: str | None = None,
    seed: int = 1,
    skip: int = 0,
    flag: str = "--calibration",
) -> np.ndarray:
    """Latents [count, 100] from N(0, 1), or frames [n, H, W, 3] in [-1, 1] that were uint8.

    Args:
        clips: for predictors, a data set as `tfvideogan.train --data` takes it (default: built-in skies); if it
            has fewer clips than `count`, all of them.
        seed: of the latents.
        skip: clips to pass over, as far as the others suffice.
        flag: that `clips` come from, for messages.

    Raises:
        UsageError: no such clips, of another size, fewer than 8, or for a model that needs none.
    """
    if not model.predicts and clips:
        raise UsageError(f"{flag} is for predictors, and this run generates from latents. Received: {clips!r}")
    if not model.predicts:
        return vgan.latents(seed, count).numpy()
    num_frames, size = model.num_frames, model.frame_size
    try:
        source = open_source(clips or SKIES, size, num_frames, max_clips=skip + count)
    except UsageError as error:
        raise UsageError(str(error).replace("--data", flag, 1)) from error
    frames = [clip[0] for clip in pipeline.evaluation_batches(source, num_frames, 1, skip + count).unbatch()]
    if len(frames) < FEWEST:
        raise UsageError(f"{flag} must have {FEWEST} clips at least. Received: {clips!r}, which has {len(frames)}")
    return np.stack(frames[-count:])


def held_out_inputs(
    model: AdversarialModel, count: int, clips: str | None, trained_on: str, skip: int, flag: str
) -> tuple[np.ndarray, str]:
    """What to check a model with: `probe_inputs` of `clips`, for predictors of the run's own data if none are given.

    Returns:
        Them, and what they are: "latents", or the name of a data set.

    Raises:
        UsageError: those of `probe_inputs` for `clips`; without the run's data, skies are taken and that is logged.
    """
    if clips or not model.predicts:
        return probe_inputs(model, count, clips, skip=skip, flag=flag), clips or "latents"
    own = f"{trained_on}:test" if trained_on in ("synthetic:sky", "synthetic:sprites") else trained_on
    try:
        return probe_inputs(model, count, own, skip=skip, flag="the run's clips"), own
    except UsageError as error:
        logger.warning("checked with built-in skies: %s", error)
        return probe_inputs(model, count), SKIES
