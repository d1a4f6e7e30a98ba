"""From a run's options to its parts: clips, batches, a compiled model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfvideogan.config import Config, TrainConfig
from tfvideogan.data import pipeline
from tfvideogan.data.sources import Weighted, open_sources
from tfvideogan.models import blocks, registry
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runtime import Runtime


def open_data(config: Config) -> list[Weighted]:
    """The clips of `--data`, long enough for the largest temporal stride.

    Raises:
        UsageError: there are none, or of another size.
    """
    needed = _variation(config).frames_needed(config.model.num_frames)
    data = config.data
    return open_sources(data.data, config.model.frame_size, needed, config.train.seed, data.max_bad_shards)


def batches(
    config: Config, sources: Sequence[Weighted], seed: int, step: int = 0, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """A run's batches from a step on; of several workers, each gets its part of every batch."""
    size = config.data.batch_size // workers
    return pipeline.training_batches(
        sources, config.model.num_frames, size, seed, step, _variation(config), worker, workers
    )


def _variation(config: Config) -> pipeline.Variation:
    return pipeline.Variation(config.data.max_temporal_stride, config.data.flip)


def new_model(config: Config, setup: Runtime, stage: int) -> AdversarialModel:
    """A stage's model with fresh weights, compiled for the run's replicas."""
    options = config.train
    # By stage, so that a stage starts from the same weights in a process of its own.
    keras.utils.set_random_seed((options.seed + stage - 1) % 2**32)
    with setup.strategy.scope():
        model = registry.build_model(config.model, stage, options.seed, options.ema)
        if options.sync_batch_norm:
            blocks.synchronize(model.generator, model.discriminator)
        adams = [keras.optimizers.Adam(r, beta_1=options.beta1, beta_2=options.beta2) for r in learning_rates(options)]
        model.compile(*adams, xla=setup.xla)
    return model


def learning_rates(options: TrainConfig) -> tuple[float, float]:
    """Of the generator and of the discriminator."""
    return options.learning_rate, options.discriminator_learning_rate
