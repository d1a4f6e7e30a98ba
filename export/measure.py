"""Runs one artefact in this process, which should be a fresh one: what it computes, how fast, in how much memory.

python -m export.measure --artefact=FILE --inputs=INPUTS.npz --outputs=OUTPUTS.npz

The command prints one line of JSON, whose names are those of `export.report.Row`. It loads
TensorFlow only for artefacts that need it, so that the memory is that of the artefact's own runtime.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfvideogan import cli
from tfvideogan.metrics.speed import peak_memory_mb, time_repeats

BATCHES = (1, 3)
LONGEST = 30.0  # After so many seconds of timing, slow networks are not run again.


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("artefact", None, "run folder, SavedModel, .tflite or .onnx")
    flags.DEFINE_string("inputs", None, ".npz of latents [N, 100] or frames [N, H, W, 3] in [-1, 1], and of the "
                        "wind [N, 2] of each frame for a run with --drift")  # fmt: skip
    flags.DEFINE_string("outputs", None, ".npz to write: a video of each row for each size of batch (default: none)")
    cli.define_stage()
    cli.define_trust()
    cli.define_timing()


def main() -> None:
    cli.require("artefact", "inputs")
    args = cli.flags.FLAGS
    if Path(args.artefact).suffix not in (".tflite", ".onnx"):
        _load_tensorflow(args.threads)
    from tfvideogan.inference.artefacts import load_exported

    inputs = load_inputs(args.inputs)
    started = time.perf_counter()
    artefact = load_exported(args.artefact, args.threads, args.stage, args.trust)
    figures = {"load_s": time.perf_counter() - started}
    if args.outputs:
        np.savez(args.outputs, **{f"batch_{size}": _in_batches(artefact.run, inputs, size) for size in BATCHES})
    figures |= latency(lambda: artefact.run(*(part[:1] for part in inputs)), args.repeats)
    print(json.dumps(figures | {"peak_memory_mb": peak_memory_mb()}))


def save_inputs(file: Path, inputs: Any) -> None:
    """Writes what a model is called on, an array or a pair of arrays, for `--inputs`."""
    np.savez(file, *(inputs if isinstance(inputs, tuple) else (inputs,)))


def load_inputs(file: str | Path) -> tuple[np.ndarray, ...]:
    """The arrays that `save_inputs` has written."""
    with np.load(file) as parts:
        return tuple(parts[name] for name in sorted(parts.files))


def latency(run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """The figures of a report's row that say how long `run` needs for one clip, after a call to warm up."""
    timings = time_repeats(run, repeats, LONGEST)
    return {
        "p50_ms": 1e3 * timings.median,
        "p95_ms": 1e3 * timings.p95,
        "clips_per_s": 1 / timings.median,
        "repeats": len(timings.seconds),
    }


def _in_batches(run: Callable[..., np.ndarray], inputs: tuple[np.ndarray, ...], size: int) -> np.ndarray:
    """The video of every row, computed in batches of `size`; the first rows fill up the last batch."""
    count = len(inputs[0])
    rows = np.arange(-(-count // size) * size) % count
    videos = [run(*(part[rows[start : start + size]] for part in inputs)) for start in range(0, len(rows), size)]
    return np.concatenate(videos)[:count]


def _load_tensorflow(threads: int) -> None:
    cli.load_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


if __name__ == "__main__":
    cli.run(define_flags, main)
