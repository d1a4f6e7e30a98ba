"""The moving statistics of batch normalisation: which variables they are, and their plain mean over batches."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.models import blocks

logger = logging.getLogger(__name__)


def of_network(network: keras.Model) -> list[keras.Variable]:
    """The moving mean and variance of each batch normalisation layer, in call order."""
    return [v for layer in blocks.batch_norms(network) for v in (layer.moving_mean, layer.moving_variance)]


def average_over_replicas(networks: Iterable[keras.Model]) -> None:
    """Sets moving statistics to their mean over the replicas, all of which must call this at the same time."""
    context = tf.distribute.get_replica_context()
    statistics = [variable.value for network in networks for variable in of_network(network)]
    means = context.all_reduce(tf.distribute.ReduceOp.MEAN, [variable.read_value() for variable in statistics])
    for variable, mean in zip(statistics, means, strict=True):
        variable.assign(mean)


def set_to_mean(network: keras.Model, passes: Iterable[Any]) -> None:
    """Sets a network's moving statistics to the mean of those of single batches.

    If that mean is not finite, or an exception comes in between, they stay as they were.

    Args:
        passes: gives its next item after the network has been called on one more batch in training mode.

    Raises:
        ValueError: there is no batch.
    """
    statistics = of_network(network)
    result = before = [variable.numpy() for variable in statistics]
    sums, count = [np.zeros_like(value) for value in before], 0
    try:
        with _of_the_last_batch_alone(network):
            for _ in passes:
                sums = [total + variable.numpy() for total, variable in zip(sums, statistics, strict=True)]
                count += 1
        if not count:
            raise ValueError("there are no batches to estimate statistics over")
        if all(np.isfinite(total).all() for total in sums):
            result = [total / count for total in sums]
        else:
            logger.warning("batch statistics are not finite over %d batches: they stay as they were", count)
    finally:
        for variable, value in zip(statistics, result, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def _of_the_last_batch_alone(network: keras.Model) -> Iterator[None]:
    """Makes each pass in training mode replace the moving statistics by its own batch's."""
    layers = blocks.batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    try:
        for layer in layers:
            layer.momentum = 0.0
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
