"""The machine's side of a run: replicas and hosts, XLA, precision, seeds."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from tfvideogan.config import HostLostError, TrainConfig, UsageError

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Where a run trains.

    Attributes:
        strategy: over the replicas.
        xla: whether XLA compiles the training step.
        worker: the number of this host; host 0 is the chief, which writes for all.
        workers: the number of hosts.
    """

    strategy: tf.distribute.Strategy
    xla: bool
    worker: int = 0
    workers: int = 1

    @property
    def replicas(self) -> int:
        """The number of replicas on all hosts together."""
        return self.strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        return self.worker == 0

    def sent_ahead(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The same batches; those of a single replica on a GPU are copied there before they are asked for."""
        gpus = tf.config.list_logical_devices("GPU")
        if self.replicas > 1 or not gpus:
            return batches
        return batches.apply(tf.data.experimental.prefetch_to_device(gpus[0].name))

    def sum_over_hosts(self, value: int) -> int:
        """The sum of a number over the hosts, each giving its own; waits for all of them."""
        if self.workers == 1:
            return value
        total = self.strategy.experimental_local_results(self._sum_over_replicas(tf.constant(value, tf.int64)))[0]
        return int(total) * self.workers // self.replicas

    @functools.cached_property
    def _sum_over_replicas(self) -> Callable[[tf.Tensor], tf.Tensor]:
        def all_reduce(own: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # The identity lies on the replica's own device, as NCCL wants it.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(own))

        return tf.function(lambda own: self.strategy.run(all_reduce, args=(own,)))

    @contextlib.contextmanager
    def telling_lost_hosts(self) -> Iterator[None]:
        """Raises HostLostError where another host does not answer any more."""
        errors = tf.errors
        lost = (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError)
        try:
            yield
        except lost as error:
            if self.workers == 1:
                raise
            raise HostLostError(
                f"another host is gone, so host {self.worker} of {self.workers} stops; start the same command on all "
                f"hosts again, and the run goes on from its last checkpoint ({error.message.splitlines()[0]})"
            ) from error


def open_runtime(options: TrainConfig, batch_size: int) -> Runtime:
    """Sets precision and seeds, chooses replicas and XLA, and logs each choice with its reason.

    Raises:
        UsageError: options exclude each other, which is found before anything is allocated; or the replicas do not
            divide the batch, which with several hosts is known only when all of them have joined.
    """
    xla = _decide_xla(options)
    worker, workers = _host_of_cluster() if options.strategy == "multi_worker" else (0, 1)
    strategy = make_strategy(options.strategy, workers)
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UsageError(f"--batch_size must be a multiple of the {replicas} replicas. Received: {batch_size}")
    if xla is None:
        xla = _xla_of_the_device()
    # Grappler's remapper fails on the graphs of gradients with a warning, and would gain nothing in training.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    _choose_tf32(options.tf32)
    logger.info("precision %s, batch of %d on %d replica(s)", options.precision, batch_size, replicas)
    keras.mixed_precision.set_global_policy(options.precision)
    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
        logger.info("deterministic ops: asked for by --deterministic")
    return Runtime(strategy, xla, worker, workers)


def make_strategy(name: str, workers: int = 1) -> tf.distribute.Strategy:
    """`auto` mirrors over several GPUs, `mirrored` also over logical CPUs, `multi_worker` over TF_CONFIG's hosts."""
    if name == "multi_worker":
        return _over_hosts(workers)
    if "TF_CONFIG" in os.environ:
        logger.warning("TF_CONFIG is set, but --strategy=%s trains on this host alone", name)
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    devices = gpus or [device.name for device in tf.config.list_logical_devices("CPU")]
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        logger.info("MirroredStrategy on %s", ", ".join(devices))
        return _mirrored(tuple(devices))
    logger.info("one device, %s (--strategy=%s)", devices[0], name)
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One strategy serves the whole process: a second one numbers its collectives like the first, and both then mix."""
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _over_hosts(workers: int) -> tf.distribute.Strategy:
    """Joins the other hosts and waits for all of them; TensorFlow wants this before anything touches a device."""
    logger.info("waiting for all hosts of TF_CONFIG")
    try:
        with _ended_by_ctrl_c():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise HostLostError(f"this host cannot join the hosts of TF_CONFIG: {error.message.splitlines()[0]}") from error
    replicas, own = strategy.num_replicas_in_sync, len(strategy.extended.worker_devices)
    if own * workers != replicas:
        raise UsageError(
            "--strategy=multi_worker needs as many GPUs on every host. "
            f"Received: {replicas} replicas on {workers} hosts, {own} of them here"
        )
    logger.info("MultiWorkerMirroredStrategy over %d replicas on %d hosts", replicas, workers)
    return strategy


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C end the process while TensorFlow waits, since no Python code then runs to answer the signal."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _host_of_cluster() -> tuple[int, int]:
    """The number of this host and the number of hosts, read from TF_CONFIG; the chief has number 0.

    Raises:
        UsageError: TF_CONFIG is missing or makes no sense.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        cluster = json.loads(text)
        hosts = {job: cluster["cluster"].get(job, []) for job in ("chief", "worker")}
        if not all(
            isinstance(a, str) and re.fullmatch(r"\S+:\d{1,5}", a) for addresses in hosts.values() for a in addresses
        ):
            raise ValueError("an address is no host:port")
        tasks = [(job, i) for job, addresses in hosts.items() for i in range(len(addresses))]
        worker = tasks.index((cluster["task"]["type"], int(cluster["task"]["index"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            "--strategy=multi_worker reads TF_CONFIG, for example "
            '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}, '
            f"the task one of the cluster. Received: {text!r}"
        ) from None
    return worker, len(tasks)


def _decide_xla(options: TrainConfig) -> bool | None:
    """Whether the options turn XLA on or off; None if the device decides."""
    for name, why in (
        ("sync_batch_norm", "XLA cannot cross replicas"),
        ("deterministic", "XLA picks its kernels by timing them, and its results are not repeatable"),
    ):
        if not getattr(options, name):
            continue
        if options.xla == "on":
            raise UsageError(f"--{name} and --xla=on exclude each other: {why}. Received: --xla=on --{name}")
        logger.info("XLA is off: --%s (%s)", name, why)
        return False
    if options.xla != "auto":
        logger.info("XLA is %s: asked for by --xla", options.xla)
        return options.xla == "on"
    return None


def _choose_tf32(choice: str) -> None:
    if choice != "auto":
        tf.config.experimental.enable_tensor_float_32_execution(choice == "on")
    if tf.config.list_logical_devices("GPU") or choice != "auto":
        on = tf.config.experimental.tensor_float_32_execution_enabled()
        why = "TensorFlow's default" if choice == "auto" else "asked for by --tf32"
        logger.info("TF32 is %s: %s (no effect on CPUs, nor on GPUs before Ampere)", "on" if on else "off", why)


def _xla_of_the_device() -> bool:
    if tf.config.list_logical_devices("GPU"):
        logger.info("XLA is on: a GPU was found")
        return True
    logger.info("XLA is off: on a CPU its 3D convolutions are many times slower than the native ones")
    return False
