"""One tf.data chain: a source's clips in a seeded order, as float batches."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfvideogan.data import clips
from tfvideogan.data.sources import ClipSource


def training_batches(source: ClipSource, batch_size: int, seed: int, start_step: int = 0) -> tf.data.Dataset:
    """Endless shuffled batches [N, T, H, W, 3] in [-1, 1], from `start_step` on.

    The order is a function of seed and position, an own permutation each epoch, so a
    resumed run goes on where it stopped without any saved state.
    """
    return _batches(source, batch_size, seed, first=start_step * batch_size)


def evaluation_batches(source: ClipSource, batch_size: int, num_clips: int) -> tf.data.Dataset:
    """The first `num_clips` clips in order, once, as batches [N, T, H, W, 3] in [-1, 1]; the last may be smaller."""
    indices = tf.data.Dataset.range(min(num_clips, len(source)))
    return indices.map(_loader(source)).batch(batch_size).map(clips.to_float).prefetch(1)


def _batches(source: ClipSource, batch_size: int, seed: int, first: int) -> tf.data.Dataset:
    size = len(source)

    def shuffled(position: tf.Tensor) -> tf.Tensor:
        epoch = tf.cast(position // size, tf.int32)
        return tf.random.experimental.index_shuffle(position % size, tf.stack([seed, epoch]), size - 1)

    return (
        tf.data.Dataset.counter(first)
        .map(shuffled)
        .map(_loader(source), num_parallel_calls=2, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .map(clips.to_float)
        .prefetch(2)
    )


def _loader(source: ClipSource) -> Callable[[tf.Tensor], tf.Tensor]:
    """index -> clip, uint8 with its static shape."""
    shape = source[0].shape

    def load(index: tf.Tensor) -> tf.Tensor:
        clip = tf.numpy_function(lambda i: source[int(i)], [index], tf.uint8, stateful=False)
        return tf.ensure_shape(clip, shape)

    return load
