"""Where a stage of a run stands: its model, the step, the order of its data; resumed, saved, taken back."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from tfvideogan.config import Config, UsageError
from tfvideogan.data.sources import Weighted
from tfvideogan.models import blocks
from tfvideogan.models.updates import NO_SCALE
from tfvideogan.runs import loading, state
from tfvideogan.runs.manifest import Provenance
from tfvideogan.runs.run_folder import Checkpoint, RunFolder
from tfvideogan.training import assembly
from tfvideogan.training.hosts import latest_on_all_hosts
from tfvideogan.training.runtime import Runtime

logger = logging.getLogger(__name__)


class Stage:
    """One stage of a run, from its newest checkpoint or from its start.

    Args:
        number: 1, or 2 for MD-GAN's Refine-Net on the frozen Base-Net.
        steps: how many steps the stage takes in all.

    Attributes:
        model: compiled for the run's replicas.
        step: the number of steps that were taken.
        clips: the number of clips that they took, which is where the data go on.
        provenance: where the stage is trained, which its next checkpoint records.
    """

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        runtime: Runtime,
        sources: Sequence[Weighted],
        number: int,
        steps: int,
    ):
        self.config, self.folder, self.runtime, self.sources = config, folder, runtime, sources
        self.number, self.steps = number, steps
        self.model = assembly.new_model(config, runtime, number)
        self.provenance = Provenance(
            batch_size=config.data.batch_size, replicas=runtime.replicas, hosts=runtime.workers
        )
        self.step = self.clips = 0
        newest = latest_on_all_hosts(folder, runtime, number)
        if newest:
            self._resume(newest)
        else:
            self._start()
        if not self.is_adversarial:
            first = config.train.adversarial_from_of(number)
            logger.info("stage %d: the discriminator takes no part before step %d", number, first)

    @property
    def is_adversarial(self) -> bool:
        """Whether the discriminator takes part in the next step."""
        return self.step >= self.config.train.adversarial_from_of(self.number)

    def _resume(self, newest: Checkpoint) -> None:
        self._restore(newest)
        for update in self.model.updates:
            if update.scale.numpy() == NO_SCALE:
                update.keep_scale(NO_SCALE)
        logger.info("stage %d goes on from step %d of %d (%s)", self.number, newest.step, self.steps, newest.path.name)
        _warn_of_other_replicas(newest.provenance, self.provenance)
        self._take_order(newest.provenance.restores)
        self.step, self.clips = newest.step, newest.provenance.clips
        _warn_of_other_batch_size(newest, self.provenance)

    def _start(self) -> None:
        if self.number == 2:
            latest_on_all_hosts(self.folder, self.runtime, stage=1)
            base, earlier = loading.load_model(self.folder.path, stage=1, trust=True)
            self.model.base_generator.set_weights(base.generator.get_weights())
            logger.info("stage 2 starts on the frozen Base-Net of %s", earlier.path.name)
            if self.config.train.refine_init == "stage1":
                self._take_weights_of(earlier)
        networks = (self.model.generator, self.model.discriminator)
        logger.info("stage %d: %s", self.number, ", ".join(f"{n.name} {n.count_params():,}" for n in networks))

    def _take_weights_of(self, earlier: Checkpoint) -> None:
        """Gives stage 2's players the weights of a checkpoint of stage 1 (ours). The optimizers start anew.

        G2 takes those of the frozen Base-Net, the average's if there is one, and D2 those of D1 if it was trained.

        Raises:
            UsageError: the checkpoint holds only what sampling needs.
        """
        model = self.model
        _copy_and_tell(model.base_generator, model.generator)
        if model.ema_generator:
            model.ema_generator.set_weights(model.generator.get_weights())
        first = assembly.new_model(self.config, self.runtime, 1)
        saved = state.for_training(first)
        try:
            loading.restore(earlier, {part: saved[part] for part in ("discriminator", "discriminator_optimizer")})
        except UsageError as error:
            raise UsageError(f"--refine_init=stage1 needs the discriminator of stage 1: {error}") from error
        if first.discriminator_update.optimizer.iterations.value.numpy():
            _copy_and_tell(first.discriminator, model.discriminator)
        else:
            logger.info("stage 2: the discriminator starts fresh, since stage 1 never trained its own")

    def _restore(self, checkpoint: Checkpoint) -> None:
        loading.restore(checkpoint, state.for_training(self.model))
        rates = assembly.learning_rates(self.config.train, self.number)
        for optimizer, rate in zip(self.model.optimizers, rates, strict=True):
            optimizer.learning_rate = rate  # The run's options may have changed since the checkpoint.

    def batches(self) -> Iterator[tf.Tensor]:
        """This host's part of the batches from the present step on."""
        host = self.runtime.worker, self.runtime.workers
        batches = assembly.batches(self.config, self.sources, self.model.seed, self.clips, *host)
        return iter(self.runtime.sent_ahead(batches))

    def count_step(self) -> None:
        """Counts a step that the model has taken, and the clips of its batch."""
        self.step += 1
        self.clips += self.config.data.batch_size

    def save(self) -> None:
        """Writes a checkpoint of this step. Raises OSError if it cannot be written."""
        variables, keep = state.for_training(self.model), self.config.train.keep
        provenance = dataclasses.replace(self.provenance, clips=self.clips)
        self.folder.save(self.number, self.step, variables, keep, provenance)

    def has_checkpoints(self) -> bool:
        """Whether the run folder holds a checkpoint of this stage, good or damaged."""
        return any(checkpoint.stage == self.number for checkpoint in self.folder.list())

    def learning_rates(self) -> dict[str, float]:
        """Those of the next step, by the names that the log has."""
        names = ("g_learning_rate", "d_learning_rate")
        rates = [float(tf.convert_to_tensor(optimizer.learning_rate)) for optimizer in self.model.optimizers]
        return dict(zip(names, rates, strict=True))

    def skipped_in_a_row(self, report: assembly.StepReport) -> int:
        """How many of the steps up to this one were skipped as not finite; if it was itself, that is logged."""
        skipped = report.skipped_in_a_row
        if skipped:
            scales = [f"{update.scale.numpy():g}" for update in self.model.updates if update.scales]
            logger.warning(
                "stage %d, step %d: a loss or a gradient is not finite, the update is skipped (%d in a row%s)",
                *(self.number, report.step, skipped, f"; loss scales are now {' and '.join(scales)}" if scales else ""),
            )
        return skipped

    def go_back(self) -> Checkpoint:
        """Restores the stage's newest good checkpoint and takes another order of the data; returns that checkpoint."""
        good = latest_on_all_hosts(self.folder, self.runtime, self.number)
        scales, skipped = [update.scale.numpy() for update in self.model.updates], self.model.skipped.numpy()
        self._restore(good)
        for update, scale in zip(self.model.updates, scales, strict=True):
            update.keep_scale(scale)  # The checkpoint's scale would overflow again.
        self.model.skipped.assign(skipped)  # The checkpoint does not know of the steps that were skipped since.
        self._take_order(self.provenance.restores + 1)
        self.step, self.clips = good.step, good.provenance.clips
        return good

    def _take_order(self, restores: int) -> None:
        """Puts clips and latents in the order that a stage has after so many restores."""
        self.provenance = dataclasses.replace(self.provenance, restores=restores)
        self.model.reseed((self.config.train.seed + restores * 1_000_003) % 2**31)
        self.model.skipped_in_a_row.assign(0)
        self.model.reset_metrics()


def _copy_and_tell(source: keras.Model, target: keras.Model) -> None:
    """Copies weights of stage 1 to stage 2, and logs which."""
    taken, kept = (", ".join(names) or "none" for names in blocks.copy_layers(source, target))
    logger.info("stage 2: layers of the %s with stage 1's weights: %s; with fresh ones: %s", target.name, taken, kept)


def _warn_of_other_batch_size(newest: Checkpoint, now: Provenance) -> None:
    then = newest.provenance
    if then.batch_size != now.batch_size:
        logger.warning(
            "batch_size was %d, now %d: going on from clip %d, step %d",
            *(then.batch_size, now.batch_size, then.clips, newest.step),
        )


def _warn_of_other_replicas(then: Provenance, now: Provenance) -> None:
    if (then.replicas, then.hosts) != (now.replicas, now.hosts):
        logger.warning(
            "the checkpoint is of %d replica(s) on %d host(s), now there are %d on %d: the data order over them "
            "differs, so the run goes on, but not bit for bit as it would have",
            *(then.replicas, then.hosts, now.replicas, now.hosts),
        )
