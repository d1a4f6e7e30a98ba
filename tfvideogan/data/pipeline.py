"""The tf.data chain from sources to batches: keys in a seeded order are decoded, varied and batched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.data import clips, wind
from tfvideogan.data.record_source import Records
from tfvideogan.data.sources import ClipSource, Weighted
from tfvideogan.data.variation import UNVARIED, Variation

Batch = tf.Tensor | tuple[tf.Tensor, tf.Tensor]  # clips, or clips and their wind

_DRAWN_TOGETHER = 4096  # So many choices between sources are drawn with one seed.
_CHOICE, _VARIATION = 1, 2  # Choices and variations are drawn from separate streams of random numbers.


@tf.autograph.experimental.do_not_convert  # No part branches on a tensor; rewriting them would take a quarter second.
def training_batches(
    sources: Sequence[Weighted],
    num_frames: int,
    batch_size: int,
    seed: int,
    first: int = 0,
    variation: Variation = UNVARIED,
    worker: int = 0,
    workers: int = 1,
    with_wind: bool = False,
) -> tf.data.Dataset:
    """Endless shuffled batches, uint8 [N, T, H, W, 3], from the clip at position `first` on.

    They travel as bytes, and are scaled to [-1, 1] on the device that trains.

    Order and variation follow from seed and position, so that a resumed run goes on where it stopped without any
    saved state.

    Args:
        num_frames: T; a window is drawn from clips that have more.
        batch_size: N, the clips a batch of this worker.
        first: a position in this worker's order of clips.
        worker: the number of this host among `workers` hosts, each of which reads clips of its own.
        with_wind: batches are pairs of clips and of their wind float32 [N, 2], measured from each clip as it is
            varied (`wind.measure`).

    Raises:
        UsageError: there is no OpenCV to measure wind with.
    """
    if with_wind:
        wind.require()
    counts = _drawn_before(first, sources, seed, worker)
    decoded = [
        _decoded(weighted.source, weighted.source.shuffled(seed, count, worker, workers))
        for weighted, count in zip(sources, counts, strict=True)
    ]
    mixed = decoded[0]
    if len(sources) > 1:
        mixed = tf.data.Dataset.choose_from_datasets(decoded, _choices(first, sources, seed, worker))

    def vary(position: tf.Tensor, clip: tf.Tensor) -> Any:
        own = tf.random.experimental.stateless_fold_in(_seeds(seed, _VARIATION), position * workers + worker)
        varied = variation.of(clip, num_frames, own)
        return wind.with_wind(varied) if with_wind else varied

    return (
        tf.data.Dataset.zip(tf.data.Dataset.counter(first), mixed)
        .map(vary, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(2)
    )


def to_model(batch: tf.Tensor, wind: tf.Tensor | None = None) -> Batch:
    """The parts of a training batch as models take them: clips in [-1, 1], with their wind if it was measured."""
    return clips.to_float(batch) if wind is None else (clips.to_float(batch), wind)


def evaluation_batches(source: ClipSource, num_frames: int, batch_size: int, num_clips: int) -> tf.data.Dataset:
    """The first `num_clips` clips in order, once, as batches [N, T, H, W, 3] in [-1, 1]; the last may be smaller."""
    return clips_in_order(source, num_frames).take(num_clips).batch(batch_size).map(clips.to_float).prefetch(1)


def spread_batches(source: ClipSource, num_frames: int, batch_size: int, num_clips: int) -> tf.data.Dataset:
    """As `evaluation_batches`, of clips that stand for all of the source's: see its `spread`."""
    chosen = _decoded(source, source.spread(num_clips)).map(lambda clip: clip[:num_frames])
    return chosen.batch(batch_size).map(clips.to_float).prefetch(1)


def arrays(batches: tf.data.Dataset, source: ClipSource) -> Iterator[np.ndarray]:
    """What is read from a source, as NumPy's arrays. Raises UsageError for a record that cannot be decoded."""
    with naming_unreadable([source]):
        yield from batches.as_numpy_iterator()


@contextlib.contextmanager
def naming_unreadable(
    sources: Iterable[ClipSource], what: str = "the clips", besides: str = "names all such records"
) -> Iterator[None]:
    """Raises UsageError, which names the first bad record, in place of what tf.data raises where clips are read.

    Args:
        what: the name, in the message, of what is read.
        besides: what the message says behind the name of `verify_data`.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError) as error:
        if "IteratorGetNext" not in str(error):
            raise
        _, has_reason, reason = error.message.splitlines()[0].rpartition("ValueError: ")  # A source has raised it.
        if not has_reason:
            faults = (source.first_fault() for source in sources if isinstance(source, Records))
            reason = next(filter(None, faults), reason)
        raise UsageError(f"{what} cannot be read on ({reason}); tfvideogan.verify_data {besides}") from error


def clips_in_order(source: ClipSource, num_frames: int) -> tf.data.Dataset:
    """The first `num_frames` frames of every clip, once, uint8 [T, H, W, 3]."""
    return _decoded(source, source.in_order()).map(lambda clip: clip[:num_frames])


def _decoded(source: ClipSource, keys: tf.data.Dataset) -> tf.data.Dataset:
    return keys.map(source.load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _choices(first: int, sources: Sequence[Weighted], seed: int, worker: int) -> tf.data.Dataset:
    """The number of the source of each clip, from position `first` on."""
    block, within = divmod(first, _DRAWN_TOGETHER)
    blocks = tf.data.Dataset.counter(block).map(lambda number: _draw(number, sources, seed, worker))
    return blocks.unbatch().skip(within)


def _draw(block: int | tf.Tensor, sources: Sequence[Weighted], seed: int, worker: int) -> tf.Tensor:
    """One block of choices between the sources, int64 [_DRAWN_TOGETHER], which follow from seed and block alone."""
    shares = np.cumsum([weighted.weight for weighted in sources])
    own = tf.random.experimental.stateless_fold_in(_seeds(seed, _CHOICE + 16 * worker), tf.cast(block, tf.int64))
    drawn = tf.random.stateless_uniform([_DRAWN_TOGETHER], own, 0.0, shares[-1], tf.float64)
    return tf.searchsorted(tf.constant(shares[:-1], tf.float64), drawn, side="right", out_type=tf.int64)


def _seeds(seed: int, stream: int) -> tf.Tensor:
    return tf.constant([seed, stream], tf.int64)


def _drawn_before(first: int, sources: Sequence[Weighted], seed: int, worker: int) -> list[int]:
    """How many clips of each source lie before position `first`."""
    if len(sources) == 1:
        return [first]
    counts = np.zeros(len(sources), int)
    for start in range(0, first, _DRAWN_TOGETHER):
        drawn = _draw(start // _DRAWN_TOGETHER, sources, seed, worker).numpy()[: first - start]
        counts += np.bincount(drawn, minlength=len(sources))
    return counts.tolist()
