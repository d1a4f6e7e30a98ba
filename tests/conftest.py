"""What every test process needs before its first test."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from absl import flags

from tfvideogan import cli

# A checkpoint waits for the disk ten times, and the suite saves hundreds. So temporary files lie in memory where
# the system has room for them there. The workers of pytest-xdist inherit the folder of the process that starts them.
MEMORY, ROOM = Path("/dev/shm"), 4 << 30
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="tfvideogan-", dir=MEMORY)

    @atexit.register
    def remove_temporary_files(owner: int = os.getpid()) -> None:
        if os.getpid() == owner:  # Commands that tests fork end by these functions, too.
            shutil.rmtree(tempfile.tempdir, ignore_errors=True)


# Under test is what XLA is told to compute: leaving its machine code slow saves a quarter of each compilation.
os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"
cli.load_tensorflow()  # without its start-up notes

import tensorflow as tf  # noqa: E402

# Two logical CPUs, so that two replicas can be tested on any machine.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# Likewise TensorFlow's own optimizer of graphs, a sixth of a tiny training; commands in processes of their own keep it.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
tf.test.TestCase.test_session.__test__ = False  # It is a method of TensorFlow's own, and no test.
flags.FLAGS.mark_as_parsed()  # absl's create_tempdir() asks for flags, which pytest does not parse
# Tracing makes millions of small objects: by default a tenth of the suite's time is the search for garbage among
# those that TensorFlow's modules hold for ever.
gc.freeze()
gc.set_threshold(100_000, 50, 50)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Frees what the tests of a class have left, and freezes what the class still holds, for good.

    Searches for garbage, which TFLite's converter starts, then do not walk through it. To free the graphs of a class
    that was let go took longer: 40 s for those of one.
    """
    if nextitem is None or nextitem.cls is not item.cls:
        gc.collect()
        gc.freeze()


# Classes whose tests wait for whole processes. They are begun first, so that no worker is left with one at the end.
LONGEST = (
    "test_reliability", "test_reliability_of_hosts", "test_all", "test_stage", "test_replicas", "test_adversarial",
    "test_keras_api",
)  # fmt: skip


def pytest_collection_modifyitems(items: list) -> None:
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
