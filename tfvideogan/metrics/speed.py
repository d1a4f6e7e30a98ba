"""How long a call takes and in how much memory, how fast a machine multiplies, how many operations a network is."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

FEWEST = 3  # So many calls are timed, however slow they are.
MOST_PRODUCTS = 9  # No more products of two matrices than this are timed for the yardstick.


@dataclasses.dataclass(frozen=True)
class Timings:
    """Wall times of repeated calls, in seconds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def p95(self) -> float:
        """The 95th percentile, interpolated between the two repeats that are nearest to it."""
        return float(np.percentile(self.seconds, 95))


def time_repeats(run: Callable[[], Any], repeats: int, longest: float = math.inf) -> Timings:
    """Times calls of `run`, after one that warms up and is not counted.

    Args:
        repeats: how many calls are timed.
        longest: seconds of timing after which no further call begins, so that slow networks are run less often;
            three calls are timed nevertheless.
    """
    run()
    seconds: list[float] = []
    while len(seconds) < repeats and (sum(seconds) < longest or len(seconds) < FEWEST):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return Timings(tuple(seconds))


def time_steps(step: Callable[[Any], Any], batches: Iterator[Any], repeats: int) -> tuple[Timings, float]:
    """Times training steps that take their batches from an iterator, after one that warms up and is not counted.

    Args:
        step: takes a batch, and returns when the step is done.
        repeats: how many steps are timed.

    Returns:
        The times of whole steps, and the share of them, 0 to 1, that was spent in waiting for batches.
    """
    waits = []

    def run() -> None:
        start = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - start)
        step(batch)

    timings = time_repeats(run, repeats)
    return timings, sum(waits[1:]) / sum(timings.seconds)  # The first wait is that of the step that warms up.


def peak_memory_mb() -> float | None:
    """The most memory that this process has held, in MiB, or None where the system is not Linux.

    `ru_maxrss` would count the parent's memory, which a child inherits when it is forked.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def matrix_product_rate(size: int = 3072, dtype: str = "float32", repeats: int = MOST_PRODUCTS) -> float:
    """GFLOP/s of a matrix product in `dtype`: the yardstick of this machine.

    Args:
        repeats: how often what it measures is timed; the rate is the median of twice as many, and of nine at most.
    """
    import tensorflow as tf

    matrix = tf.cast(tf.random.normal([size, size]), dtype)
    product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
    return 2 * size**3 / time_repeats(lambda: product().numpy(), repeats=min(2 * repeats, MOST_PRODUCTS)).median / 1e9


def flops_per_clip(network: Any, frames_computed: Mapping[str, int] | None = None) -> float:
    """The floating-point operations of a network's convolutions for one clip; a multiply-add counts as two.

    Args:
        frames_computed: by the name of a convolution, of how many frames its output is computed, if not of all.
    """
    computed = frames_computed or {}
    import keras

    transposed = keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose
    total = 0
    for layer in network.layers:
        if not hasattr(layer, "kernel"):
            continue
        # Each kernel tap is used once at every position of the smaller side.
        positions = (layer.input if isinstance(layer, transposed) else layer.output).shape[1:-1]
        if layer.name in computed:
            positions = (computed[layer.name], *positions[1:])
        total += 2 * math.prod(layer.kernel.shape) * math.prod(positions)
    return float(total)
