"""What the commands share that turn a run into one file: their flags, the checks, calibration, writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfvideogan import cli
from tfvideogan.config import UsageError

cli.flags.disclaim_key_flags()  # flags that are defined here are those of the command that asks for them

BYTES = {"float32": 4, "float16": 2, "int8": 1}  # of a weight
CALIBRATION_INPUTS = 32
CALIBRATION_SEED = 2  # not that of the inputs that artefacts are checked with

Convert = Callable[..., bytes]


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of a trained run")
    flags.DEFINE_string("output", None, "file to write, which must not exist yet")
    flags.DEFINE_enum("precision", "float32", list(BYTES), "numbers of the file; int8 is calibrated on inputs")
    flags.DEFINE_enum("lowering", "on", ["on", "off"], "2D operations in place of 3D ones (see docs/performance.md)")
    flags.DEFINE_string("calibration", None, "int8 of predictors: clips whose first frames to calibrate on, as --data "
                        "of tfvideogan.train (default: those that the run was trained on)")  # fmt: skip
    cli.define_stage()


def main(suffix: str, convert: Convert, packages: Sequence[str] = ()) -> None:
    """Writes what `convert(model, precision, lowering, calibration)` makes of the run, all of it or nothing.

    Args:
        packages: optional ones that it needs, told before a model is loaded.
    """
    cli.require("run_dir", "output")
    args = cli.flags.FLAGS
    if args.calibration and args.precision != "int8":
        raise UsageError(f"--calibration is for --precision=int8. Received: --precision={args.precision}")
    check_precision(args.precision, args.lowering == "on")
    cli.exit_on_sigterm()  # converters leave folders otherwise
    cli.load_tensorflow()
    from tfvideogan.files import atomic, optional, paths
    from tfvideogan.runs import loading, run_folder

    for package in packages:
        optional.package(package, package)
    atomic.check_output("output", args.output, (suffix,))
    if paths.path(args.output).exists():
        raise UsageError(f"--output must be a new file. Received: {args.output}, which exists")
    model, checkpoint = loading.load_model(args.run_dir, args.stage)
    calibration = None
    if args.precision == "int8":
        trained_on = run_folder.RunFolder.open(args.run_dir).config().data.data
        calibration = calibration_inputs(model, args.calibration, trained_on)
    content = convert(model, args.precision, args.lowering == "on", calibration)
    check_size(content, model, args.precision)
    atomic.write_bytes(args.output, content)
    print(f"stage {checkpoint.stage}, step {checkpoint.step}: {args.output}, {len(content) / 1e6:.1f} MB")


def check_precision(precision: str, lowering: bool) -> None:
    """Raises UsageError for int8 of 3D operations: converters accept it, and runtimes compute it in float."""
    if precision == "int8" and not lowering:
        raise UsageError("--precision=int8 needs --lowering=on: 3D convolutions have float kernels only")


def calibration_inputs(model: Any, clips: str | None, trained_on: str) -> np.ndarray:
    """Latents [n, 100] of the prior, or first frames [n, H, W, 3] in [-1, 1] of clips.

    Raises:
        UsageError: no such clips, clips of another size, or too few.
    """
    from export.probes import probe_inputs

    if not model.predicts:
        return probe_inputs(model, CALIBRATION_INPUTS, clips, CALIBRATION_SEED)
    flag = "--calibration" if clips else "--calibration (not given: the run's own clips)"
    return probe_inputs(model, CALIBRATION_INPUTS, clips or trained_on, flag=flag)


def check_size(content: bytes, model: Any, precision: str) -> None:
    """Raises UsageError if a file is too small to hold the model's weights: converters have written such files."""
    fault = size_fault(len(content), model, precision)
    if fault:
        raise UsageError(fault)


def size_fault(num_bytes: int, model: Any, precision: str) -> str | None:
    """Why so many bytes cannot be the model's, or None. Only kernels count: what else there is may be folded away."""
    variables = [variable for network in model.sampling_state().values() for variable in network]
    kernels = sum(variable.shape.num_elements() for variable in variables if variable.shape.rank > 1)
    if num_bytes < kernels * BYTES[precision]:
        return f"{num_bytes:,} bytes are too few for {kernels:,} weights in {precision}"
    return None
