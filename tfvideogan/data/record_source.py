"""Clips from TFRecord shards that `prepare_data` wrote, each checked before a training draws from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.indexed import evenly
from tfvideogan.data.wording import counted

logger = logging.getLogger(__name__)

Shape = tuple[int, int]  # A clip has so many frames, and a frame so many pixels a side.

_READ_TOGETHER = 16  # So many records are read in one call, since a call of Python takes longer than to read one.


class Records:
    """A `ClipSource` whose keys are the serialised records of TFRecord shards.

    Every record is read once when the source is opened, and its checksums, its fields and the size that its strip
    declares are checked, so that a run knows what it trains on before its first step. The source then remembers where
    each record begins (8 bytes a clip), so that any record can be read by itself and an epoch is a true permutation,
    whatever the order within shards and among them.

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
        starts = _good_shards(shards, max_bad_shards)
        self._shards = list(starts)
        self._starts = np.concatenate([np.empty(0, np.int64), *starts.values()])
        self._ends = np.cumsum([len(of_shard) for of_shard in starts.values()])
        self._size = len(self._starts)
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
        """All records in a new order each epoch: of W workers, worker w takes each W-th position from w on."""
        start, within = divmod(first * workers, self._size)

        def epoch(number: tf.Tensor) -> tf.data.Dataset:
            own = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), number)
            order = tf.random.experimental.stateless_shuffle(tf.range(self._size, dtype=tf.int64), own)
            return tf.data.Dataset.from_tensor_slices(order)

        return self._records(tf.data.Dataset.counter(start).flat_map(epoch).skip(within).shard(workers, worker))

    def in_order(self) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(self._shards)

    def first_fault(self) -> str | None:
        """The first record that cannot be decoded, and why, or None; each record is tried, which takes a while."""
        for shard in self._shards:
            for number, record in enumerate(records.scan(shard)):
                try:
                    _shape(record, (self._stored_frames, self._stored_size))
                    records.describe(record)
                except ValueError as error:
                    return f"{shard}: record {number}: {error}"
        return None

    @property
    def shards(self) -> list[str]:
        """The files that the records are read from."""
        return self._shards

    def spread(self, count: int) -> tf.data.Dataset:
        """Records at equal distances: those of one video lie together, and the first ones would be of a few videos."""
        if count >= self._size:
            return self.in_order()
        return self._records(tf.data.Dataset.from_tensor_slices(evenly(count, self._size)))

    def videos(self, count: int) -> tuple[int, int | None]:
        """How many videos the clips of `spread` are of, and how many the set has, if a `dataset.json` tells."""
        names = {records.source_of(*self._read(np.array([number]))) for number in evenly(count, self._size)}
        return len(names), records.count_sources(self._shards)

    def _records(self, numbers: tf.data.Dataset) -> tf.data.Dataset:
        """The serialised records of a data set of numbers."""

        def read(some: tf.Tensor) -> tf.Tensor:
            return tf.ensure_shape(tf.numpy_function(self._read, [some], tf.string, stateful=False), [None])

        return numbers.batch(_READ_TOGETHER).map(read, tf.data.AUTOTUNE, deterministic=True).unbatch()

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        """The serialised records of these numbers. Raises ValueError if one has been damaged since the start."""
        shards = np.searchsorted(self._ends, numbers, side="right")
        places = zip(shards, self._starts[numbers], strict=True)
        return np.array([records.read(self._shards[shard], start) for shard, start in places], object)

    def load(self, key: tf.Tensor) -> tf.Tensor:
        """The stored clip, its frames averaged down to the frame size."""
        clip = records.decode(key, self._stored_frames, self._stored_size)
        factor = self._stored_size // self._frame_size
        if factor > 1:
            pooled = tf.nn.avg_pool2d(tf.cast(clip, tf.float32), factor, factor, "VALID")
            clip = tf.cast(tf.round(pooled), tf.uint8)
        return clip


def _good_shards(shards: Sequence[str], max_bad_shards: int) -> dict[str, np.ndarray]:
    """Where each record of each undamaged shard begins. Raises UsageError if too many are damaged."""
    described = records.expected(shards)
    starts, faults, first_shape = {}, {}, None
    for shard in tqdm(shards, "checking shards", unit="", leave=False, disable=len(shards) < 2):
        entry = described.get(shard, {})
        expected = (entry["frames"], entry["size"]) if entry else first_shape
        of_shard, shape, fault = _check(shard, entry.get("records"), expected)
        if fault:
            faults[shard] = fault
        else:
            starts[shard], first_shape = of_shard, first_shape or shape
    if len(faults) > max_bad_shards:
        reasons = "; ".join(f"{shard}: {fault}" for shard, fault in faults.items())
        bad = counted(len(faults), "bad shard")
        raise UsageError(f"--data: {bad}, --max_bad_shards={max_bad_shards}: {reasons}")
    for shard, fault in faults.items():
        logger.warning("shard left out: %s: %s", shard, fault)
    return starts


def _check(shard: str, count: int | None, shape: Shape | None) -> tuple[np.ndarray, Shape | None, str | None]:
    """The byte at which each record of a shard begins, int64, the shape of its clips, and what is wrong with the shard.

    Args:
        count: the number of its records, if it is known.
        shape: the shape of its clips, if it is known; otherwise the first one's counts.
    """
    starts, position, fault = [], 0, None
    try:
        for record in records.scan(shard):
            try:
                shape = _shape(record, shape)
            except ValueError as error:
                fault = f"record {len(starts)}: {error}"
                break
            starts.append(position)
            position += records.size_on_disk(record)
    except (OSError, tf.errors.OpError) as error:
        fault = f"cannot be read: {error}"
    if not fault and len(starts) != (count or len(starts) or 1):
        fault = f"{counted(len(starts), 'record')}, {count or 'some'} expected"
    return np.array(starts, np.int64), shape, fault


def _shape(record: bytes | records.BadRecord, expected: Shape | None) -> Shape:
    """The shape that a record declares. Raises ValueError if it is another one, or the record is damaged or no clip."""
    if isinstance(record, records.BadRecord):
        raise ValueError(record.reason)
    frames, size = records.declared_shape(record)
    if expected not in (None, (frames, size)):
        raise ValueError(f"{frames} frames of {size} pixels, and not {expected[0]} of {expected[1]}")
    return frames, size


def _stored_shape(shard: str) -> Shape:
    """The shape of the first clip, which is decoded. Raises UsageError if it is no clip."""
    try:
        clip = records.describe(next(iter(records.scan(shard))))
    except ValueError as error:
        raise UsageError(f"--data: {shard}: record 0: {error}") from error
    return clip["frames"], clip["size"]
