"""Whether this machine's device trains as a CPU does: small steps in every form held against it, full-size steps timed.

`python -m tfvideogan.benchmark --check_device` prints what is found, to be pasted into an issue.
"""

from __future__ import annotations

import contextlib
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.config import SMALLEST_FRAME, Config
from tfvideogan.data import clips, pipeline, sources
from tfvideogan.files import optional
from tfvideogan.metrics.speed import matrix_product_rate, peak_memory_mb, time_steps
from tfvideogan.models import blocks, registry
from tfvideogan.models.adversarial import AdversarialModel

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# The largest share of the update, by norm, by which three steps may differ from those of the CPU in float32. Between
# two CPUs it is 1e-6. In half precision each gradient is rounded, and the sign of a small difference may turn in
# the L1 terms: CPUs show 0.01 to 0.4.
LIMITS = {"float32": 1e-3, "mixed_bfloat16": 0.6, "mixed_float16": 0.6}
SMALL_STEPS = 3
_BATCH, _FRAMES, _WIDTH = 4, 4, 2  # These are the sizes of the small steps.


def description() -> Iterator[str]:
    """The lines that say what was checked: versions, devices, and how fast they multiply."""
    versions = optional.versions(["tensorflow", "keras"])
    yield ", ".join([*(f"{name} {version}" for name, version in versions.items()), platform.platform()])
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        capability = ".".join(map(str, details.get("compute_capability", ("?",))))
        yield f"{device.name}: {details.get('device_name', 'unknown')}, compute capability {capability}"
    if not _gpus():
        yield "no GPU: the device is the CPU"
    on = tf.config.experimental.tensor_float_32_execution_enabled()
    yield f"matrix product: {matrix_product_rate():.0f} GFLOP/s in float32; TF32 is {'on' if on else 'off'}"


def small_steps(models: Sequence[str], precisions: Sequence[str] = PRECISIONS) -> Iterator[tuple[str, bool]]:
    """Small training steps in each precision, without and with XLA, held against the CPU's in float32.

    TF32 is off meanwhile, since its rounding alone would be more than what is allowed. With several GPUs, replicas on
    all of them are held against the CPU as well, with batch normalisation over the clips of all.

    Returns:
        A line for each form, and whether it is well: the difference is small, or the device has no such operation.
    """
    for name, stage in _stages(models):
        with tf.device("CPU:0"):
            expected = _trained(name, stage, "float32", False)
        for precision, xla in [(precision, xla) for precision in precisions for xla in (False, True)]:
            yield _attempt(_label(name, stage, precision, xla), _compare, expected, name, stage, precision, xla)
        if len(_gpus()) > 1:
            strategy = tf.distribute.MirroredStrategy(_gpus())
            label = f"{name} stage {stage}, float32, {len(_gpus())} replicas"
            yield _attempt(label, _compare, expected, name, stage, "float32", False, strategy)


def full_steps(
    models: Sequence[str], batch_size: int, repeats: int, base_width: int | None = None
) -> Iterator[tuple[str, bool]]:
    """Steps at the papers' sizes on built-in clips: milliseconds, the share of them that waits for clips, and memory.

    A CPU is spared XLA and float16, for which it has no fast kernels.
    """
    forms = [(precision, xla) for precision in PRECISIONS for xla in (False, True)]
    for name, stage in _stages(models):
        config = Config.create(model=name, batch_size=batch_size, base_width=base_width)
        size, frames = config.model.frame_size, config.model.num_frames
        opened = sources.open_sources(config.data.data, size, frames, seed=0)
        batches = iter(pipeline.training_batches(opened, frames, batch_size, seed=0))
        for precision, xla in forms if _gpus() else [("float32", False), ("mixed_bfloat16", False)]:
            label = f"{_label(name, stage, precision, xla)}, batch {batch_size}"
            yield _attempt(label, _time, config, stage, precision, xla, batches, repeats)


def _stages(models: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, stage) for name in models for stage in range(1, registry.num_stages(name) + 1)]


def _gpus() -> list[str]:
    return [device.name for device in tf.config.list_logical_devices("GPU")]


def _label(name: str, stage: int, precision: str, xla: bool) -> str:
    return f"{name} stage {stage}, {precision}, XLA {'on' if xla else 'off'}"


def _attempt(label: str, run: Callable[..., tuple[str, bool]], *arguments: Any) -> tuple[str, bool]:
    """A line with what `run` tells, or with why it failed."""
    try:
        figures, well = run(*arguments)
    except (tf.errors.OpError, ValueError, NotImplementedError) as error:
        missing = isinstance(error, tf.errors.UnimplementedError | tf.errors.NotFoundError)
        reason = next(line for line in str(error).splitlines() if line.strip())
        figures, well = f"{'not on this device' if missing else 'FAILED'}: {reason[:200]}", missing
    return f"{label:56}{figures}", well


def _trained(
    name: str, stage: int, precision: str, xla: bool, strategy: tf.distribute.Strategy | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """All trained weights of a small model, before its steps and after.

    Gradient descent trains it, since Adam would make a whole step of a gradient's rounding error.
    """
    size = SMALLEST_FRAME[name]
    config = Config.create(
        model=name, base_width=_WIDTH, frame_size=size, num_frames=_FRAMES, init_stddev=0.1, batch_size=_BATCH
    )
    strategy = strategy or tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    with strategy.scope():
        model = _built(config, stage, precision)
        if replicas > 1:
            blocks.synchronize(model.generator, model.discriminator)
        model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01), xla=xla)
    before = _weights(model)
    step = tf.function(lambda batch: strategy.run(model.train_step, args=(batch,)), autograph=False)
    for seed in range(SMALL_STEPS):
        batch = tf.random.stateless_uniform([_BATCH, _FRAMES, size, size, 3], [seed, 0], -1.0, 1.0)
        rows = tf.split(batch, replicas) if replicas > 1 else [batch]
        step(strategy.experimental_distribute_values_from_function(lambda c, r=rows: r[c.replica_id_in_sync_group]))
    return before, _weights(model)


def _built(config: Config, stage: int, precision: str) -> AdversarialModel:
    """A model whose networks compute in a precision, its weights the same ones each time."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(1)
    try:
        return registry.build_model(config.model, stage)
    finally:
        keras.config.set_dtype_policy(policy)


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _weights(model: AdversarialModel) -> np.ndarray:
    networks = (model.generator, model.discriminator)
    return np.concatenate([np.ravel(v.numpy()) for network in networks for v in network.trainable_variables])


def _compare(
    expected: tuple[np.ndarray, np.ndarray], name: str, stage: int, precision: str, *form: Any
) -> tuple[str, bool]:
    """How far training comes elsewhere than expected, as a share of the way."""
    with _without_tf32():
        (_, after), (start, right) = _trained(name, stage, precision, *form), expected
    share = float(np.linalg.norm(after - right) / np.linalg.norm(right - start))
    well = share <= LIMITS[precision]  # NaN is not.
    return f"{share:.1e} of the update{'' if well else f': MORE than {LIMITS[precision]:g}'}", well


def _time(
    config: Config, stage: int, precision: str, xla: bool, batches: Iterator[tf.Tensor], repeats: int
) -> tuple[str, bool]:
    """Median time of a step and the share that waits for its batch, after a step to warm up; the peak of memory."""
    model = _built(config, stage, precision)
    model.compile(xla=xla)
    step = tf.function(lambda batch: model.train_step(clips.to_float(batch))["g_loss"], autograph=False)
    if _gpus():
        tf.config.experimental.reset_memory_stats("GPU:0")
    timings, waiting = time_steps(lambda batch: step(batch).numpy(), batches, repeats)
    return f"{1e3 * timings.median:9.1f} ms, {waiting:.1%} waiting, {_peak_memory():.1f} GiB", True


def _peak_memory() -> float:
    """The most memory in GiB: of the GPU since the last reset, or else of this process so far; NaN if nothing tells."""
    if _gpus():
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**30
    return (peak_memory_mb() or math.nan) / 1024
