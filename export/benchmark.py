"""Times a folder of artefacts again, each in a fresh process, beside the machine's matrix product.

python -m export.benchmark --dir=exported/vgan --run_dir=runs/vgan --others

With --run_dir it also says which share of the product's rate each form reaches, the network's
operations counted as its own 3D convolutions: a form that does with fewer may pass 100 %. With
--others it times what one would use else: the run in Keras, its 3D operators in TFLite and ONNX
Runtime, and PyTorch if it is installed. Figures are of one clip: the median of the repeats, and
of the rounds, in which all take turns, so that a busy minute does not hit one of them alone.
Differences from Keras and the share of float operators are those that export.all wrote down.
Ends with status 1 if an artefact of the folder cannot be run.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from export import measure, processes
from export import report as reports
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.files import checksums
from tfvideogan.metrics import speed

FAILED = 1
NUM_INPUTS = 8
HEADER = ("artefact", "format", "precision", "form", "size MB", "p50 ms", "p95 ms", "clips/s", "memory MB",
          "difference at export", "in float", "share", "SHA-256")  # fmt: skip
NATIVE = ("tflite", "onnx")  # formats whose 3D operators --others times

OF_REPORT = ("artefacts", "clip", "predicts", "stage", "weights_sha256")
OF_ACCEPTED = ("artefact", "bytes", "format", "lowered", "precision", "sha256")

Row = dict[str, Any]


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("dir", None, "folder that export.all made")
    flags.DEFINE_string("run_dir", None, "folder of the run that was exported")
    flags.DEFINE_bool("others", False, "time Keras, 3D operators and PyTorch too; needs --run_dir")
    flags.DEFINE_integer("rounds", 2, "times that all are started", lower_bound=1)
    cli.define_timing()


def main() -> int:
    cli.require("dir")
    args = cli.flags.FLAGS
    if args.others and not args.run_dir:
        raise UsageError("--others needs --run_dir: the network to make them of")
    report = read_report(Path(args.dir))
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    flops = flops_of(args.run_dir, report) if args.run_dir else None
    with tempfile.TemporaryDirectory(prefix="tfvideogan-") as folder:
        inputs = Path(folder) / "inputs.npy"
        np.save(inputs, inputs_of(report))
        rows = accepted(Path(args.dir), report)
        own = len(rows)
        if args.others:
            rows += others(Path(folder), args.run_dir, report["stage"])
        rates = [speed.matrix_product_rate()]
        rounds = [[time_row(row, inputs, args) for row in rows] for _ in range(args.rounds)]
    rates.append(speed.matrix_product_rate())
    print(f"{conditions(rates, args.threads)}\n\n{table(rows, rounds, flops, statistics.mean(rates))}")
    return FAILED if any("reason" in timed for one in rounds for timed in one[:own]) else 0


def conditions(rates: list[float], threads: int) -> str:
    """What the figures were taken on, and what those are that were not."""
    versions = ", ".join(f"{name} {version}" for name, version in reports.versions().items())
    return (
        f"{reports.processor()}, {threads} threads; {versions}\n"
        f"matrix product: {rates[0]:.0f} GFLOP/s in float32 before, {rates[1]:.0f} after; share: of their mean\n"
        "differences from Keras: those of the export, of PyTorch measured now"
    )


def read_report(folder: Path) -> Row:
    """The folder's export_report.json. Raises UsageError if there is none, or not all of it that is needed."""
    try:
        report = json.loads((folder / "export_report.json").read_text(encoding="utf-8"))
        accepted_rows = [row for row in report["artefacts"] if row["status"] == "accepted"]
        pairs = [(report, OF_REPORT), *((row, OF_ACCEPTED) for row in accepted_rows)]
        missing = [name for part, names in pairs for name in names if name not in part]
        if missing:
            raise ValueError(f"its export_report.json has no {', '.join(missing)}")
        return report
    except (KeyError, TypeError) as error:
        raise UsageError(f"--dir: its export_report.json is not one of export.all. Received: {folder}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"--dir must be a folder made by export.all. Received: {str(folder)!r}, {error}") from error


def accepted(folder: Path, report: Row) -> list[Row]:
    """The report's accepted artefacts, with their paths.

    Raises:
        UsageError: a file is not the one that was checked, there is none, or a package to run them is missing.
    """
    from export.check_parity import check_runtimes

    rows = [row | {"path": folder / row["artefact"]} for row in report["artefacts"] if row["status"] == "accepted"]
    for row in rows:
        if not row["path"].exists() or checksums.sha256_of_tree(row["path"]) != row["sha256"]:
            raise UsageError(f"--dir: {row['path']} is missing, or not the file that was checked when it was exported")
    if not rows:
        raise UsageError(f"--dir has no accepted artefact. Received: {folder}")
    check_runtimes(row["format"] for row in rows)
    return rows


def others(folder: Path, run_dir: str, stage: int) -> list[Row]:
    """Rows of what the artefacts are to be compared with; 3D files are made in `folder`."""
    rows: list[Row] = [{"artefact": "Keras", "lowered": False, "path": Path(run_dir), "stage": stage}]
    for name in NATIVE:
        path = folder / f"native.{name}"
        row = {"artefact": f"{name}, 3D operators", "lowered": False, "path": path}
        try:
            processes.run(f"export.to_{name}", run_dir=run_dir, output=path, lowering="off", stage=stage)
            rows.append(row | {"bytes": path.stat().st_size})
        except UsageError as error:  # its packages are optional
            rows.append(row | {"reason": str(error)})
    layouts = ("contiguous_format", "channels_last_3d")
    pytorch = {"lowered": False, "path": None, "run_dir": run_dir, "stage": stage}
    return rows + [pytorch | {"artefact": f"PyTorch, {layout}", "layout": layout} for layout in layouts]


def time_row(row: Row, inputs: Path, args: Any) -> Row:
    """Figures of one artefact, or why there are none."""
    if row.get("reason"):
        return {"reason": row["reason"]}
    try:
        if row["path"] is not None:
            stage = row.get("stage")  # of a run folder
            return measure.measure(row["path"], inputs, None, args.repeats, args.threads, stage)
        options = {name: row[name] for name in ("run_dir", "stage", "layout")}
        output = processes.run(
            "export.torch_networks", inputs=inputs, repeats=args.repeats, threads=args.threads, **options
        )
        return json.loads(output.splitlines()[-1])
    except UsageError as error:
        return {"reason": str(error)}


def inputs_of(report: Row) -> np.ndarray:
    """Latents or noise frames, from the report alone: what is timed does not depend on what is in them."""
    random = np.random.default_rng(0)
    if not report["predicts"]:
        return random.standard_normal([NUM_INPUTS, 100]).astype(np.float32)
    return random.uniform(-1, 1, [NUM_INPUTS, *report["clip"][1:]]).astype(np.float32)


def flops_of(run_dir: str, report: Row) -> float:
    """Floating-point operations a clip. Raises UsageError if the run's weights are not those that were exported."""
    from tfvideogan.runs import loading

    model, _ = loading.load_model(run_dir, report["stage"])
    if loading.weights_sha256(model) != report["weights_sha256"]:
        raise UsageError(f"--run_dir has other weights than --dir was made of. Received: {run_dir}")
    return sum(speed.flops_per_clip(network) for network in model.sampling_networks.values())


def table(rows: list[Row], rounds: list[list[Row]], flops: float | None, rate: float) -> str:
    """Markdown: a line a row, its figures the medians over the rounds."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for row, timed in zip(rows, zip(*rounds, strict=True), strict=True):
        reason = next((one["reason"] for one in timed if "reason" in one), None)
        lines.append(_cells(row, timed, flops, rate) if reason is None else _failed(row, reason))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row, timed: tuple[Row, ...], flops: float | None, rate: float) -> tuple[str, ...]:
    found = {name: statistics.median(one[name] for one in timed) for name in timed[0] if timed[0][name] is not None}
    share = f"{flops / found['p50_ms'] / 1e6 / rate:.0%}" if flops else "-"
    difference = row.get("max_difference", found.get("max_difference"))
    known = f"{difference:.1e}" if difference is not None else "-"
    in_float = row.get("float_share")
    return (
        row["artefact"], row.get("format", "-"), row.get("precision", "float32"),
        "2D" if row["lowered"] else "3D", f"{row['bytes'] / 1e6:.1f}" if "bytes" in row else "-",
        *(f"{found[name]:.1f}" for name in ("p50_ms", "p95_ms", "clips_per_s")),
        f"{found['peak_memory_mb']:.0f}" if "peak_memory_mb" in found else "-",
        f"{row['psnr_db']:.1f} dB" if row.get("precision") == "int8" else known,
        f"{in_float:.0%}" if in_float is not None else "-", share,
        f"`{row['sha256'][:12]}`" if "sha256" in row else "-",
    )  # fmt: skip


def _failed(row: Row, reason: str) -> tuple[str, ...]:
    return (row["artefact"], reason.replace("|", "/"), *["-"] * (len(HEADER) - 2))


if __name__ == "__main__":
    cli.run(define_flags, main)
