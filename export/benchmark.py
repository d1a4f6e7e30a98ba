"""Times a folder of artefacts again, each in a fresh process, beside the machine's matrix product.

python -m export.benchmark --dir=exported/vgan --run_dir=runs/vgan --others

With --run_dir the table also says which share of the product's rate each form reaches. The
operations counted are those of the network's own 3D convolutions, so that a form that needs
fewer may pass 100 %. With --others the command also times what one would use instead: the run
in Keras, its 3D operators in TFLite and ONNX Runtime, and, if they are installed, PyTorch, and
OpenVINO on the folder's ONNX files and on the one of 3D operators. Figures
are of one clip: the median of the repeats, and of the rounds, in which all take turns, so that
a busy minute does not hit one of them alone. Differences from Keras and the share of float
operators are those that export.all wrote down. The command ends with status 1 if an artefact of
the folder cannot be run.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export import measure, processes
from export.report import FIGURES, FILE, PACKAGES, Row, from_json, markdown_table, processor
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.files import checksums, optional
from tfvideogan.metrics import speed
from tfvideogan.models import drift

FAILED = 1
NUM_INPUTS = 8
COLUMNS = ("artefact", "format", "precision", "form", *FIGURES, "difference at export", "in float", "share",
           "SHA-256")  # fmt: skip
NATIVE = ("tflite", "onnx")  # With --others the 3D operators of these formats are timed.
TIMED = ("load_s", "p50_ms", "p95_ms", "clips_per_s", "peak_memory_mb", "max_difference")

NEEDED_OF_REPORT = ("clip", "predicts", "stage", "weights_sha256")
NEEDED_OF_ACCEPTED = ("format", "lowered", "bytes", "sha256")


@dataclasses.dataclass(frozen=True)
class Contender:
    """Something to time: its line of the table, and the command with its options that times it."""

    row: Row
    command: str
    options: dict[str, Any]


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("dir", None, "folder that export.all made")
    cli.define_run()
    flags.DEFINE_bool(
        "others", False, "time Keras, 3D operators, PyTorch and OpenVINO too; needs --run_dir or --weights"
    )
    flags.DEFINE_integer("rounds", 2, "times that all are started", lower_bound=1)
    cli.define_timing()


def main() -> int:
    cli.require("dir")
    args = cli.flags.FLAGS
    if args.weights:
        cli.require_run()
    if args.others and not args.run_dir:
        raise UsageError("--others needs --run_dir: the network to make them of")
    report = read_report(Path(args.dir))
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    flops = flops_of(args.run_dir, report, args.trust) if args.run_dir else None
    with tempfile.TemporaryDirectory(prefix="tfvideogan-") as folder:
        inputs = Path(folder) / "inputs.npz"
        measure.save_inputs(inputs, inputs_of(report))
        artefacts = accepted(Path(args.dir), report)
        contenders = list(artefacts)
        if args.others:
            contenders += others(Path(folder), args.run_dir, report["stage"], args.trust)
            contenders += in_openvino(contenders)
        rates = [speed.matrix_product_rate(repeats=args.repeats)]
        rounds = [[timed(one, inputs, args.repeats, args.threads) for one in contenders] for _ in range(args.rounds)]
    rates.append(speed.matrix_product_rate(repeats=args.repeats))
    rows = [median(rows) for rows in zip(*rounds, strict=True)]
    print(f"{conditions(rates, args.threads)}\n\n{table(rows, flops, statistics.mean(rates))}")
    return FAILED if any(row.reason for row in rows[: len(artefacts)]) else 0


def conditions(rates: Sequence[float], threads: int) -> str:
    """On what the figures were measured, and which of them were not."""
    packages = ", ".join(f"{name} {version}" for name, version in optional.versions(PACKAGES).items())
    return (
        f"{processor()}, {threads} threads; {packages}\n"
        f"matrix product: {rates[0]:.0f} GFLOP/s in float32 before, {rates[1]:.0f} after; share: of their mean\n"
        "differences from Keras: those of the export, of PyTorch measured now"
    )


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a folder that export.all made. Raises UsageError if it is missing or lacks something needed."""
    try:
        report = from_json((folder / FILE).read_text(encoding="utf-8"))
        missing = [name for name in NEEDED_OF_REPORT if name not in report]
        rows = [row for row in report["artefacts"] if row.status == "accepted"]
        missing += [name for row in rows for name in NEEDED_OF_ACCEPTED if getattr(row, name) is None]
        if missing:
            raise ValueError(f"its {FILE} has no {', '.join(missing)}")
        return report
    except (KeyError, TypeError) as error:
        raise UsageError(f"--dir: its {FILE} is not one of export.all. Received: {folder}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"--dir must be a folder made by export.all. Received: {str(folder)!r}, {error}") from error


def accepted(folder: Path, report: dict[str, Any]) -> list[Contender]:
    """The artefacts of the report that were accepted.

    Raises:
        UsageError: a file is not the one that was checked, no artefact was accepted, or a package to run one is
            missing.
    """
    from export.check_parity import check_runtimes

    rows = [row for row in report["artefacts"] if row.status == "accepted"]
    for row in rows:
        path = folder / row.artefact
        if not path.exists() or checksums.sha256_of_tree(path) != row.sha256:
            raise UsageError(f"--dir: {path} is missing, or not the file that was checked when it was exported")
    if not rows:
        raise UsageError(f"--dir has no accepted artefact. Received: {folder}")
    check_runtimes(row.format for row in rows)
    return [Contender(row, "export.measure", {"artefact": folder / row.artefact}) for row in rows]


def others(folder: Path, run_dir: str, stage: int, trust: bool = False) -> list[Contender]:
    """What the artefacts are compared with; files of 3D operators are written to `folder`."""
    baseline = functools.partial(Row, format=None, precision="float32", lowered=False)
    run = {"run_dir": run_dir, "stage": stage, "trust": trust}
    keras = Contender(baseline("Keras"), "export.measure", {"artefact": run_dir, "stage": stage, "trust": trust})
    native = []
    for name in NATIVE:
        file = folder / f"native.{name}"
        row = baseline(f"{name}, 3D operators")
        try:
            processes.run(f"export.to_{name}", output=file, lowering="off", **run)
            row = dataclasses.replace(row, bytes=file.stat().st_size)
        except UsageError as error:  # The packages that make it are optional.
            row = dataclasses.replace(row, reason=str(error))
        native.append(Contender(row, "export.measure", {"artefact": file}))
    pytorch = [
        Contender(baseline(f"PyTorch, {layout}"), "export.torch_networks", run | {"layout": layout})
        for layout in ("contiguous_format", "channels_last_3d")
    ]
    return [keras, *native, *pytorch]


def in_openvino(contenders: Sequence[Contender]) -> list[Contender]:
    """For each contender that is an ONNX file, native or lowered, another one that is the same file in OpenVINO."""
    files = [one for one in contenders if Path(one.options.get("artefact", "")).suffix == ".onnx"]
    rows = [
        dataclasses.replace(one.row, artefact=f"OpenVINO, {one.row.artefact}", max_difference=None, psnr_db=None)
        for one in files
    ]
    return [Contender(row, "export.openvino_runtime", one.options) for row, one in zip(rows, files, strict=True)]


def timed(contender: Contender, inputs: Path, repeats: int, threads: int) -> Row:
    """The contender's row with figures of this moment, or with the reason why there are none."""
    row = contender.row
    if row.reason:
        return row
    try:
        figures = processes.run_for_json(
            contender.command, inputs=inputs, repeats=repeats, threads=threads, **contender.options
        )
    except UsageError as error:
        return dataclasses.replace(row, reason=str(error))
    return dataclasses.replace(row, **figures)


def inputs_of(report: dict[str, Any]) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Latents, or frames of noise, with their wind if it is taken; made of the report alone.

    How long a network takes does not depend on them.
    """
    random = np.random.default_rng(0)
    if not report["predicts"]:
        return random.standard_normal([NUM_INPUTS, 100]).astype(np.float32)
    frames = random.uniform(-1, 1, [NUM_INPUTS, *report["clip"][1:]]).astype(np.float32)
    if not report.get("takes_wind"):  # Reports of former versions do not tell.
        return frames
    return frames, np.tile(np.float32(drift.DEFAULT_WIND), [NUM_INPUTS, 1])


def flops_of(run_dir: str, report: dict[str, Any], trust: bool = False) -> float:
    """Floating-point operations a clip. Raises UsageError if the run's weights are not those that were exported."""
    from tfvideogan.runs import loading

    model, _ = loading.load_model(run_dir, report["stage"], trust)
    if loading.weights_sha256(model) != report["weights_sha256"]:
        raise UsageError(f"--run_dir has other weights than --dir was made of. Received: {run_dir}")
    return sum(speed.flops_per_clip(network) for network in model.sampling_networks.values())


def median(rows: Sequence[Row]) -> Row:
    """One row for all rounds of a contender: the medians of its figures, or the row of the first round that failed."""
    for row in rows:
        if row.reason:
            return row
    figures = {name: [getattr(row, name) for row in rows] for name in TIMED}
    medians = {name: statistics.median(values) for name, values in figures.items() if None not in values}
    return dataclasses.replace(rows[0], **medians)


def table(rows: Sequence[Row], flops: float | None, rate: float) -> str:
    """The rows in Markdown; the share is of `rate` in GFLOP/s. A row that failed has its reason for a format."""
    lines = []
    for row in rows:
        if row.reason:
            lines.append(dict.fromkeys(COLUMNS, "-") | {"artefact": row.artefact, "format": row.reason})
            continue
        cells = row.cells()
        share = f"{flops / row.p50_ms / 1e6 / rate:.0%}" if flops else "-"
        lines.append(cells | {"difference at export": cells["difference"], "share": share})
    return markdown_table(COLUMNS, lines)


if __name__ == "__main__":
    cli.run(define_flags, main)
