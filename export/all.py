"""Exports a run to every format, each artefact checked against Keras and timed, with a report and a model card.

python -m export.all --run_dir=runs/vgan --output=exported/vgan

Artefacts that are rejected are moved to OUTPUT/rejected. An artefact that fails does not stop the
others. In both cases the command ends with status 1.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import conversion, model_card, processes
from export.report import FILE, Row, describe, table_of_rows, to_json
from tfvideogan import cli
from tfvideogan.config import UsageError

if TYPE_CHECKING:
    from export.check_parity import Reference
    from tfvideogan.models.adversarial import AdversarialModel
    from tfvideogan.runs.run_folder import Checkpoint, RunFolder

logger = logging.getLogger("tfvideogan.export")

FAILED = 1
PRECISIONS = ("float32", "float16", "int8")
_COMPLETE = "made"  # The export is this folder of a temporary one until it is complete.
# The folder in the output where artefacts of a status lie.
PLACES = {"accepted": Path(), "rejected": Path("rejected")}


@dataclasses.dataclass(frozen=True)
class Format:
    """How a format is made.

    Attributes:
        command: the command that makes it.
        suffix: the end of its files' names; none for SavedModels, which are folders.
        precisions: the precisions that it can have.
        converters: the packages that make it, by module, beside those that run it.
    """

    command: str
    suffix: str
    precisions: tuple[str, ...]
    converters: dict[str, str]


FORMATS = {
    "saved_model": Format("export.to_saved_model", "", ("float32",), {}),
    "tflite": Format("export.to_tflite", ".tflite", PRECISIONS, {}),
    "onnx": Format("export.to_onnx", ".onnx", PRECISIONS, {"tf2onnx": "tf2onnx"}),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """One artefact to make. Its file, or folder, is relative to the output."""

    format: str
    precision: str
    lowered: bool
    file: Path

    def make(self, folder: Path, run_dir: str, stage: int, calibration: str | None, trust: bool = False) -> None:
        """Writes the artefact to `folder` in a process of its own. Raises UsageError if that process fails."""
        options = {"run_dir": run_dir, "stage": stage, "trust": trust, "lowering": "on" if self.lowered else "off"}
        if self.format == "saved_model":
            options["output"] = folder / self.file.parent  # The command itself makes the folder of the version.
        else:
            options |= {"output": folder / self.file, "precision": self.precision}
        if self.precision == "int8":
            options["calibration"] = calibration
        processes.run(FORMATS[self.format].command, **options)


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("output", None, "folder to make; it must not exist yet")
    flags.DEFINE_list("formats", list(FORMATS), "formats to make")
    flags.DEFINE_list("precisions", list(PRECISIONS), "precisions to make; SavedModels are of float32")
    flags.DEFINE_enum("lowering", "on", ["on", "off"], "2D operations in place of 3D ones (see docs/performance.md)")
    cli.define_stage()
    flags.DEFINE_string("calibration", None, "predictors: the clips that int8 is calibrated and all is checked on, a "
                        "data set as --data of tfvideogan.train (default: the run's own)")  # fmt: skip
    cli.define_timing()


def main() -> int:
    cli.require_run("output")
    args = cli.flags.FLAGS
    _check_flags(args)
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    _check_packages(args.formats)
    from tfvideogan.files import atomic, paths
    from tfvideogan.runs import loading, run_folder

    output = paths.path(args.output)
    if output.exists():
        raise UsageError(f"--output must not exist yet. Received: {output}")
    atomic.check_folder("output", output.parent)
    run = run_folder.RunFolder.open(args.run_dir)
    jobs = _jobs(run.config().model.model, args)
    model, checkpoint = loading.load_model(args.run_dir, args.stage, args.trust)
    if model.predicts and not args.calibration:
        run.own_data("--calibration", args.trust)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=_beside(output)) as beside:
        rows = _make_all(Path(beside), run, model, checkpoint, jobs, args)
        output.parent.mkdir(parents=True, exist_ok=True)
        paths.publish(Path(beside) / _COMPLETE, output)
    num_accepted = sum(row.status == "accepted" for row in rows)
    print(f"{table_of_rows(rows)}\n{num_accepted} of {len(rows)} artefacts accepted: {output}/")
    return 0 if num_accepted == len(rows) else FAILED


def _make_all(
    beside: Path, run: RunFolder, model: AdversarialModel, checkpoint: Checkpoint, jobs: Sequence[Job], args: Any
) -> list[Row]:
    """Makes the whole export as a folder in `beside`, with its report and its model card; returns the report's rows.

    Raises:
        UsageError: the run was trained on meanwhile, so that artefacts may be of different weights.
    """
    from export.check_parity import Reference
    from tfvideogan.data.layouts import Form

    data = run.config().data
    reference = Reference(model, beside, args.calibration, data.data, "--calibration", Form.of(data))
    folder = beside / _COMPLETE
    folder.mkdir()
    rows = [_make(job, folder, reference, checkpoint.stage, args) for job in jobs]
    if run.latest(checkpoint.stage) != checkpoint:  # Each process has loaded the one that was newest then.
        raise UsageError(f"--run_dir: {checkpoint.path} was no longer the newest checkpoint when all was made; "
                         "export again when nothing trains there")  # fmt: skip
    report = describe(model, args.run_dir, checkpoint, rows, args.threads, reference.checked_on)
    (folder / FILE).write_text(to_json(report), encoding="utf-8")
    (folder / "README.md").write_text(model_card.model_card(report), encoding="utf-8")
    return rows


def _beside(output: Any) -> Path | None:
    """The nearest folder above `output` that exists, so that publishing is a rename; None for remote outputs."""
    from tfvideogan.files import paths

    if paths.is_remote(output):
        return None
    return next(folder for folder in Path(output).absolute().parents if folder.exists())


def _check_flags(args: Any) -> None:
    """Raises UsageError for formats and precisions that do not exist."""
    for flag, names, choices in (("formats", args.formats, FORMATS), ("precisions", args.precisions, PRECISIONS)):
        if not names or set(names) - set(choices):
            raise UsageError(f"--{flag} must be among {','.join(choices)}. Received: {','.join(names)}")


def _check_packages(formats: Sequence[str]) -> None:
    """Raises UsageError if a package is missing that makes or runs one of these formats."""
    from export.check_parity import check_runtimes
    from tfvideogan.files import optional

    check_runtimes(formats)
    for name in formats:
        for module, package in FORMATS[name].converters.items():
            optional.package(module, package)


def _jobs(model: str, args: Any) -> list[Job]:
    """The artefacts to make of the formats and precisions that were asked for. Raises UsageError if there is none."""
    jobs, in_float, left_out = [], [], []
    lowered = args.lowering == "on"
    for name in dict.fromkeys(args.formats):
        suffix = FORMATS[name].suffix
        precisions = [precision for precision in FORMATS[name].precisions if precision in args.precisions]
        if "int8" in precisions and not lowered:
            precisions.remove("int8")
            in_float.append(name)
        elif not precisions:
            left_out.append(name)
        for precision in precisions:
            file = f"{model}_{precision}{suffix}" if suffix else f"{model}/1"
            jobs.append(Job(name, precision, lowered, Path(file)))
    if not jobs and in_float:
        conversion.check_precision("int8", lowering=False)
    if not jobs:
        raise UsageError(f"--precisions of {','.join(args.formats)} do not include {','.join(args.precisions)}")
    for name in in_float:
        logger.warning("%s, int8 is left out: there are no integer kernels for 3D operations", name)
    for name in left_out:
        logger.warning("%s is left out: its precisions do not include %s", name, ",".join(args.precisions))
    return jobs


def _make(job: Job, folder: Path, reference: Reference, stage: int, args: Any) -> Row:
    """Makes one artefact, checks it and moves it to its place in `folder`. Returns its row of the report."""
    logger.info("%s, %s", job.format, job.precision)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unchecked:
        try:
            job.make(Path(unchecked), args.run_dir, stage, args.calibration, args.trust)
            row = reference.check(Path(unchecked) / job.file, job.precision, args.repeats, args.threads)
            place = PLACES[row.status]
            (folder / place).mkdir(exist_ok=True)
            top = job.file.parts[0]  # A SavedModel is moved with the folder around its version.
            (Path(unchecked) / top).rename(folder / place / top)
            row = dataclasses.replace(row, artefact=str(place / job.file), lowered=job.lowered)
        except UsageError as error:
            row = Row(str(job.file), job.format, job.precision, job.lowered, status="failed", reason=str(error))
    if row.status != "accepted":
        logger.warning("%s, %s, %s: %s", job.format, job.precision, row.status, row.reason)
    return row


if __name__ == "__main__":
    cli.run(define_flags, main)
