"""Times an ONNX file in OpenVINO, beside the runtimes that this package exports for.

python -m export.openvino_runtime --artefact=exported/vgan/vgan_float32.onnx --inputs=INPUTS.npz

The command prints one line of JSON, whose names are those of `export.report.Row`. Float models are
computed in float32, also on processors where OpenVINO would choose bfloat16.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np

from export import measure
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.files import optional
from tfvideogan.metrics.speed import peak_memory_mb


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("artefact", None, "the .onnx file")
    flags.DEFINE_string("inputs", None, ".npz of latents [N, 100] or frames [N, H, W, 3] in [-1, 1], and of the "
                        "wind [N, 2] of each frame for a run with --drift")  # fmt: skip
    cli.define_timing()


def main() -> None:
    cli.require("artefact", "inputs")
    args = cli.flags.FLAGS
    inputs = [part[:1] for part in measure.load_inputs(args.inputs)]
    started = time.perf_counter()
    run = opened(args.artefact, args.threads)
    figures = {"load_s": time.perf_counter() - started}
    figures |= measure.latency(lambda: run(*inputs), args.repeats)
    print(json.dumps(figures | {"peak_memory_mb": peak_memory_mb()}))


def opened(file: str, threads: int) -> Callable[..., np.ndarray]:
    """A function from what the model takes to clips [N, T, H, W, 3], all of them NumPy arrays.

    Raises:
        UsageError: OpenVINO is not installed, or cannot read the file.
    """
    openvino = optional.package("openvino", "openvino", extra="openvino")
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    try:
        model = openvino.Core().compile_model(file, "CPU", options)
    except RuntimeError as error:
        raise UsageError(f"{file}: not a model that OpenVINO can run ({error})") from error
    return lambda *inputs: model(list(inputs))[0]


if __name__ == "__main__":
    cli.run(define_flags, main)
