"""Trainings in processes of their own, and what they leave: for the tests of docs/reliability.md."""

import hashlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers.commands import Command
from tfvideogan.runs import run_folder

SOAK = bool(os.environ.get("SOAK"))
SIZES = ["--base_width=2", "--num_frames=4", "--batch_size=4", "--init_stddev=0.1"]
VGAN = ["--model=vgan", "--frame_size=16", *SIZES]
MDGAN = ["--model=mdgan", "--frame_size=32", "--init_stddev=0.02", *SIZES[:-1]]


def start(test: tf.test.TestCase, run_dir: Path, *flags: str, **environment: str) -> Command:
    """A training that a test kills if it still runs at the end; `err` is all that it says."""
    flags = (f"--run_dir={run_dir}", "--log_every=1", *flags)
    training = Command("train", *flags, environment=environment, together=True)
    test.addCleanup(training.kill)
    return training


def end(training: Command) -> tuple[int, str]:
    """Its exit status and what it said."""
    return training.wait(400), training.err


def steps_logged(run_dir: Path) -> int:
    log = run_dir / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def wait_for(condition: Callable[[], bool], training: Command | subprocess.Popen, seconds: float = 200) -> None:
    """Until the condition holds or the process ends."""
    deadline = time.monotonic() + seconds
    while not condition() and training.poll() is None:
        if time.monotonic() > deadline:
            raise AssertionError("it did not come so far")
        time.sleep(0.001)


def variables(run_dir: Path) -> dict[str, np.ndarray]:
    """All that the last checkpoint holds."""
    reader = tf.train.load_checkpoint(str(run_folder.RunFolder(run_dir).latest().path / "variables"))
    names = sorted(reader.get_variable_to_shape_map())
    return {name: reader.get_tensor(name) for name in names if name.endswith("VARIABLE_VALUE")}


def digest(run_dir: Path) -> str:
    """SHA-256 over all variables of both networks, both optimizers, the average and the counters."""
    found = hashlib.sha256()
    for name, value in variables(run_dir).items():
        found.update(name.encode() + value.tobytes())
    return found.hexdigest()
