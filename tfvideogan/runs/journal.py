"""What a training writes for its reader: a JSON line and TensorBoard scalars a logged step, moving-picture samples.

    log.jsonl                       {"stage": 1, "step": 20, "time": ..., "d_loss": ..., ...}
                                    {"stage": 1, "step": 500, "time": ..., "held_out": {"psnr": ...}, ...}
    samples/stage1-step00000500.gif
    tensorboard/stage1/

A full disk is logged, and never ends a run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from tfvideogan.files import atomic, encoders, paths

logger = logging.getLogger(__name__)

LOG = "log.jsonl"


class Journal:
    """The journal of one stage of a run.

    Args:
        folder: the folder of the run.
        stage: the number of the stage that is trained.
        step: the step that the stage goes on from. A run that was killed may have left lines of later steps, which
            are dropped.
    """

    def __init__(self, folder: paths.Path, stage: int, step: int):
        self._folder, self._stage = folder, stage
        self.go_back(step)
        self._events = str(folder / "tensorboard" / f"stage{stage}")
        self._writer = tf.summary.create_noop_writer()
        with tolerated("the TensorBoard log"):
            self._writer = tf.summary.create_file_writer(self._events)
        self._profiling = False

    def start_profile(self) -> None:
        """Begins a TensorBoard profile, until `stop_profile` or `close`."""
        with tolerated("the profile"):
            tf.profiler.experimental.start(self._events)
            self._profiling = True

    def stop_profile(self) -> None:
        """Writes the profile, if one was begun."""
        if self._profiling:
            self._profiling = False
            with tolerated("the profile"):
                tf.profiler.experimental.stop()
                logger.info("profile: %s (tensorboard --logdir shows it with tensorboard-plugin-profile)", self._events)

    def go_back(self, step: int) -> None:
        """Drops the lines after a step, which the run takes again."""
        with tolerated(LOG):
            _drop_after(self._folder / LOG, self._stage, step)

    def close(self) -> None:
        self.stop_profile()
        with tolerated("the TensorBoard log"):
            self._writer.close()

    def write_losses(
        self,
        step: int,
        losses: dict[str, float | None],
        clips_per_second: float,
        skipped: int,
        restores: int,
        **others: float | None,
    ) -> None:
        """A line, and scalars, of the mean losses since the last time (None for one that no finite step had).

        Args:
            skipped: steps of the stage that were skipped because something was not finite.
            restores: how often the stage went back to a checkpoint, whose later lines are gone.
            others: further figures by name, such as learning rates and means over the same steps.
        """
        rest = {"clips_per_second": clips_per_second, "skipped": skipped, "restores": restores} | others
        line = {"stage": self._stage, "step": step, "time": round(time.time(), 3)} | losses | rest
        with tolerated(LOG):
            _append(self._folder / LOG, json.dumps(line) + "\n")
        self._write_scalars(step, {f"losses/{name}": value for name, value in losses.items()} | rest)

    def write_scores(self, step: int, scores: dict[str, float], beside: dict[str, float], **clips: str | int) -> None:
        """A line, and scalars, of scores on held-out clips.

        Args:
            beside: the same scores of what they are compared with.
            clips: which clips, and how many.
        """
        what = clips | {"held_out": without_nan(scores), "beside": without_nan(beside)}
        line = {"stage": self._stage, "step": step, "time": round(time.time(), 3)} | what
        with tolerated(LOG):
            _append(self._folder / LOG, json.dumps(line) + "\n")
        self._write_scalars(step, {f"held_out/{name}": value for name, value in scores.items()})

    def scores(self) -> list[dict[str, Any]]:
        """The lines of `write_scores` of this stage so far."""
        entries = []
        with tolerated(LOG):
            for line in (self._folder / LOG).read_text().splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):  # A line may have been cut short.
                    entry = json.loads(line)
                    if "held_out" in entry and entry["stage"] == self._stage:
                        entries.append(entry)
        return entries

    def _write_scalars(self, step: int, scalars: dict[str, float | None]) -> None:
        # One record of all takes an eighth of the time that one of each does. TensorFlow keeps a tensor for each of
        # Python's numbers for good, 4 KB a step in all; not for NumPy's, nor for bytes.
        values = [scalar_pb(name, value).value[0] for name, value in scalars.items() if value is not None]
        with tolerated("the TensorBoard log"), self._writer.as_default(np.int64(step)):
            tf.summary.experimental.write_raw_pb(Summary(value=values).SerializeToString())

    def write_sample(self, step: int, picture: np.ndarray) -> None:
        """A moving picture uint8 [T, H, W, 3], as a GIF and for TensorBoard."""
        path = self._folder / "samples" / f"stage{self._stage}-step{step:08d}.gif"
        with tolerated(f"the sample of step {step}"):
            encoders.write_clip(path, picture)
            gif = encoders.encode_summary(picture, path.read_bytes())
            with self._writer.as_default(np.int64(step)):
                _moving_picture_summary("samples", gif, picture.shape)
            self._writer.flush()


@contextlib.contextmanager
def tolerated(what: str) -> Iterator[None]:
    """Logs what could not be written, and goes on."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        logger.error("%s could not be written, the run goes on: %s", what, paths.first_line(error))


def without_nan(value: Any) -> Any:
    """The same dicts with None for the floats that JSON cannot write: NaN and the infinities."""
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _append(log: paths.Path, line: str) -> None:
    """Appends the whole line or, where the disk is full, nothing: half a line would spoil the next one."""
    size = None
    try:
        with log.open("a") as file:
            size = file.tell()
            file.write(line)
    except OSError:
        if size is not None:
            os.truncate(log, size)
        raise


def _drop_after(log: paths.Path, stage: int, step: int) -> None:
    """Keeps the lines up to a step of a stage, and drops later ones and those that were cut short."""
    if not log.exists():
        return
    kept = []
    for line in log.read_bytes().decode(errors="replace").splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            if (entry["stage"], entry["step"]) <= (stage, step):
                kept.append(line + "\n")
    atomic.write_bytes(log, "".join(kept).encode())


def _moving_picture_summary(tag: str, gif: bytes, shape: tuple[int, ...]) -> None:
    """A GIF for TensorBoard's image tab, which hands the bytes to the browser as they are."""
    height, width = shape[1:3]
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="images"))
    tf.summary.write(tag, tf.constant([str(width).encode(), str(height).encode(), gif]), metadata=metadata)
