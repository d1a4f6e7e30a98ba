"""The training loop: `train(config, run_dir)`, stage by stage, from wherever the run folder stands."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

import keras
import tensorflow as tf
from tqdm import tqdm

from tfvideogan import checkpoints, media, runtime, visuals
from tfvideogan.config import Config, TrainConfig, UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.sources import Weighted, open_sources
from tfvideogan.models import blocks, registry, vgan

logger = logging.getLogger(__name__)

EARLY_CHECKPOINT = 10  # steps after which a stage's first checkpoint is written
NOT_FINITE = 4  # exit status
STATISTICS_BATCHES = 32  # over which batch normalisation is re-estimated when a stage ends
AVERAGE_STATISTICS_BATCHES = 8  # and, for a moving average, whenever it is looked at or saved
SAMPLES = 4


def train(config: Config, run_dir: str | Path) -> int:
    """Trains every stage that is not finished yet.

    Returns:
        The exit status: 0; 128 + the number of the signal that stopped the run; or
        `NOT_FINITE` if a loss was.

    Raises:
        UsageError: options, data or a run folder that cannot be used; the folder is then as it was.
    """
    options = config.train
    setup = runtime.setup(
        options.strategy, options.xla, options.precision, options.seed, config.data.batch_size, options.sync_batch_norm
    )
    run = checkpoints.RunFolder.for_training(run_dir, config)
    latest = run.latest()
    sources = _open_data(config)
    with StopSignals() as stop:
        for stage in range(1, registry.num_stages(config.model.model) + 1):
            steps = options.steps if stage == 1 else options.refine_steps
            if _is_finished(stage, steps, latest):
                continue
            try:
                status = TrainingStage(config, run, setup, sources, stage, steps, stop).run()
            except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
                if "IteratorGetNext" not in str(error):
                    raise
                raise UsageError(
                    f"--data {config.data.data} cannot be read on ({error.message.splitlines()[0]}); "
                    "tfvideogan.verify_data tells where, and the last checkpoint is good"
                ) from error
            if status:
                return status
            latest = run.latest()
    return 0


def _variation(config: Config) -> pipeline.Variation:
    return pipeline.Variation(config.data.max_temporal_stride, config.data.flip)


def _open_data(config: Config) -> list[Weighted]:
    """The clips of `--data`, long enough for the largest temporal stride."""
    needed = _variation(config).frames_needed(config.model.num_frames)
    data = config.data
    return open_sources(data.data, config.model.frame_size, needed, config.train.seed, data.max_bad_shards)


def _is_finished(stage: int, steps: int, latest: checkpoints.Checkpoint | None) -> bool:
    if not steps:
        logger.info("stage %d: no steps asked for", stage)
    elif latest and latest.stage > stage:
        logger.info("stage %d is frozen since stage %d has begun", stage, latest.stage)
    elif latest and (latest.stage, latest.step) >= (stage, steps):
        logger.info("stage %d is finished: %s", stage, latest.path.name)
    else:
        return False
    return True


class TrainingStage:
    """One stage of a run: its model, where it stands, and what it writes."""

    def __init__(
        self,
        config: Config,
        run: checkpoints.RunFolder,
        setup: runtime.Runtime,
        sources: Sequence[Weighted],
        stage: int,
        steps: int,
        stop: StopSignals,
    ):
        self.config, self.options = config, config.train
        self.batch_size = config.data.batch_size
        self.folder, self.sources, self.stage, self.steps, self.stop = run, sources, stage, steps, stop
        self.strategy = setup.strategy
        # By stage, so that a stage starts from the same weights in a process of its own.
        keras.utils.set_random_seed((self.options.seed + stage - 1) % 2**32)
        with self.strategy.scope():
            self.model = registry.build_model(config.model, stage, self.options.seed, self.options.ema)
            if self.options.sync_batch_norm:
                blocks.synchronize(self.model.generator, self.model.discriminator)
            self.model.compile(*_optimizers(self.options), xla=setup.xla)
        self.step = self._resume()
        first = pipeline.evaluation_batches(sources[0].source, config.model.num_frames, SAMPLES, SAMPLES)
        self.shown = next(iter(first))

    def run(self) -> int:
        """Trains up to the stage's last step, or until the run is asked to stop; returns the exit status."""
        self.folder.write_config(self.config)
        self.writer = tf.summary.create_file_writer(str(self.folder.path / "tensorboard" / f"stage{self.stage}"))
        batches = self._batches(self.step)
        step_function = self._step_function()
        with self._progress_bar() as bar, contextlib.closing(self.writer):
            for clips in batches.take(self.steps - self.step):
                step_function(clips)
                self.step += 1
                bar.update()
                if not self._log_losses_if_due(bar):
                    logger.error("stage %d, step %d: a loss is not finite; the run stops", self.stage, self.step)
                    return NOT_FINITE
                if self.step == self.steps:
                    break
                if self.stop.signal_number:
                    logger.warning(
                        "asked to stop: saving step %d of stage %d; the same command goes on from it",
                        self.step,
                        self.stage,
                    )
                    if self.options.ema:
                        self._estimate_statistics(AVERAGE_STATISTICS_BATCHES)
                    self._save()
                    return 128 + self.stop.signal_number
                self._write_what_is_due()
            self._finish()
        return 0

    def _batches(self, start_step: int) -> tf.data.Dataset:
        """The run's batches from a step on."""
        return pipeline.training_batches(
            self.sources,
            self.config.model.num_frames,
            self.batch_size,
            self.options.seed,
            start_step,
            _variation(self.config),
        )

    def _step_function(self) -> Callable[[tf.Tensor], None]:
        """The model's train step on all replicas, each taking its rows of a batch."""
        rows = self.batch_size // self.strategy.num_replicas_in_sync

        @tf.function
        def distributed_step(clips: tf.Tensor) -> None:
            self.strategy.run(self.model.train_step, args=(clips,))

        def step(clips: tf.Tensor) -> None:
            def rows_of(context: tf.distribute.distribute_lib.ValueContext) -> tf.Tensor:
                first = context.replica_id_in_sync_group * rows
                return clips[first : first + rows]

            # Split here: a DistributedIterator could not be resumed.
            distributed_step(self.strategy.experimental_distribute_values_from_function(rows_of))

        return step

    def _write_what_is_due(self) -> None:
        sample = self.step % self.options.sample_every == 0
        save = self.step % self.options.checkpoint_every == 0 or self.step == EARLY_CHECKPOINT
        if (sample or save) and self.options.ema:
            # The statistics that averaged weights meet are not the average of those met on the way.
            self._estimate_statistics(AVERAGE_STATISTICS_BATCHES)
        if sample:
            self._write_samples()
        if save:
            self._save()

    def _finish(self) -> None:
        """Batch statistics for inference over training clips, then the last samples and checkpoint."""
        logger.info("stage %d: re-estimating batch normalisation over %d batches", self.stage, STATISTICS_BATCHES)
        self._estimate_statistics(STATISTICS_BATCHES)
        self._write_samples()
        self._save()

    def _estimate_statistics(self, count: int) -> None:
        self.model.estimate_batch_statistics(self._batches(0).take(count))

    def _log_losses_if_due(self, bar: tqdm) -> bool:
        """Shows and logs the mean losses since the last time; whether all of them are finite."""
        if self.step % self.options.log_every and self.step != self.steps:
            return True
        losses = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        self.model.reset_metrics()
        rate = (bar.format_dict["rate"] or 0.0) * self.batch_size
        shown = {name: f"{losses[name]:.3f}" for name in ("d_loss", "g_loss")}
        bar.set_postfix({"clips/s": f"{rate:.1f}"} | shown, refresh=False)
        with self.writer.as_default(self.step):
            for name, value in losses.items():
                tf.summary.scalar(f"losses/{name}", value)
            tf.summary.scalar("clips_per_second", rate)
        return all(map(math.isfinite, losses.values()))

    def _write_samples(self) -> None:
        """A moving picture of what the generator makes of the same inputs each time."""
        predicts = self.model.predicts
        inputs = self.shown[:, 0] if predicts else vgan.latents(self.options.seed, SAMPLES)
        outputs = {name: value.numpy() for name, value in self.model(inputs).items()}
        picture = visuals.labelled_rows(visuals.sample_rows(outputs, self.shown.numpy() if predicts else None))
        path = self.folder.path / "samples" / f"stage{self.stage}-step{self.step:08d}.gif"
        media.write_clip(path, picture)
        with self.writer.as_default(self.step):
            _moving_picture_summary("samples", media.encode_summary(picture, path.read_bytes()), picture.shape)
        self.writer.flush()

    def _save(self) -> None:
        self.folder.save(self.stage, self.step, self.model.training_state(), self.options.keep)

    def _resume(self) -> int:
        """Restores the newest checkpoint of this stage, or starts it, and returns the step."""
        own = self.folder.latest(self.stage)
        if own:
            checkpoints.restore(own, self.model.training_state())
            for optimizer, rate in zip(self.model.optimizers, _learning_rates(self.options), strict=True):
                optimizer.learning_rate = rate  # the run's now, which may not be the checkpoint's
            logger.info("stage %d goes on from step %d of %d (%s)", self.stage, own.step, self.steps, own.path.name)
            return own.step
        if self.stage == 2:
            base, earlier = checkpoints.load_model(self.folder.path, stage=1)
            self.model.base_generator.set_weights(base.generator.get_weights())
            logger.info("stage 2 starts on the frozen Base-Net of %s", earlier.path.name)
        networks = (self.model.generator, self.model.discriminator)
        logger.info("stage %d: %s", self.stage, ", ".join(f"{n.name} {n.count_params():,}" for n in networks))
        return 0

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.steps,
            initial=self.step,
            desc=f"stage {self.stage}",
            unit="step",
            dynamic_ncols=True,
            mininterval=1,
        )


class StopSignals:
    """Turns Ctrl-C and SIGTERM into a request to stop after the step; a second one interrupts at once."""

    def __init__(self) -> None:
        self.signal_number = 0

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._request) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, _: FrameType | None) -> None:
        if self.signal_number:
            raise KeyboardInterrupt
        self.signal_number = number


def _learning_rates(options: TrainConfig) -> tuple[float, float]:
    """Of the generator and of the discriminator."""
    return options.learning_rate, options.discriminator_learning_rate


def _optimizers(options: TrainConfig) -> list[keras.optimizers.Optimizer]:
    """Adam for the generator and for the discriminator, with loss scaling under float16."""
    adams = [keras.optimizers.Adam(r, beta_1=options.beta1, beta_2=options.beta2) for r in _learning_rates(options)]
    if options.precision == "mixed_float16":
        return [keras.optimizers.LossScaleOptimizer(adam) for adam in adams]
    return adams


def _moving_picture_summary(tag: str, gif: bytes, shape: tuple[int, ...]) -> None:
    """A GIF for TensorBoard's image tab, which hands the bytes to the browser as they are."""
    height, width = shape[1:3]
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images"))
    tf.summary.write(tag, tf.constant([str(width).encode(), str(height).encode(), gif]), metadata=metadata)
