"""What the commands share that convert a run to one file: their flags, checks, calibration inputs and writing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tfvideogan import cli
from tfvideogan.config import UsageError

if TYPE_CHECKING:
    from tfvideogan.data.layouts import Form

cli.flags.disclaim_key_flags()  # Thus --helpshort shows these flags as those of the command that defines them.

BYTES = {"float32": 4, "float16": 2, "int8": 1}  # A weight has so many bytes in each precision.
CALIBRATION_INPUTS = 32
CALIBRATION_SEED = 2  # Artefacts are checked with latents of another seed.

Convert = Callable[..., bytes]


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("output", None, "file to write, which must not exist yet")
    flags.DEFINE_enum("precision", "float32", list(BYTES), "numbers of the file; int8 is calibrated on inputs")
    flags.DEFINE_enum("lowering", "on", ["on", "off"], "2D operations in place of 3D ones (see docs/performance.md)")
    define_calibration()
    cli.define_stage()


def define_calibration() -> None:
    """`--calibration`, for `own_calibration`."""
    cli.flags.DEFINE_string("calibration", None, "int8 of predictors: clips whose first frames to calibrate on, as "
                            "--data of tfvideogan.train (default: those that the run was trained on)")  # fmt: skip


def main(suffix: str, convert: Convert, packages: Sequence[str] = ()) -> None:
    """Writes the file that `convert(model, precision, lowering, calibration)` makes of the run, or no file at all.

    Args:
        packages: optional packages that `convert` needs; a missing one is reported before a model is loaded.
    """
    cli.require_run("output")
    args = cli.flags.FLAGS
    check_calibration(args.calibration, args.precision)
    check_precision(args.precision, args.lowering == "on")
    cli.exit_on_sigterm()  # The converters then remove their temporary folders.
    cli.load_tensorflow()
    from tfvideogan.files import atomic, optional, paths
    from tfvideogan.runs import loading

    for package in packages:
        optional.package(package, package)
    atomic.check_output("output", args.output, (suffix,))
    if paths.path(args.output).exists():
        raise UsageError(f"--output must be a new file. Received: {args.output}, which exists")
    model, checkpoint = loading.load_model(args.run_dir, args.stage, args.trust)
    calibration = None
    if args.precision == "int8":
        calibration = own_calibration(model, args.run_dir, args.calibration, args.trust)
    content = convert(model, args.precision, args.lowering == "on", calibration)
    check_size(content, model, args.precision)
    atomic.write_bytes(args.output, content)
    print(f"stage {checkpoint.stage}, step {checkpoint.step}: {args.output}, {len(content) / 1e6:.1f} MB")


def check_calibration(clips: str | None, precision: str) -> None:
    """Raises UsageError for calibration of anything but int8."""
    if clips and precision != "int8":
        raise UsageError(f"--calibration is for --precision=int8. Received: --precision={precision}")


def own_calibration(model: Any, run_dir: str, clips: str | None, trust: bool) -> Any:
    """The `calibration_inputs` of a run's model: of `clips`, or of what the run was trained on."""
    from tfvideogan.data.layouts import Form
    from tfvideogan.runs import run_folder

    run = run_folder.RunFolder.open(run_dir)
    options = run.config().data
    trained_on = run.own_data("--calibration", trust) if model.predicts and not clips else options.data
    return calibration_inputs(model, clips, trained_on, Form.of(options))


def check_precision(precision: str, lowering: bool) -> None:
    """Raises UsageError for int8 of 3D operations, which converters accept but runtimes compute in float."""
    if precision == "int8" and not lowering:
        raise UsageError("--precision=int8 needs --lowering=on: 3D convolutions have float kernels only")


def calibration_inputs(model: Any, clips: str | None, trained_on: str, form: Form | None = None) -> Any:
    """Latents [n, 100] from N(0, 1), or what predictors are called on for clips: first frames [n, H, W, 3] in [-1, 1].

    Args:
        clips: the data set of the frames, or None for `trained_on`.
        trained_on: the data set of the run.
        form: how arrays are read, by default by the rule.

    Raises:
        UsageError: there are no such clips, they have another size, or there are too few.
    """
    from export.probes import probe_inputs
    from tfvideogan.data.layouts import BY_RULE

    if not model.predicts:
        return probe_inputs(model, CALIBRATION_INPUTS, clips, CALIBRATION_SEED)
    flag = "--calibration" if clips else "--calibration (not given: the run's own clips)"
    return probe_inputs(model, CALIBRATION_INPUTS, clips or trained_on, flag=flag, form=form or BY_RULE)


def check_size(content: bytes, model: Any, precision: str) -> None:
    """Raises UsageError if a file is too small to hold the model's weights, as files of converters have been."""
    fault = size_fault(len(content), model, precision)
    if fault:
        raise UsageError(fault)


def size_fault(num_bytes: int, model: Any, precision: str) -> str | None:
    """Why so few bytes cannot hold the model's kernels, or None. All other weights may have been folded away."""
    variables = [variable for network in model.sampling_state().values() for variable in network]
    kernels = sum(variable.shape.num_elements() for variable in variables if variable.shape.rank > 1)
    if num_bytes < kernels * BYTES[precision]:
        return f"{num_bytes:,} bytes are too few for {kernels:,} weights in {precision}"
    return None
