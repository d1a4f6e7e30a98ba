"""Batch normalisation's statistics in a training: when they are estimated anew, and what replicas make of theirs."""

from __future__ import annotations

import itertools

import tensorflow as tf

from tfvideogan.data import pipeline
from tfvideogan.models import batch_statistics
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.mdgan import MDGAN

FINAL_BATCHES = 32  # When a stage ends, its statistics become the mean over so many batches.
AVERAGE_BATCHES = 8  # A moving average gets its own statistics over so many, before each sample and save.


def recalibrate(model: AdversarialModel, batches: tf.data.Dataset) -> None:
    """Estimates the statistics of every network that a sample passes, one after the other, over clips (ours).

    Args:
        batches: real clips [N, T, H, W, 3] in [-1, 1], the same ones each time.

    Raises:
        ValueError: there are none.
    """
    if model.stage == 2:
        MDGAN(model.base_generator, model.discriminator).estimate_batch_statistics(batches)
    model.estimate_batch_statistics(batches)


class BatchStatistics:
    """The moving statistics of a model's networks.

    TensorFlow never frees all of a data set, an iterator or a function, so each is made once.

    Args:
        batches: the run's batches, as `assembly.batches` gives them, from its first step on. Estimates are over the
            first of them, the same ones each time.
    """

    def __init__(self, model: AdversarialModel, batches: tf.data.Dataset):
        self._model, self._batches = model, batches.map(pipeline.to_model)
        self._for_average = iter(self._batches.take(AVERAGE_BATCHES).repeat())
        self._average = tf.function(self._average_over_replicas, autograph=False)

    def average_over_replicas(self) -> None:
        """Gives all replicas the mean of the statistics that each of them has gathered from its own clips.

        All hosts do so together. Otherwise a sample and a checkpoint would show the first replica's.
        """
        if self._model.distribute_strategy.num_replicas_in_sync > 1:
            self._average()

    def _average_over_replicas(self) -> None:
        networks = [self._model.generator, self._model.discriminator]
        self._model.distribute_strategy.run(batch_statistics.average_over_replicas, args=(networks,))

    def estimate_for_average(self) -> None:
        """Estimates the statistics of averaged weights, which differ from the average of the statistics in training."""
        self._model.estimate_batch_statistics(itertools.islice(self._for_average, AVERAGE_BATCHES))

    def estimate_final(self) -> None:
        """Estimates the statistics that a finished stage is sampled with."""
        self._model.estimate_batch_statistics(self._batches.take(FINAL_BATCHES))
