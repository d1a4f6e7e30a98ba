"""Batch normalisation by TensorFlow's fused kernel, which takes a third of the time of Keras' own on clips.

The layer has the variables and values of `keras.layers.BatchNormalization`. Under `frozen_statistics` a network that
runs in training mode leaves its moving statistics alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
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
        if not statistics_are_frozen():
            self._update_statistics(mean, variance, tf.size(images) // images.shape[-1])
        return tf.reshape(normalised, tf.shape(inputs)) if images is not inputs else normalised

    def _update_statistics(self, mean: tf.Tensor, variance: tf.Tensor, count: tf.Tensor) -> None:
        """Moves the statistics towards the batch's, whose variance the kernel gives for samples (over count - 1)."""
        count = tf.cast(count, tf.float32)
        variance = variance * tf.maximum(count - 1.0, 1.0) / count
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.value.assign(moving.value * self.momentum + tf.cast(value, moving.dtype) * (1.0 - self.momentum))
