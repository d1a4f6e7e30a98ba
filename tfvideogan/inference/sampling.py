"""Clips from a trained model, as arrays, in batches that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tfvideogan.data import wind
from tfvideogan.data.clips import to_uint8
from tfvideogan.inference import latents
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.generative import Inputs, Tensors

BATCH_SIZE = 8
Forward = Callable[[Inputs], Tensors]


def generate(
    model: AdversarialModel, num_clips: int, seed: int, forward: Forward | None = None
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a generator for `num_clips` latents, in dicts of up to BATCH_SIZE clips each.

    Arrays are [n, T, H, W, C] in [-1, 1], masks in [0, 1]. Clip i depends on (seed, i) only.
    """
    drawn = vgan.latents(seed, num_clips)
    batches = (drawn[start : start + BATCH_SIZE] for start in range(0, num_clips, BATCH_SIZE))
    return sample(model, batches, forward=forward)


def walk(model: AdversarialModel, num_clips: int, seed: int, steps: int) -> Iterator[np.ndarray]:
    """The frames [H, W, 3] of a closed walk from each clip's latent to the next one's (ours).

    The latents between two lie on the great circle through both (`latents.great_circle`). Frame i is of the i-th
    latent's clip, at a time that runs to the clip's end and back again, so that what moves goes on moving.
    """
    drawn, shares = vgan.latents(seed, num_clips).numpy(), np.arange(steps) / steps
    ways = zip(drawn, np.roll(drawn, -1, axis=0), strict=True)
    way = np.concatenate([latents.great_circle(start, end, shares) for start, end in ways])
    number = 0
    for part in sample(model, (way[start : start + BATCH_SIZE] for start in range(0, len(way), BATCH_SIZE))):
        for clip in part["clip"]:
            last = len(clip) - 1
            yield clip[last - abs(last - number % (2 * last))].copy()  # A view would keep the whole batch.
            number += 1


def first_frames(model: AdversarialModel, real: np.ndarray) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """What a predictor is called on to predict real clips [n, T, H, W, 3] in [-1, 1].

    Returns:
        Their first frames, with the wind of each clip, measured, if the model takes it.
    """
    if not model.takes_wind:
        return real[:, 0]
    return real[:, 0], np.stack([wind.measure(clip) for clip in to_uint8(real)])


def sample(
    model: AdversarialModel,
    batches: Iterable[Inputs],
    batch_statistics: bool = False,
    forward: Forward | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """The outputs of a model, a dict for each batch of what it is called on (`sampling_inputs`).

    Args:
        forward: a `forward_pass` of the model, which whoever samples often makes once.
        batch_statistics: batch normalisation works in training mode, as in the test script of
            MD-GAN's authors. A clip then depends on its neighbours in the batch.
    """
    forward = forward or forward_pass(model, batch_statistics)
    for batch in batches:
        yield {name: value.numpy() for name, value in forward(batch).items()}


def forward_pass(model: AdversarialModel, batch_statistics: bool = False) -> Forward:
    """The model as a graph for any batch size, compiled by XLA if the model was compiled for training with it."""
    return tf.function(
        lambda batch: model(batch, training=batch_statistics), reduce_retracing=True, jit_compile=model.xla_samples
    )
