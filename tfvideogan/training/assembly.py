"""What a training is made of, from the run's options: clips, batches, a compiled model, its step on all replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfvideogan.config import Config, TrainConfig
from tfvideogan.data import pipeline
from tfvideogan.data.sources import Weighted, open_sources
from tfvideogan.models import blocks, registry
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.updates import vote
from tfvideogan.training.runtime import Runtime

Rate = float | keras.optimizers.schedules.LearningRateSchedule


def open_data(config: Config) -> list[Weighted]:
    """The clips of `--data`, long enough for the largest temporal stride.

    Raises:
        UsageError: there are none, or of another size.
    """
    needed = _variation(config).frames_needed(config.model.num_frames)
    data = config.data
    return open_sources(data.data, config.model.frame_size, needed, config.train.seed, data.max_bad_shards)


def batches(
    config: Config, sources: Sequence[Weighted], seed: int, first: int = 0, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """A run's batches [N, T, H, W, 3] in [-1, 1], of which each of several workers gets its part.

    Args:
        first: the number of clips that all workers together have taken. Each takes the same number, so where it does
            not divide by them (as after another number of workers), fewer clips than workers come a second time.
    """
    size, own = config.data.batch_size // workers, first // workers
    return pipeline.training_batches(
        sources, config.model.num_frames, size, seed, own, _variation(config), worker, workers
    )


def _variation(config: Config) -> pipeline.Variation:
    return pipeline.Variation(config.data.max_temporal_stride, config.data.flip)


def new_model(config: Config, runtime: Runtime, stage: int) -> AdversarialModel:
    """A stage's model with fresh weights, compiled for the run's replicas."""
    options = config.train
    # Each stage has a seed of its own, so that it starts from the same weights whether or not a process ran the first.
    keras.utils.set_random_seed((options.seed + stage - 1) % 2**32)
    with runtime.strategy.scope():
        model = registry.build_model(config.model, stage, options.seed, options.ema)
        if options.sync_batch_norm:
            blocks.synchronize(model.generator, model.discriminator)
        adams = [keras.optimizers.Adam(r, beta_1=options.beta1, beta_2=options.beta2) for r in learning_rates(options)]
        model.compile(*adams, xla=runtime.xla)
    return model


def learning_rates(options: TrainConfig) -> tuple[Rate, Rate]:
    """The learning rates of the generator and of the discriminator."""
    return options.learning_rate, options.discriminator_learning_rate


def step_function(model: AdversarialModel, runtime: Runtime) -> Callable[[tf.Tensor, bool], bool]:
    """The model's train step on all replicas, each of which takes its rows of its host's batch.

    Returns:
        A function of this host's clips [N, T, H, W, 3], and of whether this host was asked to stop, that takes
        a step and says whether any host was.
    """

    def step_of_replica(clips: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        model.train_step(clips)
        return ~vote(~stop)

    distributed_step = tf.function(
        lambda clips, stop: runtime.strategy.run(step_of_replica, args=(clips, stop)), autograph=False
    )

    def step(clips: tf.Tensor, stop: bool) -> bool:
        rows = len(clips) * runtime.workers // runtime.replicas

        def rows_of(context: tf.distribute.distribute_lib.ValueContext) -> tf.Tensor:
            first = context.replica_id_in_sync_group * rows % len(clips)
            return clips[first : first + rows]

        # The host splits the batch, since a DistributedIterator could not be resumed.
        mine = runtime.strategy.experimental_distribute_values_from_function(rows_of)
        stops = distributed_step(mine, tf.constant(stop))
        return bool(runtime.strategy.experimental_local_results(stops)[0])

    return step
