"""Where clips come from: a data set's records, a folder, or made on the fly. `open_sources` is the one door.

A source hands out cheap keys in a seeded order, and turns a key into a clip, uint8
[T, H, W, 3]: what is shuffled are numbers or serialised records, never decoded clips.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data import records, synthetic
from tfvideogan.data.folder import ClipFolder
from tfvideogan.files import paths

logger = logging.getLogger(__name__)

SYNTHETIC = {"sky": synthetic.Sky, "sprites": synthetic.Sprites}
_SHUFFLED_TOGETHER = 512  # records that are in memory to be shuffled
_READ_TOGETHER = 16  # shards


class ClipSource(Protocol):
    """Clips behind keys."""

    def __len__(self) -> int:
        """How many clips an epoch has."""

    def shuffled(self, seed: int, first: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Endless keys from position `first` of this worker on: a function of seed and position alone.

        Each epoch is a permutation, of which each worker has its part.
        """

    def in_order(self) -> tf.data.Dataset:
        """All keys, once."""

    def load(self, key: tf.Tensor) -> tf.Tensor:
        """The clip of a key, uint8 of static shape [T, H, W, 3]."""


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A source and its share of what a training draws."""

    source: ClipSource
    weight: float


def open_source(data: str, frame_size: int, num_frames: int, seed: int = 0, max_clips: int | None = None) -> ClipSource:
    """The one source that `--data` names, for all that looks at clips in their order.

    Raises:
        UsageError: those of `open_sources`, or it names several.
    """
    names = split_names(data)
    if len(names) > 1:
        raise UsageError(f"--data must name one source here. Received: {data!r}")
    return _open(names[0][0], frame_size, num_frames, seed, max_clips=max_clips)


def open_sources(data: str, frame_size: int, num_frames: int, seed: int = 0, max_bad_shards: int = 0) -> list[Weighted]:
    """The sources that `--data` names, separated by commas, each with `@WEIGHT` behind it or the weight 1.

    Args:
        num_frames: of the clips that are handed out.
        seed: of built-in clips.
        max_bad_shards: of each source, that may be left out, counted and logged.

    Raises:
        UsageError: no such source, or nothing usable in it.
    """
    return [
        Weighted(_open(name, frame_size, num_frames, seed, max_bad_shards), weight)
        for name, weight in split_names(data)
    ]


def split_names(data: str) -> list[tuple[str, float]]:
    """(name, weight) of each source; what exists under the whole name is one."""
    if not data:
        raise UsageError("--data must be a folder, records or synthetic:NAME. Received: ''")
    if not paths.is_remote(data) and Path(data).exists():
        return [(data, 1.0)]
    named = []
    for part in data.split(","):
        match = re.fullmatch(r"(.+)@(\d*\.?\d+)", part)
        named.append((match[1], float(match[2])) if match else (part, 1.0))
    if any(not name or weight <= 0 for name, weight in named):
        raise UsageError(f"--data must be sources as NAME or NAME@WEIGHT, a weight above 0. Received: {data!r}")
    return named


def absolute(data: str) -> str:
    """The value of `--data` with the sources in it named so that they are found from any directory."""
    if not paths.is_remote(data) and Path(data).exists():
        return paths.absolute(data)
    return ",".join(part if part.startswith("synthetic:") else paths.absolute(part) for part in data.split(","))


def _open(
    name: str, frame_size: int, num_frames: int, seed: int, max_bad_shards: int = 0, max_clips: int | None = None
) -> ClipSource:
    if name.startswith("synthetic:"):
        return Indexed(_synthetic(name, frame_size, num_frames, seed))
    shards = records.find_shards(name)
    if shards is not None:
        return Records(name, shards, frame_size, num_frames, max_bad_shards)
    return Indexed(ClipFolder(name, frame_size, num_frames, max_clips))


def _synthetic(data: str, frame_size: int, num_frames: int, seed: int) -> Sequence[np.ndarray]:
    _, name, *split = data.split(":")
    if name not in SYNTHETIC or split not in ([], ["train"], ["test"]):
        names = ", ".join(f"synthetic:{known}[:test]" for known in SYNTHETIC)
        raise UsageError(f"--data names no built-in clips; there are {names}. Received: {data!r}")
    return SYNTHETIC[name](frame_size, num_frames, *split, seed=seed)


class Indexed:
    """A source whose keys are the numbers of a sequence of clips, uint8 [T, H, W, 3]."""

    def __init__(self, clips: Sequence[np.ndarray]):
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def shuffled(self, seed: int, first: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        size = len(self)

        def index(position: tf.Tensor) -> tf.Tensor:
            epoch = tf.cast(position // size, tf.int32)
            return tf.random.experimental.index_shuffle(position % size, tf.stack([seed, epoch]), size - 1)

        return tf.data.Dataset.counter(first * workers + worker, workers).map(index)

    def in_order(self) -> tf.data.Dataset:
        return tf.data.Dataset.range(len(self))

    def load(self, key: tf.Tensor) -> tf.Tensor:
        clip = tf.numpy_function(lambda i: self.clips[int(i)], [key], tf.uint8, stateful=False)
        return tf.ensure_shape(clip, self.clips[0].shape)


class Records:
    """A source whose keys are the serialised records of TFRecord shards.

    All of them are read once when it is opened, and their checksums checked: what a run
    trains on is settled before its first step.

    Args:
        name: what `--data` said, for messages.
        frame_size: pixels a side; records may be larger by a whole factor.
        num_frames: frames of a clip; records may have more, from which a training takes any window.

    Raises:
        UsageError: more bad shards than allowed, no record, or clips of another size.
    """

    def __init__(self, name: str, shards: Sequence[str], frame_size: int, num_frames: int, max_bad_shards: int = 0):
        self._frame_size = frame_size
        expected = records.expected(shards)
        checked = tqdm(shards, "checking shards", unit="", leave=False, disable=len(shards) < 2)
        counts = {shard: _count(shard, expected.get(shard, {}).get("records")) for shard in checked}
        bad = {shard: reason for shard, reason in counts.items() if isinstance(reason, str)}
        if len(bad) > max_bad_shards:
            told = "; ".join(f"{shard}: {reason}" for shard, reason in bad.items())
            raise UsageError(f"--data: {len(bad)} bad shards, --max_bad_shards={max_bad_shards}: {told}")
        for shard, reason in bad.items():
            logger.warning("shard left out: %s: %s", shard, reason)
        self._counts = {shard: count for shard, count in counts.items() if shard not in bad}
        self._shards = list(self._counts)
        self._size = sum(self._counts.values())
        if not self._size:
            raise UsageError(f"--data: no records in {name}")
        logger.info("%s: %d clips in %d shards, %d left out", name, self._size, len(self._shards), len(bad))
        try:
            said = records.describe(next(iter(records.scan(self._shards[0]))))
        except ValueError as error:
            raise UsageError(f"--data: {self._shards[0]}: record 0: {error}") from error
        self._stored_size, self._stored_frames = said["size"], said["frames"]
        if self._stored_size % frame_size or self._stored_frames < num_frames:
            raise UsageError(
                f"--data {name} holds clips of {self._stored_frames} frames of {self._stored_size} pixels, "
                f"which do not give {num_frames} frames of {frame_size} pixels "
                "(asked for by --num_frames, --frame_size and --max_temporal_stride)"
            )

    def __len__(self) -> int:
        return self._size

    def shuffled(self, seed: int, first: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Shards in a new order each epoch, read side by side, their records mixed within blocks.

        Each worker reads shards of its own, or if there are too few its part of all.
        """
        if workers > len(self._shards):
            return self.shuffled(seed, first * workers).shard(workers, worker)
        shards = self._shards[worker::workers]
        size = sum(self._counts[shard] for shard in shards)
        start = first // size

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            own = tf.random.experimental.stateless_fold_in(tf.constant([seed, worker], tf.int64), number)
            order = tf.random.experimental.stateless_shuffle(tf.constant(shards), own)
            read = tf.data.Dataset.from_tensor_slices(order).interleave(
                tf.data.TFRecordDataset, cycle_length=_READ_TOGETHER, num_parallel_calls=2, deterministic=True
            )
            # By seeds and not by `Dataset.shuffle`, so that no state has to be saved to go on from a position.
            mixed = (
                read.batch(_SHUFFLED_TOGETHER)
                .enumerate()
                .map(
                    lambda i, block: tf.random.experimental.stateless_shuffle(
                        block, tf.random.experimental.stateless_fold_in(own, i)
                    )
                )
            )
            return mixed.unbatch().skip(tf.where(number == start, tf.constant(first % size, tf.int64), 0))

        return tf.data.Dataset.counter(start).flat_map(epoch)

    def in_order(self) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(self._shards)

    def load(self, key: tf.Tensor) -> tf.Tensor:
        """The stored clip, its frames averaged down to the frame size."""
        clip = records.decode(key, self._stored_frames, self._stored_size)
        factor = self._stored_size // self._frame_size
        if factor > 1:
            pooled = tf.nn.avg_pool2d(tf.cast(clip, tf.float32), factor, factor, "VALID")
            clip = tf.cast(tf.round(pooled), tf.uint8)
        return clip


def _count(shard: str, expected: int | None) -> int | str:
    """How many records a shard has, or what is wrong with it."""
    count = 0
    try:
        for record in records.scan(shard):
            if isinstance(record, records.BadRecord):
                return f"record {count}: {record.reason}"
            count += 1
    except (OSError, tf.errors.OpError) as error:
        return f"cannot be read: {error}"
    if count != (expected or count or 1):
        return f"{count} records, {expected or 'some'} expected"
    return count
