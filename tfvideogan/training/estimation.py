"""When batch normalisation's statistics are estimated anew, and over which batches."""

from __future__ import annotations

import itertools

import tensorflow as tf

from tfvideogan.models.adversarial import AdversarialModel

FINAL_BATCHES = 32  # When a stage ends, its statistics become the mean over so many batches.
AVERAGE_BATCHES = 8  # A moving average gets its own statistics over so many, before each sample and save.


class BatchStatistics:
    """Estimates over the first batches of a run, the same ones each time.

    TensorFlow never frees all of a data set or of an iterator, so both are made once.

    Args:
        batches: the run's batches [N, T, H, W, 3] in [-1, 1], from its first step on.
    """

    def __init__(self, batches: tf.data.Dataset):
        self._batches = batches
        self._for_average = iter(batches.take(AVERAGE_BATCHES).repeat())

    def estimate_for_average(self, model: AdversarialModel) -> None:
        """Estimates the statistics of averaged weights, which differ from the average of the statistics in training."""
        model.estimate_batch_statistics(itertools.islice(self._for_average, AVERAGE_BATCHES))

    def estimate_final(self, model: AdversarialModel) -> None:
        """Estimates the statistics that a finished stage is sampled with."""
        model.estimate_batch_statistics(self._batches.take(FINAL_BATCHES))
