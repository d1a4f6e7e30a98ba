"""The training loop: `train(config, run_dir)`, stage by stage, from wherever the run folder stands.

docs/reliability.md says what holds when a run is killed, preempted, out of disk or not finite.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from pathlib import Path

from tqdm import tqdm

from tfvideogan.config import Config
from tfvideogan.models import registry
from tfvideogan.runs import lock
from tfvideogan.runs.journal import Journal, tolerated
from tfvideogan.runs.run_folder import Checkpoint, RunFolder
from tfvideogan.training import assembly, estimation
from tfvideogan.training.hosts import latest_on_all_hosts
from tfvideogan.training.runtime import open_runtime
from tfvideogan.training.samples import Samples
from tfvideogan.training.signals import StopSignals
from tfvideogan.training.stage import Stage
from tfvideogan.training.validation import Validation

logger = logging.getLogger(__name__)

NOT_FINITE = 4  # The exit status of a run whose losses stayed not finite.
MOST_SKIPPED = 10  # After so many skipped steps in a row, the stage goes back to its last checkpoint.
MOST_RESTORES = 3  # At this many times of going back, the run ends.


def train(config: Config, run_dir: str | Path, profile: range = range(0)) -> int:
    """Trains every stage that is not finished yet.

    Args:
        profile: the steps, of the stage that runs first, of which a TensorBoard profile is taken.

    Returns:
        The exit status: 0; 128 + the number of the signal that stopped the run; or
        `NOT_FINITE` if going back to a checkpoint did not help.

    Raises:
        UsageError: options, data or a run folder that cannot be used, or another process that trains in it; the
            folder is then as it was, but for data that cannot be read on, whose last checkpoint stays.
        OSError: the last checkpoint cannot be written.
    """
    runtime = open_runtime(config.train, config.data.batch_size)
    with runtime.telling_lost_hosts(), contextlib.ExitStack() as until_trained:
        folder = RunFolder.for_training(run_dir, config)
        if runtime.is_chief:
            until_trained.enter_context(lock.held(folder.path))
        latest = latest_on_all_hosts(folder, runtime)
        sources = assembly.open_data(config)
        stop = until_trained.enter_context(StopSignals())
        for number in range(1, registry.num_stages(config.model.model) + 1):
            steps = config.train.steps_of(number)
            if _is_finished(number, steps, latest):
                continue
            with assembly.naming_unreadable_data(config, sources):
                status = StageLoop(Stage(config, folder, runtime, sources, number, steps), stop).run(profile)
            if runtime.sum_over_hosts(int(bool(stop.signal_number))) and not status:
                status = 128 + (stop.signal_number or signal.SIGTERM)
            if status:
                return status
            latest, profile = latest_on_all_hosts(folder, runtime), range(0)
        if runtime.is_chief and latest:
            logger.info("done: %s, stage %d, step %d", folder.path, latest.stage, latest.step)
    return 0


def _is_finished(number: int, steps: int, latest: Checkpoint | None) -> bool:
    if not steps:
        logger.info("stage %d: no steps asked for", number)
    elif latest and latest.stage > number:
        logger.info("stage %d is frozen since stage %d has begun", number, latest.stage)
    elif latest and (latest.stage, latest.step) >= (number, steps):
        logger.info("stage %d is finished: %s", number, latest.path.name)
    else:
        return False
    return True


class StageLoop:
    """The loop over a stage's steps, and what the chief writes on the way: logs, samples, checkpoints."""

    def __init__(self, stage: Stage, stop: StopSignals):
        self.stage, self.stop, self.options = stage, stop, stage.config.train
        self.is_chief = stage.runtime.is_chief
        self.samples = Samples(stage.model, stage.sources[0].source, self.options.seed)
        first_batches = assembly.batches(stage.config, stage.sources, self.options.seed)
        self.statistics = estimation.BatchStatistics(stage.model, first_batches)
        if self.options.eval_every and self.is_chief:
            self.validation = Validation(stage.config, stage.model, stage.folder)

    def run(self, profile: range) -> int:
        """Trains up to the stage's last step, or until the run is asked to stop; returns the exit status."""
        stage = self.stage
        if self.is_chief:
            stage.folder.write_config(stage.config)
            if not stage.has_checkpoints():
                stage.save()  # If the first steps are not finite, the run goes back to this one.
        if stage.runtime.workers > 1:  # The chief's first checkpoint shows the other hosts that the folder is shared.
            latest_on_all_hosts(stage.folder, stage.runtime, stage.number)
        if not self.is_chief:
            return self._train(self._progress_bar(), range(0))
        self.journal = Journal(stage.folder.path, stage.number, stage.step)
        if profile and not stage.step <= profile.start < stage.steps:
            logger.warning("no profile: steps %d to %d do not begin in this run", stage.step, stage.steps)
        with self._progress_bar() as bar, contextlib.closing(self.journal):
            status = self._train(bar, profile)
            if not status:
                self._finish()
        return status

    def _train(self, bar: tqdm, profile: range) -> int:
        """The loop itself."""
        stage = self.stage
        batches, train_step = stage.batches(), assembly.step_function(stage.model, stage.runtime)
        unread: list[assembly.StepReport] = []
        save_is_due = False
        while stage.step < stage.steps:
            if stage.step == profile.start < profile.stop:
                self.journal.start_profile()
            adversarial = stage.is_adversarial
            unread.append(train_step(next(batches), stage.step + 1, bool(self.stop.signal_number), adversarial))
            stage.count_step()
            bar.update()
            save_is_due |= stage.step % self.options.checkpoint_every == 0
            due = save_is_due or self._is_due() or stage.step == profile.stop
            stop, skipped = self._read(unread, due)
            if due or stop:
                self.statistics.average_over_replicas()
            if stage.step == profile.stop:
                self.journal.stop_profile()
            self._log_if_due(bar)
            if skipped >= MOST_SKIPPED:
                if not self._go_back():
                    return NOT_FINITE
                batches, train_step = stage.batches(), assembly.step_function(stage.model, stage.runtime)
                unread, save_is_due = [], False
                bar.update(stage.step - bar.n)
            elif stage.step < stage.steps:
                if stop and not skipped:
                    return self._save_and_stop()
                if self.is_chief:
                    self._write_what_is_due(save_is_due and not skipped)
                save_is_due &= bool(skipped)  # A save that is due waits for a step that is finite.
        return 0

    def _read(self, unread: list[assembly.StepReport], due: bool) -> tuple[bool, int]:
        """Whether a host was asked to stop, and how many steps in a row were skipped up to the last one read.

        The newest report stays unread, so that the host prepares a step while the device takes the one before, unless
        something is due after it or it is the one to stop after.
        """
        stop, skipped = False, 0
        while len(unread) > (0 if due or stop else 1) and skipped < MOST_SKIPPED:
            report = unread.pop(0)
            stop |= report.stop
            skipped = self.stage.skipped_in_a_row(report)
        return stop, skipped

    def _is_due(self) -> bool:
        """Whether the stage ends, logs or shows a sample at the present step."""
        step, options = self.stage.step, self.options
        return step == self.stage.steps or self._scores_are_due() or 0 in (
            step % options.log_every, step % options.sample_every
        )  # fmt: skip

    def _scores_are_due(self) -> bool:
        return bool(self.options.eval_every) and self.stage.step % self.options.eval_every == 0

    def _go_back(self) -> bool:
        """Takes the stage back to its last good checkpoint; says whether the run may go on from there."""
        stage = self.stage
        event = f"stage {stage.number}, step {stage.step}: {MOST_SKIPPED} steps in a row were not finite"
        good = stage.go_back()
        if self.is_chief:
            self.journal.go_back(stage.step)
        if stage.provenance.restores >= MOST_RESTORES:
            logger.error(
                "%s for the third time, so the run ends. Its last checkpoint, %s, is good; a lower --learning_rate or "
                "another --precision may help",
                *(event, good.path.name),
            )
            return False
        logger.warning("%s; back to step %d with the data in another order", event, stage.step)
        return True

    def _save_and_stop(self) -> int:
        """Saves the step, after a signal came to this host or to another; returns the exit status."""
        number, stage = self.stop.signal_number or signal.SIGTERM, self.stage
        if self.is_chief:
            logger.warning(
                "asked to stop: saving step %d of stage %d; the same command goes on", stage.step, stage.number
            )
            if self.options.ema and number == signal.SIGINT:  # After SIGTERM there is no time for it.
                self.statistics.estimate_for_average()
            stage.save()
        return 128 + number

    def _write_what_is_due(self, save: bool) -> None:
        """Writes a sample and scores where they are due, and a checkpoint if `save`."""
        stage = self.stage
        sample, scores = stage.step % self.options.sample_every == 0, self._scores_are_due()
        if (sample or scores or save) and self.options.ema:
            self.statistics.estimate_for_average()
        if sample:
            self.journal.write_sample(stage.step, self.samples.picture())
        if scores:
            self.validation.write(stage.step, self.journal)
        if save:
            with tolerated(f"the checkpoint of step {stage.step}"):
                stage.save()

    def _finish(self) -> None:
        """Estimates the statistics for inference, then writes the last sample and checkpoint."""
        stage = self.stage
        logger.info(
            "stage %d: re-estimating batch normalisation over %d batches", stage.number, estimation.FINAL_BATCHES
        )
        self.statistics.estimate_final()
        self.journal.write_sample(stage.step, self.samples.picture())
        if self.options.eval_every:
            self.validation.write(stage.step, self.journal)
        stage.save()

    def _log_if_due(self, bar: tqdm) -> None:
        """Shows and logs the mean losses since the last time, over all replicas."""
        stage, model = self.stage, self.stage.model
        if stage.step % self.options.log_every and stage.step != stage.steps:
            return
        means = dict.fromkeys(metric.name for metric in model.metrics)
        means |= {name: float(value) for name, value in model.get_metrics_result().items()}
        model.reset_metrics()
        losses = {name: means.pop(name) for name in ("d_loss", "g_loss", *model.loss_names)}
        rate = (bar.format_dict["rate"] or 0.0) * stage.config.data.batch_size
        shown = {name: "none" if losses[name] is None else f"{losses[name]:.3f}" for name in ("d_loss", "g_loss")}
        bar.set_postfix({"clips/s": f"{rate:.1f}"} | shown, refresh=False)
        if self.is_chief:
            skipped, restores = int(model.skipped.numpy()), stage.provenance.restores
            others = means | stage.learning_rates()
            self.journal.write_losses(stage.step, losses, round(rate, 3), skipped, restores, **others)

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.stage.steps,
            initial=self.stage.step,
            desc=f"stage {self.stage.number}",
            unit="step",
            dynamic_ncols=True,
            mininterval=1,
            disable=not self.is_chief,
        )
