"""Inputs to calibrate and check artefacts with: latents from N(0, 1), or first frames of clips."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.data.sources import SYNTHETIC, open_source
from tfvideogan.inference import sampling
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.generative import Inputs

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
    form: Form = BY_RULE,
) -> Inputs:
    """Latents [count, 100] from N(0, 1), or for predictors frames [n, H, W, 3] of uint8 levels, scaled to [-1, 1].

    For a model that takes wind they are pairs of frames and the wind of their clips [n, 2], measured.

    Args:
        count: how many inputs are wanted; a data set with fewer clips gives all that it has.
        clips: for predictors, a data set as `tfvideogan.train --data` takes it (default: built-in skies).
        seed: the seed of the latents.
        skip: how many clips to pass over, as far as enough others remain.
        flag: the flag that `clips` come from, for messages.
        form: how arrays are read.

    Raises:
        UsageError: there are no such clips, they have another size, there are fewer than 8, or the model needs none.
    """
    if not model.predicts and clips:
        raise UsageError(f"{flag} is for predictors, and this run generates from latents. Received: {clips!r}")
    if not model.predicts:
        return vgan.latents(seed, count).numpy()
    num_frames, size = model.num_frames, model.frame_size
    try:
        source = open_source(clips or SKIES, size, num_frames, max_clips=skip + count, form=form)
    except UsageError as error:
        raise UsageError(str(error).replace("--data", flag, 1)) from error
    batches = pipeline.evaluation_batches(source, num_frames, 1, skip + count)
    rows = [sampling.first_frames(model, clip) for clip in pipeline.arrays(batches, source)]
    if len(rows) < FEWEST:
        raise UsageError(f"{flag} must have {FEWEST} clips at least. Received: {clips!r}, which has {len(rows)}")
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *rows[-count:])


def held_out_inputs(
    model: AdversarialModel, count: int, clips: str | None, trained_on: str, skip: int, flag: str, form: Form = BY_RULE
) -> tuple[Inputs, str]:
    """Inputs to check a model with, other than those of its calibration as far as there are enough clips.

    They come from `probe_inputs`. A predictor without `clips` gets frames of the run's own data, and of built-in
    clips those of the test split. If those clips are gone, built-in skies replace them, and a warning says so.

    Returns:
        The inputs, and what they are: "latents", or the name of a data set.

    Raises:
        UsageError: those of `probe_inputs` for `clips`.
    """
    if clips or not model.predicts:
        return probe_inputs(model, count, clips, skip=skip, flag=flag, form=form), clips or "latents"
    own = f"{trained_on}:test" if trained_on in {f"synthetic:{name}" for name in SYNTHETIC} else trained_on
    try:
        return probe_inputs(model, count, own, skip=skip, flag="the run's clips", form=form), own
    except UsageError as error:
        logger.warning("checked with built-in skies: %s", error)
        return probe_inputs(model, count), SKIES
