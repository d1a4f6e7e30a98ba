"""The moving picture that a training shows of its generator: the same inputs each time."""

from __future__ import annotations

import numpy as np

from tfvideogan.data import pipeline
from tfvideogan.data.sources import ClipSource
from tfvideogan.inference import sampling, visuals
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel

COUNT = 4


class Samples:
    """What a model makes of the same latents, or of the first frames of the same clips, at any time.

    Args:
        source: whose first clips a predictor is shown beside.
        seed: of the latents of a generator from noise.
    """

    def __init__(self, model: AdversarialModel, source: ClipSource, seed: int):
        self._forward = sampling.forward_pass(model)
        if model.predicts:
            batches = pipeline.evaluation_batches(source, model.num_frames, COUNT, COUNT)
            self._real = next(iter(batches)).numpy()
            self._inputs = sampling.first_frames(model, self._real)
        else:
            self._real, self._inputs = None, vgan.latents(seed, COUNT)

    def picture(self) -> np.ndarray:
        """A moving picture uint8 [T, H, W, 3] with a labelled row for each output."""
        outputs = {name: value.numpy() for name, value in self._forward(self._inputs).items()}
        return visuals.labelled_rows(visuals.sample_rows(outputs, self._real))
