"""What an export tells about itself: export_report.json, and its table in Markdown."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfvideogan.models.adversarial import AdversarialModel
    from tfvideogan.runs.run_folder import Checkpoint

Row = dict[str, Any]
RUNTIMES = {"saved_model": "tensorflow", "tflite": "ai-edge-litert", "onnx": "onnxruntime"}
PACKAGES = (
    "tfvideogan", "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "torch", "numpy",
)  # fmt: skip
FPS = 12  # at which this package plays clips


def describe(
    model: AdversarialModel,
    run_dir: str,
    checkpoint: Checkpoint,
    rows: Sequence[Row],
    threads: int,
    checked_on: str,
) -> dict[str, Any]:
    """The whole report, ready for JSON: what was exported, from what, where it was measured, and a row an artefact.

    Args:
        checked_on: "latents", or the data set that artefacts were compared with Keras on.
    """
    from tfvideogan.inference import runtimes
    from tfvideogan.runs import loading, run_folder

    config = run_folder.RunFolder.open(run_dir).config()
    return {
        "model": config.model.model,
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "weights_sha256": loading.weights_sha256(model),
        "data": config.data.data,
        "checked_on": checked_on,
        "predicts": model.predicts,
        "clip": list(model.clip_shape),
        "fps": FPS,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": runtimes.cores(), "threads": threads},
        "versions": versions(),
        "artefacts": list(rows),
    }


def versions() -> dict[str, str]:
    """Of Python and the packages that make and run artefacts, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def markdown_table(rows: Sequence[Row]) -> str:
    """A line an artefact; what failed has its reason in place of figures."""
    header = ("artefact", "format", "precision", "form", "size MB", "p50 ms", "p95 ms", "clips/s", "memory MB",
              "difference", "in float", "runtime", "SHA-256", "status")  # fmt: skip
    lines = [header, ("---",) * len(header), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(row: Row) -> tuple[str, ...]:
    known = versions()
    runtime = RUNTIMES[row["format"]]

    def figure(name: str, form: str, scale: float = 1.0) -> str:
        return format(row[name] * scale, form) if row.get(name) is not None else "-"

    return (
        f"`{row['artefact']}`", row["format"], row["precision"], "2D" if row["lowered"] else "3D",
        figure("bytes", ".1f", 1e-6), figure("p50_ms", ".1f"), figure("p95_ms", ".1f"), figure("clips_per_s", ".1f"),
        figure("peak_memory_mb", ".0f"),
        f"{figure('psnr_db', '.1f')} dB" if row["precision"] == "int8" else figure("max_difference", ".1e"),
        figure("float_share", ".0%"), f"{runtime} {known.get(runtime, '')}".strip(),
        f"`{row['sha256'][:12]}`" if "sha256" in row else "-",
        row["status"] + (f": {row['reason']}".replace("|", "/") if row["reason"] else ""),
    )  # fmt: skip
