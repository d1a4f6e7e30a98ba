"""The training loop: `train(config, run_dir)`, stage by stage, from wherever the run folder stands.

docs/reliability.md says what holds when a run is killed, preempted, out of disk or not finite.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from tfvideogan.config import Config, UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.sources import Weighted
from tfvideogan.inference import visuals
from tfvideogan.models import registry, vgan
from tfvideogan.models.updates import NO_SCALE
from tfvideogan.runs import loading, run_folder
from tfvideogan.runs.journal import Journal, tolerated
from tfvideogan.runs.manifest import Provenance
from tfvideogan.training import assembly, runtime, signals

logger = logging.getLogger(__name__)

NOT_FINITE = 4  # exit status
MOST_SKIPPED, MOST_RESTORES = 10, 3  # skipped steps in a row that restore a checkpoint; restores that end the run
STATISTICS_BATCHES = 32  # over which batch normalisation is re-estimated when a stage ends
AVERAGE_STATISTICS_BATCHES = 8  # and, for a moving average, before a sample or a regular save
SAMPLES = 4
SECONDS_TO_SEE = 60  # what the chief has written, on file systems that show it late


def train(config: Config, run_dir: str | Path, profile: range = range(0)) -> int:
    """Trains every stage that is not finished yet.

    Args:
        profile: the steps, of the stage that runs first, of which a TensorBoard profile is taken.

    Returns:
        The exit status: 0; 128 + the number of the signal that stopped the run; or
        `NOT_FINITE` if going back to a checkpoint did not help.

    Raises:
        UsageError: options, data or a run folder that cannot be used; the folder is then as it was, but for
            data that cannot be read on, whose last checkpoint stays.
        OSError: the last checkpoint cannot be written.
    """
    setup = runtime.setup(config.train, config.data.batch_size)
    with setup.telling_lost_hosts(), contextlib.ExitStack() as signals:
        run = run_folder.RunFolder.for_training(run_dir, config)
        latest = latest_on_all_hosts(run, setup)
        sources = assembly.open_data(config)
        stop = signals.enter_context(signals.StopSignals())
        for stage in range(1, registry.num_stages(config.model.model) + 1):
            steps = config.train.steps if stage == 1 else config.train.refine_steps
            if _is_finished(stage, steps, latest):
                continue
            try:
                status = TrainingStage(config, run, setup, sources, stage, steps, stop).run(profile)
                if setup.sum_over_hosts(int(bool(stop.signal_number))) and not status:
                    status = 128 + (stop.signal_number or signal.SIGTERM)
            except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
                if "IteratorGetNext" not in str(error):
                    raise
                raise UsageError(
                    f"--data {config.data.data} cannot be read on ({error.message.splitlines()[0]}); "
                    "tfvideogan.verify_data tells where, and the last checkpoint is good"
                ) from error
            if status:
                return status
            latest, profile = latest_on_all_hosts(run, setup), range(0)
    return 0


def latest_on_all_hosts(
    run: run_folder.RunFolder, setup: runtime.Runtime, stage: int | None = None
) -> run_folder.Checkpoint | None:
    """The chief's newest good checkpoint (of `stage`), which all hosts ask for together.

    Raises:
        UsageError: this host does not see that one, as it would if the folder were not shared.
        DamagedError: there are checkpoints, and every one is damaged.
    """

    def number(checkpoint: run_folder.Checkpoint | None) -> int:
        return checkpoint.stage * 10**12 + checkpoint.step if checkpoint else 0

    seen = run.latest(stage)
    chiefs = setup.sum_over_hosts(number(seen) if setup.is_chief else 0)
    deadline = time.monotonic() + SECONDS_TO_SEE
    while number(seen) != chiefs:
        if time.monotonic() > deadline:
            raise UsageError(
                f"--run_dir must be on a file system that all hosts share. Received: {run.path}, in which the chief "
                "sees another newest checkpoint than this host"
            )
        time.sleep(1)
        seen = run.latest(stage)
    return seen


def _is_finished(stage: int, steps: int, latest: run_folder.Checkpoint | None) -> bool:
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
        run: run_folder.RunFolder,
        setup: runtime.Runtime,
        sources: Sequence[Weighted],
        stage: int,
        steps: int,
        stop: signals.StopSignals,
    ):
        self.config, self.options, self.setup, self.stop = config, config.train, setup, stop
        self.folder, self.sources, self.stage, self.steps = run, sources, stage, steps
        self.model = assembly.new_model(config, setup, stage)
        self.provenance = Provenance(replicas=setup.replicas, hosts=setup.workers)
        self.step = self._resume()
        first = pipeline.evaluation_batches(sources[0].source, config.model.num_frames, SAMPLES, SAMPLES)
        self.shown = next(iter(first))
        # Made once, since TensorFlow frees neither data sets nor iterators whole.
        self.first_batches = assembly.batches(config, sources, self.options.seed)
        self.average_batches = iter(self.first_batches.take(AVERAGE_STATISTICS_BATCHES).repeat())

    def run(self, profile: range) -> int:
        """Trains up to the stage's last step, or until the run is asked to stop; returns the exit status."""
        if self.setup.is_chief:
            self.folder.write_config(self.config)
            if not any(checkpoint.stage == self.stage for checkpoint in self.folder.list()):
                self._save()  # what a run goes back to whose first steps are not finite
        if self.setup.workers > 1:
            latest_on_all_hosts(self.folder, self.setup, self.stage)  # in a new run, the first: is the folder shared?
        if not self.setup.is_chief:
            return self._train(self._progress_bar(), range(0))
        self.journal = Journal(self.folder.path, self.stage, self.step)
        if profile and not self.step <= profile.start < self.steps:
            logger.warning("no profile: steps %d to %d do not begin in this run", self.step, self.steps)
        with self._progress_bar() as bar, contextlib.closing(self.journal):
            status = self._train(bar, profile)
            if not status:
                self._finish()
        return status

    def _train(self, bar: tqdm, profile: range) -> int:
        batches, train_step = self._batches(), assembly.step_function(self.model, self.setup)
        save_is_due = False
        while self.step < self.steps:
            if self.step == profile.start < profile.stop:
                self.journal.start_profile()
            stop = train_step(next(batches), bool(self.stop.signal_number))
            self.step += 1
            bar.update()
            if self.step == profile.stop:
                self.journal.stop_profile()
            skipped = self._skipped_in_a_row()
            self._log_if_due(bar)
            if skipped >= MOST_SKIPPED:
                if not self._go_back():
                    return NOT_FINITE
                batches, train_step = self._batches(), assembly.step_function(self.model, self.setup)
                save_is_due = False
                bar.update(self.step - bar.n)
            elif self.step < self.steps:
                if stop and not skipped:
                    return self._stop()
                save_is_due |= self.step % self.options.checkpoint_every == 0
                if self.setup.is_chief:
                    self._write_what_is_due(save_is_due and not skipped)
                save_is_due &= bool(skipped)  # a checkpoint is of a step that was finite
        return 0

    def _batches(self) -> Iterator[tf.Tensor]:
        """This host's part of the batches from the present step on."""
        host = self.setup.worker, self.setup.workers
        return iter(assembly.batches(self.config, self.sources, self.model.seed, self.step, *host))

    def _skipped_in_a_row(self) -> int:
        skipped = int(self.model.skipped_in_a_row.numpy())
        if skipped:
            scales = [f"{update.scale.numpy():g}" for update in self.model.updates if update.scales]
            logger.warning(
                "stage %d, step %d: a loss or a gradient is not finite, the update is skipped (%d in a row%s)",
                *(self.stage, self.step, skipped, f"; loss scales are now {' and '.join(scales)}" if scales else ""),
            )
        return skipped

    def _go_back(self) -> bool:
        """Restores the last good checkpoint and takes another order of the data; whether the run may go on."""
        good, restores = latest_on_all_hosts(self.folder, self.setup, self.stage), self.provenance.restores + 1
        scales, skipped = [update.scale.numpy() for update in self.model.updates], self.model.skipped.numpy()
        loading.restore(good, self.model.training_state())
        for update, scale in zip(self.model.updates, scales, strict=True):
            update.keep_scale(scale)  # an overflow that it was lowered for would come again
        self.model.skipped.assign(skipped)  # these happened, too
        self._take_order(restores)
        told = f"stage {self.stage}, step {self.step}: {MOST_SKIPPED} steps in a row were not finite"
        self.step = good.step
        if self.setup.is_chief:
            self.journal.go_back(self.step)
        if restores >= MOST_RESTORES:
            logger.error(
                "%s for the third time, so the run ends. Its last checkpoint, %s, is good; a lower --learning_rate or "
                "another --precision may help",
                *(told, good.path.name),
            )
            return False
        logger.warning("%s; back to step %d with the data in another order", told, self.step)
        return True

    def _take_order(self, restores: int) -> None:
        """Clips and latents in the order of this many restores."""
        self.provenance = dataclasses.replace(self.provenance, restores=restores)
        self.model.reseed((self.options.seed + restores * 1_000_003) % 2**31)
        self.model.skipped_in_a_row.assign(0)
        self.model.reset_metrics()

    def _stop(self) -> int:
        """Saves the step, after a signal came to this host or to another; returns the exit status."""
        number = self.stop.signal_number or signal.SIGTERM
        if self.setup.is_chief:
            logger.warning("asked to stop: saving step %d of stage %d; the same command goes on", self.step, self.stage)
            if self.options.ema and number == signal.SIGINT:  # SIGTERM leaves no time
                self._estimate_average_statistics()
            self._save()
        return 128 + number

    def _write_what_is_due(self, save: bool) -> None:
        sample = self.step % self.options.sample_every == 0
        if (sample or save) and self.options.ema:
            # The statistics that averaged weights meet are not the average of those met on the way.
            self._estimate_average_statistics()
        if sample:
            self._write_samples()
        if save:
            with tolerated(f"the checkpoint of step {self.step}"):
                self._save()

    def _finish(self) -> None:
        """Batch statistics for inference over training clips, then the last samples and checkpoint."""
        logger.info("stage %d: re-estimating batch normalisation over %d batches", self.stage, STATISTICS_BATCHES)
        self.model.estimate_batch_statistics(self.first_batches.take(STATISTICS_BATCHES))
        self._write_samples()
        self._save()

    def _estimate_average_statistics(self) -> None:
        """Over the same first batches each time."""
        batches = itertools.islice(self.average_batches, AVERAGE_STATISTICS_BATCHES)
        self.model.estimate_batch_statistics(batches)

    def _log_if_due(self, bar: tqdm) -> None:
        """Shows and logs the mean losses since the last time, over all replicas."""
        if self.step % self.options.log_every and self.step != self.steps:
            return
        taken = bool(tf.convert_to_tensor(self.model.metrics[0].count) > 0)
        losses = {name: float(v) if taken else None for name, v in self.model.get_metrics_result().items()}
        self.model.reset_metrics()
        rate = (bar.format_dict["rate"] or 0.0) * self.config.data.batch_size
        shown = {name: f"{losses[name]:.3f}" if taken else "none" for name in ("d_loss", "g_loss")}
        bar.set_postfix({"clips/s": f"{rate:.1f}"} | shown, refresh=False)
        if self.setup.is_chief:
            skipped, restores = int(self.model.skipped.numpy()), self.provenance.restores
            self.journal.write_losses(self.step, losses, round(rate, 3), skipped, restores)

    def _write_samples(self) -> None:
        """A moving picture of what the generator makes of the same inputs each time."""
        predicts = self.model.predicts
        inputs = self.shown[:, 0] if predicts else vgan.latents(self.options.seed, SAMPLES)
        outputs = {name: value.numpy() for name, value in self.model(inputs).items()}
        picture = visuals.labelled_rows(visuals.sample_rows(outputs, self.shown.numpy() if predicts else None))
        self.journal.write_sample(self.step, picture)

    def _save(self) -> None:
        self.folder.save(self.stage, self.step, self.model.training_state(), self.options.keep, self.provenance)

    def _resume(self) -> int:
        """Restores the newest checkpoint of this stage, or starts it, and returns the step."""
        own = latest_on_all_hosts(self.folder, self.setup, self.stage)
        if own:
            loading.restore(own, self.model.training_state())
            for optimizer, rate in zip(self.model.optimizers, assembly.learning_rates(self.options), strict=True):
                optimizer.learning_rate = rate  # the run's now, which may not be the checkpoint's
            for update in self.model.updates:
                if update.scale.numpy() == NO_SCALE:
                    update.keep_scale(NO_SCALE)
            logger.info("stage %d goes on from step %d of %d (%s)", self.stage, own.step, self.steps, own.path.name)
            _warn_of_other_replicas(own.provenance, self.provenance)
            self._take_order(own.provenance.restores)
            return own.step
        if self.stage == 2:
            latest_on_all_hosts(self.folder, self.setup, stage=1)
            base, earlier = loading.load_model(self.folder.path, stage=1)
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
            disable=not self.setup.is_chief,
        )


def _warn_of_other_replicas(then: Provenance, now: Provenance) -> None:
    if (then.replicas, then.hosts) != (now.replicas, now.hosts):
        logger.warning(
            "the checkpoint is of %d replica(s) on %d host(s), now there are %d on %d: the data order over them "
            "differs, so the run goes on, but not bit for bit as it would have",
            *(then.replicas, then.hosts, now.replicas, now.hosts),
        )
