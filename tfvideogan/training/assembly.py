"""What a training is made of, from the run's options: clips, batches, a compiled model, its step on all replicas."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfvideogan.config import Config, TrainConfig, UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.layouts import Form
from tfvideogan.data.pipeline import Batch
from tfvideogan.data.sources import Weighted, open_sources, split_names
from tfvideogan.data.variation import Variation
from tfvideogan.data.wording import counted
from tfvideogan.models import blocks, registry
from tfvideogan.models.adam import Adam
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.updates import vote
from tfvideogan.training.runtime import Runtime
from tfvideogan.training.schedule import Schedule

logger = logging.getLogger(__name__)


def open_data(config: Config) -> list[Weighted]:
    """The clips of `--data`, long enough for the largest temporal stride.

    Raises:
        UsageError: there are none, or of another size, or of several sources where `--eval_every` needs one.
    """
    if config.train.eval_every and len(split_names(config.data.data)) > 1:
        raise UsageError(f"--eval_every needs one source of clips. Received: --data={config.data.data}")
    needed = _variation(config).frames_needed(config.model.num_frames)
    data = config.data
    options = config.train.seed, data.max_bad_shards, data.allow_outside, Form.of(data)
    opened = open_sources(data.data, config.model.frame_size, needed, *options)
    count = sum(len(weighted.source) for weighted in opened)
    logger.info("data: %s, %s", data.data, counted(count, "clip"))
    if count < data.batch_size:
        logger.warning("--data has %s for a --batch_size of %d: clips come several times in a batch",
                       counted(count, "clip"), data.batch_size)  # fmt: skip
    return opened


def naming_unreadable_data(config: Config, sources: Sequence[Weighted]) -> contextlib.AbstractContextManager:
    """Raises UsageError in place of what tf.data raises in the middle of a run."""
    opened = [weighted.source for weighted in sources]
    besides = "names all such records, and the last checkpoint is good"
    return pipeline.naming_unreadable(opened, f"--data {config.data.data}", besides)


def batches(
    config: Config, sources: Sequence[Weighted], seed: int, first: int = 0, worker: int = 0, workers: int = 1
) -> tf.data.Dataset:
    """A run's batches, uint8 [N, T, H, W, 3], of which each of several workers gets its part.

    They are pairs of clips and their wind [N, 2] for a model that takes it.

    Args:
        first: the number of clips that all workers together have taken. Each takes the same number, so where it does
            not divide by them (as after another number of workers), fewer clips than workers come a second time.
    """
    size, own = config.data.batch_size // workers, first // workers
    variation, with_wind = _variation(config), config.model.takes_wind
    return pipeline.training_batches(
        sources, config.model.num_frames, size, seed, own, variation, worker, workers, with_wind
    )


def _variation(config: Config) -> Variation:
    options = {field.name: getattr(config.data, field.name) for field in dataclasses.fields(Variation)}
    return Variation(**options)


def new_model(config: Config, runtime: Runtime, stage: int) -> AdversarialModel:
    """A stage's model with fresh weights, compiled for the run's replicas."""
    options = config.train
    # Each stage has a seed of its own, so that it starts from the same weights whether or not a process ran the first.
    keras.utils.set_random_seed((options.seed + stage - 1) % 2**32)
    with runtime.strategy.scope():
        average = {"ema": options.ema, "ema_warmup": options.ema_warmup}
        model = registry.build_model(config.model, stage, seed=options.seed, **average)
        if options.sync_batch_norm:
            blocks.synchronize(model.generator, model.discriminator)
        rates = learning_rates(options, stage)
        adams = [Adam(rate, beta_1=options.beta1, beta_2=options.beta2) for rate in rates]
        model.compile(*adams, xla=runtime.xla, gradient_norms=options.log_gradient_norms)
    return model


def learning_rates(options: TrainConfig, stage: int) -> list[float | Schedule]:
    """The learning rates of the generator and of the discriminator in a stage."""
    rates = [options.learning_rate, options.discriminator_learning_rate]
    if options.lr_schedule == "constant" and not options.warmup_steps:
        return rates
    steps = [options.steps_of(stage), options.discriminator_steps_of(stage)]
    return [Schedule(r, options.lr_schedule, s, options.warmup_steps) for r, s in zip(rates, steps, strict=True)]


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What a step tells of itself. Whoever asks waits until the device has taken it."""

    step: int
    _stop: tf.Tensor
    _skipped_in_a_row: tf.Tensor

    @property
    def stop(self) -> bool:
        """Whether any host was asked to stop."""
        return bool(self._stop)

    @property
    def skipped_in_a_row(self) -> int:
        """How many of the last steps, up to this one, were skipped as not finite."""
        return int(self._skipped_in_a_row)


def step_function(model: AdversarialModel, runtime: Runtime) -> Callable[[Batch, int, bool, bool], StepReport]:
    """The model's train step on all replicas, each of which takes its rows of its host's batch.

    Returns:
        A function of this host's batch, as `batches` gives it, the number that the step will have, whether this host
        was asked to stop, and whether the step is adversarial. It starts the step, and need not wait until a GPU has
        taken it.
    """

    def step_of_replica(batch: Batch, stop: tf.Tensor, adversarial: bool) -> tuple[tf.Tensor, tf.Tensor]:
        model.train_step(pipeline.to_model(*tf.nest.flatten(batch)), adversarial)
        return ~vote(~stop), model.skipped_in_a_row.read_value()

    distributed_step = tf.function(  # It is traced once for each kind of step.
        lambda batch, stop, adversarial: runtime.strategy.run(step_of_replica, args=(batch, stop, adversarial)),
        autograph=False,  # No step branches on a tensor, and AutoGraph would take a tenth of a short run's time.
    )

    def step(batch: Batch, number: int, stop: bool, adversarial: bool) -> StepReport:
        reports = distributed_step(_shared_out(batch, runtime), tf.constant(stop), adversarial)
        return StepReport(number, *(runtime.strategy.experimental_local_results(report)[0] for report in reports))

    return step


def _shared_out(batch: Batch, runtime: Runtime) -> Batch:
    """Each replica's rows of its host's batch, which the host splits: a DistributedIterator could not be resumed."""
    if runtime.replicas == 1:
        return batch
    size = len(tf.nest.flatten(batch)[0])
    rows = size * runtime.workers // runtime.replicas

    def rows_of(context: tf.distribute.distribute_lib.ValueContext) -> Batch:
        first = context.replica_id_in_sync_group * rows % size
        return tf.nest.map_structure(lambda part: part[first : first + rows], batch)

    with tf.device("CPU:0"):  # Otherwise the whole batch would be copied to the first GPU, and split there.
        return runtime.strategy.experimental_distribute_values_from_function(rows_of)
