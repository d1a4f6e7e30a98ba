"""Clips by their number: the source of a folder, and of clips that are made on the fly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfvideogan.data.synthetic import Synthetic


def evenly(count: int, size: int) -> np.ndarray:
    """`count` of the numbers from 0 to `size`, at equal distances, or all of them if they are fewer, int64."""
    count = min(count, size)
    return np.arange(count) * size // max(count, 1)


class Indexed:
    """A `ClipSource` whose keys are the numbers of a sequence of clips, uint8 [T, H, W, 3]."""

    def __init__(self, clips: Sequence[np.ndarray]):
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def shuffled(self, seed: int, first: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Every worker draws from the same permutation: of W workers, worker w takes each W-th position from w on."""
        size = len(self)

        def index(position: tf.Tensor) -> tf.Tensor:
            epoch = tf.cast(position // size, tf.int32)
            return tf.random.experimental.index_shuffle(position % size, tf.stack([seed, epoch]), size - 1)

        return tf.data.Dataset.counter(first * workers + worker, workers).map(index)

    def in_order(self) -> tf.data.Dataset:
        return tf.data.Dataset.range(len(self))

    def spread(self, count: int) -> tf.data.Dataset:
        """Those at equal distances; of clips that are made on the fly, which are all alike, the first ones."""
        if isinstance(self.clips, Synthetic):
            return self.in_order().take(count)
        return tf.data.Dataset.from_tensor_slices(evenly(count, len(self)))

    def load(self, key: tf.Tensor) -> tf.Tensor:
        clip = tf.numpy_function(lambda i: self.clips[int(i)], [key], tf.uint8, stateful=False)
        return tf.ensure_shape(clip, self.clips[0].shape)
