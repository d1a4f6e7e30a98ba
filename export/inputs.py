"""What artefacts are fed when they are checked and timed: latents of the prior, or first frames of clips."""

from __future__ import annotations

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.sources import open_source
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel

CLIPS = "synthetic:sky:test"  # for predictors, where no clips are given


def probe_inputs(model: AdversarialModel, count: int, clips: str | None = None, seed: int = 1) -> np.ndarray:
    """Latents [count, 100] from N(0, 1), or frames [count, H, W, 3] in [-1, 1] that were uint8.

    Args:
        clips: for predictors, a data set as `tfvideogan.train --data` takes it.
        seed: of the latents.

    Raises:
        UsageError: no such clips, of another size, fewer than `count`, or for a model that needs none.
    """
    if not model.predicts and clips:
        raise UsageError(f"clips are for predictors, and this run generates from latents. Received: {clips!r}")
    if not model.predicts:
        return vgan.latents(seed, count).numpy()
    num_frames, size = model.discriminator.input_shape[1:3]
    source = open_source(clips or CLIPS, size, num_frames, max_clips=count)
    (batch,) = pipeline.evaluation_batches(source, num_frames, count, count).as_numpy_iterator()
    if len(batch) < count:
        raise UsageError(f"{count} clips are needed. Received: {clips!r}, which has {len(batch)}")
    return batch[:, 0]
