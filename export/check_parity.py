"""Holds exported artefacts against Keras, each reloaded by its own runtime in a fresh process: one JSON line each.

python -m export.check_parity --run_dir=runs/vgan --artefact=vgan_int8.tflite,exported/vgan

Ends with status 1 if one is rejected: it cannot be run, differs too much, or is too small to hold the weights.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import conversion
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.files import checksums, optional
from tfvideogan.inference import runtimes

if TYPE_CHECKING:
    from tfvideogan.models.adversarial import AdversarialModel

REJECTED = 1
NUM_INPUTS = 8
RUNTIMES = {  # packages by module, for each format that TensorFlow does not run; onnx tells what an int8 file computes
    "tflite": {"ai_edge_litert.interpreter": "ai-edge-litert"},
    "onnx": {"onnxruntime": "onnxruntime", "onnx": "onnx"},
}
LARGEST_DIFFERENCE = {"float32": 1e-4, "float16": 5e-3}  # on [-1, 1]
SMALLEST_PSNR = 38.0  # dB, of int8


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of the run that was exported")
    flags.DEFINE_list("artefact", None, "SavedModel folders, .tflite and .onnx files, with commas between them; names "
                      "that end in _float16 or _int8 are of that precision, others of float32")  # fmt: skip
    cli.define_stage()
    flags.DEFINE_string("clips", None, "predictors: a data set whose first frames to predict from, as --data of "
                        "tfvideogan.train (default: the run's own)")  # fmt: skip
    cli.define_timing()


def main() -> int:
    cli.require("run_dir", "artefact")
    args = cli.flags.FLAGS
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    from tfvideogan.runs import loading, run_folder

    artefacts = [Path(name) for name in args.artefact]
    for artefact in artefacts:
        if not artefact.exists():
            raise UsageError(f"--artefact: no such file or folder. Received: {artefact}")
        if artefact.is_dir() and not runtimes.saved_model_folder(artefact):
            raise UsageError(f"--artefact: a folder, but of no SavedModel. Received: {artefact}")
    check_runtimes(map(format_of, artefacts))
    model, _ = loading.load_model(args.run_dir, args.stage)
    trained_on = run_folder.RunFolder.open(args.run_dir).config().data.data
    with tempfile.TemporaryDirectory(prefix="tfvideogan-") as folder:
        reference = Reference(model, Path(folder), args.clips, trained_on)
        rows = [reference.check(path, precision_of(path), args.repeats, args.threads) for path in artefacts]
    for row in rows:
        print(json.dumps(row))
    return REJECTED if any(row["status"] != "accepted" for row in rows) else 0


def check_runtimes(formats: Iterable[str]) -> None:
    """Raises UsageError for a package that runs one of these formats and is missing."""
    for name in formats:
        for module, package in RUNTIMES.get(name, {}).items():
            optional.package(module, package)


class Reference:
    """What Keras computes from eight inputs, and artefacts compared with it.

    Args:
        model: the model that was exported.
        folder: for files that the processes share.
        clips: for predictors, a data set for the inputs; the run's own if None.
        trained_on: the run's own.
        flag: that `clips` come from, for messages.

    Attributes:
        checked_on: "latents", or the data set that the inputs are of.

    Raises:
        UsageError: those of `held_out_inputs`.
    """

    def __init__(
        self, model: AdversarialModel, folder: Path, clips: str | None, trained_on: str, flag: str = "--clips"
    ):
        from export.probes import held_out_inputs

        skip = conversion.CALIBRATION_INPUTS
        inputs, self.checked_on = held_out_inputs(model, NUM_INPUTS, clips, trained_on, skip, flag)
        self.expected = np.concatenate([model(row[None], training=False)["clip"] for row in inputs])
        self._model = model
        self._folder = folder
        np.save(folder / "inputs.npy", inputs)

    def check(self, artefact: Path, precision: str, repeats: int = 20, threads: int = 2) -> dict[str, Any]:
        """A row of the report: size, checksum, difference, speed, `status` accepted or rejected with a `reason`."""
        from export import measure, operators

        given, artefact = artefact, runtimes.saved_model_folder(artefact) or artefact  # what will be run
        name = str(artefact.relative_to(given.parent))
        row = {"artefact": name, "format": format_of(artefact), "precision": precision}
        row |= {
            "bytes": sum(file.stat().st_size for file in checksums.files_of_tree(artefact)),
            "sha256": checksums.sha256_of_tree(artefact),
        }
        outputs = self._folder / "outputs.npz"
        try:
            row |= measure.measure(artefact, self._folder / "inputs.npy", outputs, repeats, threads)
            row |= self._difference(np.load(outputs))
            row["float_share"] = operators.float_share(artefact) if precision == "int8" else None
            reason = self._fault(row)
        except UsageError as error:
            reason = str(error)
        return row | {"status": "rejected" if reason else "accepted", "reason": reason}

    def _difference(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        """Over both sizes of batch: the largest difference, and the PSNR in dB (peak 2)."""
        if any(video.shape != self.expected.shape for video in outputs.values()):
            shapes = [list(video.shape) for video in outputs.values()]
            raise UsageError(f"gives {shapes} where Keras gives {list(self.expected.shape)}")
        errors = np.stack([video - self.expected for video in outputs.values()]).astype(np.float64)
        if not np.isfinite(errors).all():
            raise UsageError("gives values that are not finite")
        mse = max(float(np.mean(errors**2)), 1e-20)
        return {"max_difference": float(np.abs(errors).max()), "psnr_db": 10 * math.log10(4 / mse)}

    def _fault(self, row: dict[str, Any]) -> str | None:
        """Why an artefact is rejected, or None."""
        too_small = conversion.size_fault(row["bytes"], self._model, row["precision"])
        if too_small:
            return too_small
        if row.get("float_share"):
            return f"computes {row['float_share']:.0%} of its convolutions in float"
        limit = LARGEST_DIFFERENCE.get(row["precision"])
        if limit is not None and row["max_difference"] > limit:
            return f"differs from Keras by {row['max_difference']:.2g}, more than {limit:g}"
        if limit is None and row["psnr_db"] < SMALLEST_PSNR:
            return f"PSNR to Keras is {row['psnr_db']:.1f} dB, less than {SMALLEST_PSNR:g}"
        return None


def precision_of(artefact: Path) -> str:
    """The precision that a name ends in, float32 if in none."""
    last = artefact.stem.rpartition("_")[2]
    return last if last in conversion.BYTES else "float32"


def format_of(artefact: Path) -> str:
    return artefact.suffix[1:] if artefact.suffix in (".tflite", ".onnx") else "saved_model"


if __name__ == "__main__":
    cli.run(define_flags, main)
