"""Clips from a trained model, as arrays, in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.generative import Tensors

BATCH_SIZE = 8


def generate(model: AdversarialModel, num_clips: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a generator for `num_clips` latents, in dicts of up to BATCH_SIZE clips each.

    Arrays are [n, T, H, W, C] in [-1, 1], masks in [0, 1]. Clip i depends on (seed, i) only.
    """
    latents = vgan.latents(seed, num_clips)
    return sample(model, (latents[start : start + BATCH_SIZE] for start in range(0, num_clips, BATCH_SIZE)))


def sample(
    model: AdversarialModel, batches: Iterable[tf.Tensor], batch_statistics: bool = False
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a model, a dict for each batch of latents [n, 100] or of frames [n, H, W, 3] in [-1, 1].

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
