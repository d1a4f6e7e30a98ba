"""Clips from a trained model, as arrays, in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tfvideogan.data import wind
from tfvideogan.data.clips import to_uint8
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.generative import Inputs, Tensors

BATCH_SIZE = 8


def generate(model: AdversarialModel, num_clips: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a generator for `num_clips` latents, in dicts of up to BATCH_SIZE clips each.

    Arrays are [n, T, H, W, C] in [-1, 1], masks in [0, 1]. Clip i depends on (seed, i) only.
    """
    latents = vgan.latents(seed, num_clips)
    return sample(model, (latents[start : start + BATCH_SIZE] for start in range(0, num_clips, BATCH_SIZE)))


def first_frames(model: AdversarialModel, real: np.ndarray) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """What a predictor is called on to predict real clips [n, T, H, W, 3] in [-1, 1].

    Returns:
        Their first frames, with the wind of each clip, measured, if the model takes it.
    """
    if not model.takes_wind:
        return real[:, 0]
    return real[:, 0], np.stack([wind.measure(clip) for clip in to_uint8(real)])


def sample(
    model: AdversarialModel, batches: Iterable[Inputs], batch_statistics: bool = False
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a model, a dict for each batch of what it is called on (`sampling_inputs`).

    Args:
        batch_statistics: batch normalisation works in training mode, as in the test script of
            MD-GAN's authors. A clip then depends on its neighbours in the batch.
    """
    forward = forward_pass(model, batch_statistics)
    for batch in batches:
        yield {name: value.numpy() for name, value in forward(batch).items()}


def forward_pass(model: AdversarialModel, batch_statistics: bool = False) -> Callable[[tf.Tensor], Tensors]:
    """The model as a graph for any batch size, compiled by XLA if the model was compiled for training with it."""
    return tf.function(
        lambda batch: model(batch, training=batch_statistics), reduce_retracing=True, jit_compile=model.xla_samples
    )
