"""How fast a machine is, and how much work a network is: what figures of speed are held against."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any


def median_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median wall time of `run`, after one call to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matrix_product_rate(size: int = 3072) -> float:
    """The machine's yardstick: GFLOP/s of a float32 matrix product, the median of nine."""
    import tensorflow as tf

    matrix = tf.random.normal([size, size])
    product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
    return 2 * size**3 / median_seconds(lambda: product().numpy(), repeats=9) / 1e9


def flops_per_clip(network: Any) -> float:
    """Floating-point operations of a network's convolutions for one clip, a multiply-add counting as two."""
    import keras

    transposed = keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose
    total = 0
    for layer in network.layers:
        if not hasattr(layer, "kernel"):
            continue
        # Each kernel tap is used once at every position of the smaller side.
        positions = (layer.input if isinstance(layer, transposed) else layer.output).shape[1:-1]
        total += 2 * math.prod(layer.kernel.shape) * math.prod(positions)
    return float(total)
