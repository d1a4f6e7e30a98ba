"""Batch normalisation by TensorFlow's fused kernel, which takes a third of the time of Keras' own on clips.

The layer has the variables and values of `keras.layers.BatchNormalization`. Under `frozen_statistics` a network that
runs in training mode leaves its moving statistics alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

_local = threading.local()  # Each replica is traced in a thread of its own.


@contextlib.contextmanager
def frozen_statistics() -> Iterator[None]:
    """Networks called inside normalise by their batch as ever in training, but leave moving statistics as they are.

    An update that nobody wants keeps whole layers in a graph that would otherwise be pruned.
    """
    before = statistics_are_frozen()
    _local.frozen = True
    try:
        yield
    finally:
        _local.frozen = before


def statistics_are_frozen() -> bool:
    """Whether the caller runs under `frozen_statistics`."""
    return getattr(_local, "frozen", False)


@keras.saving.register_keras_serializable(package="tfvideogan")
class BatchNormalization(keras.layers.BatchNormalization):
    """Normalises [N, H, W, C] or [N, T, H, W, C] over all axes but the last.

    It takes the arguments of `keras.layers.BatchNormalization`. With `synchronized`, and for inference, Keras itself
    computes.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        if not training or not self.trainable or self.synchronized or mask is not None or len(inputs.shape) < 4:
            return super().call(inputs, training=training, mask=mask)
        images = inputs
        if len(inputs.shape) == 5:  # [N, T, H, W, C] -> [N, T * H, W, C]
            times, height, width, channels = inputs.shape[1:]
            images = tf.reshape(inputs, [-1, times * height, width, channels])
        none = tf.zeros([0])
        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images, scale=self.gamma, offset=self.beta, mean=none, variance=none, epsilon=self.epsilon
        )
        count = tf.cast(tf.size(images) // images.shape[-1], tf.float32)
        # The kernel gives the variance for samples, which divides by count - 1.
        self._update_statistics(mean, variance * tf.maximum(count - 1.0, 1.0) / count)
        return tf.reshape(normalised, tf.shape(inputs)) if images is not inputs else normalised

    def of_slices(self, slices: tf.Tensor, counts: Sequence[int], training: bool) -> tf.Tensor:
        """Normalises slices of time [N, S, H, W, C], each of which stands for so many equal frames of a clip.

        In training it is the same as to normalise that clip and to take one frame for each slice.

        Args:
            counts: of how many frames each slice is; together they are the clip's T.
        """
        if not training or not self.trainable:
            return self(slices, training=training)
        shares = tf.reshape(tf.constant(counts, tf.float32) / sum(counts), [-1, 1])
        values = tf.cast(slices, tf.float32)
        mean = tf.reduce_sum(shares * tf.reduce_mean(values, [0, 2, 3]), 0)
        centred = values - mean
        variance = tf.reduce_sum(shares * tf.reduce_mean(tf.square(centred), [0, 2, 3]), 0)
        self._update_statistics(mean, variance)
        scale = tf.math.rsqrt(variance + self.epsilon) * tf.cast(self.gamma, tf.float32)
        return tf.cast(centred * scale + tf.cast(self.beta, tf.float32), slices.dtype)

    def _update_statistics(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the statistics towards the batch's, unless they are frozen."""
        if statistics_are_frozen():
            return
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.value.assign(moving.value * self.momentum + tf.cast(value, moving.dtype) * (1.0 - self.momentum))
