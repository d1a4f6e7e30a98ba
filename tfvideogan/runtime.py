"""The machine's side of a run: replicas, XLA, precision, seeds. Takes arguments, never reads flags."""

from __future__ import annotations

import dataclasses
import functools
import logging

import keras
import tensorflow as tf

from tfvideogan.config import UsageError

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Where a run trains, and whether XLA compiles its networks and losses."""

    strategy: tf.distribute.Strategy
    xla: bool


def setup(strategy: str, xla: str, precision: str, seed: int, batch_size: int, sync_batch_norm: bool) -> Runtime:
    """Sets precision and seeds, chooses replicas and XLA, and logs each choice with its reason.

    Raises:
        UsageError: a combination that cannot work, before anything is allocated.
    """
    chosen = make_strategy(strategy)
    replicas = chosen.num_replicas_in_sync
    if batch_size % replicas:
        raise UsageError(f"--batch_size must be a multiple of the {replicas} replicas. Received: {batch_size}")
    if precision == "mixed_float16" and replicas > 1:
        # Keras' loss scaling looks at replica 0 only: an overflow elsewhere would be applied.
        raise UsageError(
            f"--precision=mixed_float16 trains on one replica only, here are {replicas}: "
            "take mixed_bfloat16, or --strategy=none"
        )
    use_xla = _decide_xla(xla, sync_batch_norm)
    # Grappler's remapper stumbles over the gradients' graphs, says so, and would gain nothing in training.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    logger.info("precision %s, batch of %d on %d replica(s)", precision, batch_size, replicas)
    keras.mixed_precision.set_global_policy(precision)
    keras.utils.set_random_seed(seed)
    return Runtime(chosen, use_xla)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """`auto` mirrors over the GPUs if there are several, `mirrored` also over logical CPUs, `none` never."""
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    devices = gpus or [device.name for device in tf.config.list_logical_devices("CPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        logger.info("MirroredStrategy on %s", ", ".join(devices))
        return _mirrored(tuple(devices))
    logger.info("one device, %s (--strategy=%s)", devices[0], name)
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """The process's one: a second would number its collectives as the first does, and sometimes meet its shapes."""
    return tf.distribute.MirroredStrategy(devices)


def _decide_xla(xla: str, sync_batch_norm: bool) -> bool:
    if sync_batch_norm and xla == "on":
        raise UsageError("--sync_batch_norm and --xla=on exclude each other: XLA cannot cross replicas")
    if xla != "auto":
        logger.info("XLA is %s: asked for by --xla", xla)
        return xla == "on"
    if sync_batch_norm:
        logger.info("XLA is off: --sync_batch_norm crosses replicas, which XLA cannot")
        return False
    if tf.config.list_logical_devices("GPU"):
        logger.info("XLA is on: a GPU was found")
        return True
    logger.info("XLA is off: on a CPU its 3D convolutions are many times slower than the native ones")
    return False
