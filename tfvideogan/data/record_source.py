"""Clips from TFRecord shards that `prepare_data` wrote, each checked before a training draws from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import tensorflow as tf
from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.wording import counted

logger = logging.getLogger(__name__)

_SHUFFLED_TOGETHER = 512  # So many serialised records are in memory at a time to be shuffled.
_READ_TOGETHER = 16  # So many shards are read side by side.


class Records:
    """A `ClipSource` whose keys are the serialised records of TFRecord shards.

    Every record is read once when the source is opened, and its checksums are checked, so that a run knows what it
    trains on before its first step.

    Args:
        name: what `--data` names, for messages.
        frame_size: pixels a side; records may be larger by a whole factor.
        num_frames: frames of a clip; records may have more, from which a training takes any window.
        max_bad_shards: so many damaged shards are left out with a warning.

    Raises:
        UsageError: more shards are bad, there is no record, or the clips do not give this size.
    """

    def __init__(self, name: str, shards: Sequence[str], frame_size: int, num_frames: int, max_bad_shards: int = 0):
        self._frame_size = frame_size
        self._counts = _count_good(shards, max_bad_shards)
        self._shards = list(self._counts)
        self._size = sum(self._counts.values())
        if not self._size:
            raise UsageError(f"--data: no records in {name}")
        size, good, left_out = self._size, len(self._shards), len(shards) - len(self._shards)
        logger.info("%s: %s in %s, %d left out", name, counted(size, "clip"), counted(good, "shard"), left_out)
        self._stored_frames, self._stored_size = _stored_shape(self._shards[0])
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

        Each worker reads shards of its own; where there are fewer shards than workers, it takes its part of all.
        """
        if workers > len(self._shards):
            return self.shuffled(seed, first * workers).shard(workers, worker)
        shards = self._shards[worker::workers]
        size = sum(self._counts[shard] for shard in shards)
        start = first // size

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            own = tf.random.experimental.stateless_fold_in(tf.constant([seed, worker], tf.int64), number)
            order = tf.random.experimental.stateless_shuffle(tf.constant(shards), own)
            keys = tf.data.Dataset.from_tensor_slices(order).interleave(
                tf.data.TFRecordDataset, cycle_length=_READ_TOGETHER, num_parallel_calls=2, deterministic=True
            )
            return _mixed(keys, own).skip(tf.where(number == start, tf.constant(first % size, tf.int64), 0))

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


def _mixed(keys: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """The same keys, shuffled within blocks.

    The order follows from seeds, where `Dataset.shuffle` would have a state to save for a run that is resumed.
    """

    def shuffled(number: tf.Tensor, block: tf.Tensor) -> tf.Tensor:
        own = tf.random.experimental.stateless_fold_in(seed, number)
        return tf.random.experimental.stateless_shuffle(block, own)

    return keys.batch(_SHUFFLED_TOGETHER).enumerate().map(shuffled).unbatch()


def _count_good(shards: Sequence[str], max_bad_shards: int) -> dict[str, int]:
    """How many records each undamaged shard has. Raises UsageError if too many are damaged."""
    described = records.expected(shards)
    counts, faults = {}, {}
    for shard in tqdm(shards, "checking shards", unit="", leave=False, disable=len(shards) < 2):
        count, fault = _check(shard, described.get(shard, {}).get("records"))
        if fault:
            faults[shard] = fault
        else:
            counts[shard] = count
    if len(faults) > max_bad_shards:
        reasons = "; ".join(f"{shard}: {fault}" for shard, fault in faults.items())
        bad = counted(len(faults), "bad shard")
        raise UsageError(f"--data: {bad}, --max_bad_shards={max_bad_shards}: {reasons}")
    for shard, fault in faults.items():
        logger.warning("shard left out: %s: %s", shard, fault)
    return counts


def _check(shard: str, expected: int | None) -> tuple[int, str | None]:
    """How many records a shard has, and what is wrong with it, if anything is."""
    count = 0
    try:
        for record in records.scan(shard):
            if isinstance(record, records.BadRecord):
                return count, f"record {count}: {record.reason}"
            count += 1
    except (OSError, tf.errors.OpError) as error:
        return count, f"cannot be read: {error}"
    if count != (expected or count or 1):
        return count, f"{counted(count, 'record')}, {expected or 'some'} expected"
    return count, None


def _stored_shape(shard: str) -> tuple[int, int]:
    """Frames, and pixels a side, of the first clip. Raises UsageError if it is no clip."""
    try:
        clip = records.describe(next(iter(records.scan(shard))))
    except ValueError as error:
        raise UsageError(f"--data: {shard}: record 0: {error}") from error
    return clip["frames"], clip["size"]
