"""What an export says of itself: export_report.json, its rows, and their table in Markdown."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfvideogan.files import optional

if TYPE_CHECKING:
    from tfvideogan.models.adversarial import AdversarialModel
    from tfvideogan.runs.run_folder import Checkpoint

FILE = "export_report.json"
RUNTIMES = {"saved_model": "tensorflow", "tflite": "ai-edge-litert", "onnx": "onnxruntime"}
# These make artefacts and run them.
PACKAGES = (
    "tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "torch", "numpy",
)  # fmt: skip
FPS = 12  # This package plays clips at so many frames a second.
FIGURES = ("size MB", "p50 ms", "p95 ms", "clips/s", "memory MB")  # All tables have these columns.
COLUMNS = ("artefact", "format", "precision", "form", *FIGURES, "difference", "in float", "on a GPU", "runtime",
           "SHA-256", "status")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One artefact: how it was made and what was measured of it. None stands for what was not measured.

    Attributes:
        artefact: the path in the folder of the export, or a name for what is no artefact and is timed beside them.
        format: saved_model, tflite or onnx; None for what is no artefact.
        precision: float32, float16 or int8.
        lowered: whether 2D operations replace the 3D ones.
        bytes: the size of the file, or of all files of a SavedModel.
        sha256: the checksum of the file, or of the SavedModel's folder.
        load_s: the seconds that the runtime needed to load it.
        p50_ms, p95_ms: the median and the 95th percentile of the milliseconds for one clip.
        clips_per_s: one clip divided by the median.
        repeats: how often one clip was timed.
        peak_memory_mb: the most memory that the runtime's process held, in MiB.
        max_difference: the largest absolute difference from Keras, whose values are in [-1, 1].
        psnr_db: the PSNR to Keras in dB, with a peak of 2.
        float_share: the share, 0 to 1, of the products of an int8 artefact that are computed in float.
        gpu_share: the share, 0 to 1, of the operators of a TFLite file that a delegate for GPUs takes.
        status: accepted, rejected or failed.
        reason: why an artefact was not accepted, or could not be timed.
    """

    artefact: str
    format: str | None
    precision: str
    lowered: bool | None = None
    bytes: int | None = None
    sha256: str | None = None
    load_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    clips_per_s: float | None = None
    repeats: int | None = None
    peak_memory_mb: float | None = None
    max_difference: float | None = None
    psnr_db: float | None = None
    float_share: float | None = None
    gpu_share: float | None = None
    status: str | None = None
    reason: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Row:
        """The row that this object of a report's JSON stands for. Raises TypeError if it is none."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values[name] for name in names if name in values})

    def cells(self) -> dict[str, str]:
        """What the columns of a table say of it; `-` where nothing was measured."""
        by_psnr = self.precision == "int8"
        return {
            "artefact": self.artefact,
            "format": self.format or "-",
            "precision": self.precision,
            "form": "2D" if self.lowered else "3D",
            "size MB": _figure(self.bytes, ".1f", scale=1e-6),
            "p50 ms": _figure(self.p50_ms, ".1f"),
            "p95 ms": _figure(self.p95_ms, ".1f"),
            "clips/s": _figure(self.clips_per_s, ".1f"),
            "memory MB": _figure(self.peak_memory_mb, ".0f"),
            "difference": _figure(self.psnr_db, ".1f", unit=" dB") if by_psnr else _figure(self.max_difference, ".1e"),
            "in float": _figure(self.float_share, ".0%"),
            "on a GPU": _figure(self.gpu_share, ".1%"),
            "SHA-256": f"`{self.sha256[:12]}`" if self.sha256 else "-",
        }


def describe(
    model: AdversarialModel,
    run_dir: str,
    checkpoint: Checkpoint,
    rows: Sequence[Row],
    threads: int,
    checked_on: str,
) -> dict[str, Any]:
    """The whole report: what was exported, from which weights, where it was measured, and a `Row` for each artefact.

    Args:
        checked_on: "latents", or the data set on which the artefacts were compared with Keras.
    """
    from tfvideogan.inference import openers
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
        "takes_wind": model.takes_wind,
        "clip": list(model.clip_shape),
        "fps": FPS,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": openers.cores(), "threads": threads},
        "versions": optional.versions(PACKAGES),
        "artefacts": list(rows),
    }


def to_json(report: dict[str, Any]) -> str:
    """The report as the text of export_report.json."""
    return json.dumps(report, indent=2, default=dataclasses.asdict) + "\n"


def from_json(text: str) -> dict[str, Any]:
    """The report that `to_json` has made this text of. Raises KeyError, TypeError or ValueError for other texts."""
    report = json.loads(text)
    return report | {"artefacts": [Row.of(values) for values in report["artefacts"]]}


def processor() -> str:
    """The name of the processor, or of its architecture where the system does not tell more."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def table_of_rows(rows: Iterable[Row]) -> str:
    """A table with a line for each artefact; one that failed has its reason in place of figures."""
    installed = optional.versions(PACKAGES)
    lines = []
    for row in rows:
        runtime = RUNTIMES[row.format]
        lines.append(row.cells() | {
            "artefact": f"`{row.artefact}`",
            "runtime": f"{runtime} {installed.get(runtime, '')}".strip(),
            "status": f"{row.status}: {row.reason}" if row.reason else row.status,
        })  # fmt: skip
    return markdown_table(COLUMNS, lines)


def markdown_table(columns: Sequence[str], lines: Iterable[Mapping[str, str]]) -> str:
    """A table in Markdown of lines that give a text for each column."""
    cells = [columns, ["---"] * len(columns), *([line[name].replace("|", "/") for name in columns] for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _figure(value: float | None, form: str, scale: float = 1.0, unit: str = "") -> str:
    return "-" if value is None else format(value * scale, form) + unit
