"""Runs one artefact in this process, which is to be a fresh one: what it computes, how fast, in how much memory.

python -m export.measure --artefact=FILE --inputs=INPUTS.npy --outputs=OUTPUTS.npz

prints one JSON line. TensorFlow is loaded only for artefacts that it runs, so that memory is the runtime's own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export import processes
from tfvideogan import cli
from tfvideogan.metrics.speed import time_repeats

BATCHES = (1, 3)
LONGEST = 30.0  # seconds of timing: slow networks are run less often


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("artefact", None, "run folder, SavedModel, .tflite or .onnx")
    flags.DEFINE_string("inputs", None, ".npy of latents [N, 100] or frames [N, H, W, 3] in [-1, 1]")
    flags.DEFINE_string("outputs", None, ".npz to write: a video of each row for each size of batch (default: none)")
    cli.define_stage()
    cli.define_timing()


def main() -> None:
    cli.require("artefact", "inputs")
    args = cli.flags.FLAGS
    if Path(args.artefact).suffix not in (".tflite", ".onnx"):
        _load_tensorflow(args.threads)
    from tfvideogan.inference.artefacts import load_exported

    inputs = np.load(args.inputs)
    started = time.perf_counter()
    loaded = load_exported(args.artefact, args.threads, args.stage)
    measured = {"load_s": time.perf_counter() - started}
    if args.outputs:
        np.savez(args.outputs, **{f"batch_{size}": _in_batches(loaded.run, inputs, size) for size in BATCHES})
    measured |= latency(lambda: loaded.run(inputs[:1]), args.repeats)
    measured["peak_memory_mb"] = peak_memory_mb()
    print(json.dumps(measured))


def measure(
    artefact: Path, inputs: Path, outputs: Path | None, repeats: int, threads: int, stage: int | None = None
) -> dict[str, Any]:
    """This command in a fresh process: its JSON line. Raises UsageError if the process failed."""
    options = {"artefact": artefact, "inputs": inputs, "outputs": outputs, "stage": stage}
    return json.loads(processes.run("export.measure", **options, repeats=repeats, threads=threads).splitlines()[-1])


def latency(run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Milliseconds of one clip, the median and the 95th percentile, and clips a second, after a run to warm up."""
    timings = time_repeats(run, repeats, LONGEST)
    return {
        "p50_ms": 1e3 * timings.median,
        "p95_ms": 1e3 * timings.p95,
        "clips_per_s": 1 / timings.median,
        "repeats": len(timings.seconds),
    }


def peak_memory_mb() -> float | None:
    """Of this process since it began, where the system is Linux; ru_maxrss would be the parent's, if that is larger."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = status.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _in_batches(run: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray, size: int) -> np.ndarray:
    """A video of every row, in batches of `size`; the last one is filled up from the start."""
    rows = np.arange(-(-len(inputs) // size) * size) % len(inputs)
    parts = [run(inputs[rows[start : start + size]]) for start in range(0, len(rows), size)]
    return np.concatenate(parts)[: len(inputs)]


def _load_tensorflow(threads: int) -> None:
    cli.load_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


if __name__ == "__main__":
    cli.run(define_flags, main)
