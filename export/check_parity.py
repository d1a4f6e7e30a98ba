"""Compares exported artefacts with Keras, each reloaded by its own runtime in a fresh process: a JSON line for each.

python -m export.check_parity --run_dir=runs/vgan --artefact=vgan_int8.tflite,exported/vgan

The command ends with status 1 if an artefact is rejected: it cannot be run, differs too much
from Keras, or is too small to hold the weights.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import conversion, measure, processes
from export.report import Row
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.files import checksums, optional
from tfvideogan.inference import openers

if TYPE_CHECKING:
    from tfvideogan.models.adversarial import AdversarialModel

REJECTED = 1
NUM_INPUTS = 8
# TensorFlow runs SavedModels. For each other format, these are the packages to run it, by module; the package onnx
# says which products of an int8 file are computed in integers.
RUNTIMES = {
    "tflite": {"ai_edge_litert.interpreter": "ai-edge-litert"},
    "onnx": {"onnxruntime": "onnxruntime", "onnx": "onnx"},
}
LARGEST_DIFFERENCE = {"float32": 1e-4, "float16": 5e-3}  # Values are in [-1, 1].
SMALLEST_PSNR = 38.0  # This limit, in dB, is that of int8.


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_list("artefact", None, "SavedModel folders, .tflite and .onnx files, with commas between them; names "
                      "that end in _float16 or _int8 are of that precision, others of float32")  # fmt: skip
    cli.define_stage()
    flags.DEFINE_string("clips", None, "predictors: a data set whose first frames to predict from, as --data of "
                        "tfvideogan.train (default: the run's own)")  # fmt: skip
    cli.define_timing()


def main() -> int:
    cli.require_run("artefact")
    args = cli.flags.FLAGS
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    from tfvideogan.runs import loading, run_folder

    artefacts = [Path(name) for name in args.artefact]
    for artefact in artefacts:
        if not artefact.exists():
            raise UsageError(f"--artefact: no such file or folder. Received: {artefact}")
        if artefact.is_dir() and not openers.saved_model_folder(artefact):
            raise UsageError(f"--artefact: a folder, but of no SavedModel. Received: {artefact}")
    check_runtimes(map(format_of, artefacts))
    model, _ = loading.load_model(args.run_dir, args.stage, args.trust)
    run = run_folder.RunFolder.open(args.run_dir)
    options = run.config().data
    trained_on = run.own_data("--clips", args.trust) if model.predicts and not args.clips else options.data
    with tempfile.TemporaryDirectory(prefix="tfvideogan-") as folder:
        reference = Reference(model, Path(folder), args.clips, trained_on, form=Form.of(options))
        rows = [reference.check(path, precision_of(path), args.repeats, args.threads) for path in artefacts]
    for row in rows:
        print(json.dumps(dataclasses.asdict(row)))
    return REJECTED if any(row.status != "accepted" for row in rows) else 0


def check_runtimes(formats: Iterable[str]) -> None:
    """Raises UsageError if a package is missing that runs one of these formats."""
    for name in formats:
        for module, package in RUNTIMES.get(name, {}).items():
            optional.package(module, package)


class Reference:
    """What Keras computes from eight inputs, with which artefacts are compared.

    Args:
        model: the model that was exported.
        folder: a folder for files that the processes share.
        clips: for predictors, the data set of the inputs, or None for the run's own.
        trained_on: the data set of the run.
        flag: the flag that `clips` come from, for messages.
        form: how arrays are read.

    Attributes:
        checked_on: "latents", or the data set that the inputs were taken from.

    Raises:
        UsageError: those of `probes.held_out_inputs`.
    """

    def __init__(
        self,
        model: AdversarialModel,
        folder: Path,
        clips: str | None,
        trained_on: str,
        flag: str = "--clips",
        form: Form = BY_RULE,
    ):
        from export.probes import held_out_inputs
        from tfvideogan.inference import sampling

        skip = conversion.CALIBRATION_INPUTS
        inputs, self.checked_on = held_out_inputs(model, NUM_INPUTS, clips, trained_on, skip, flag, form)
        self.expected = np.concatenate([outputs["clip"] for outputs in sampling.sample(model, _one_by_one(inputs))])
        self._model = model
        self._folder = folder
        measure.save_inputs(folder / "inputs.npz", inputs)

    def check(self, artefact: Path, precision: str, repeats: int = 20, threads: int = 2) -> Row:
        """The artefact's row of the report, with the status accepted or rejected, and a reason for the latter."""
        from export import operators

        tree = openers.saved_model_folder(artefact) or artefact  # Of several versions, this one will be run.
        row = Row(
            artefact=str(tree.relative_to(artefact.parent)),
            format=format_of(tree),
            precision=precision,
            bytes=sum(file.stat().st_size for file in checksums.files_of_tree(tree)),
            sha256=checksums.sha256_of_tree(tree),
        )
        inputs, outputs = self._folder / "inputs.npz", self._folder / "outputs.npz"
        try:
            figures = processes.run_for_json(
                "export.measure", artefact=tree, inputs=inputs, outputs=outputs, repeats=repeats, threads=threads
            )
            row = dataclasses.replace(row, **figures)
            row = dataclasses.replace(row, **self._difference(np.load(outputs)), gpu_share=operators.gpu_share(tree))
            if precision == "int8":
                row = dataclasses.replace(row, float_share=operators.float_share(tree))
            reason = self._fault(row)
        except UsageError as error:
            reason = str(error)
        return dataclasses.replace(row, status="rejected" if reason else "accepted", reason=reason)

    def _difference(self, outputs: dict[str, np.ndarray]) -> dict[str, float]:
        """The largest difference from Keras over both sizes of batch, and the PSNR in dB with a peak of 2.

        Raises:
            UsageError: the videos have other shapes than those of Keras, or values that are not finite.
        """
        if any(video.shape != self.expected.shape for video in outputs.values()):
            shapes = [list(video.shape) for video in outputs.values()]
            raise UsageError(f"gives {shapes} where Keras gives {list(self.expected.shape)}")
        errors = np.stack([video - self.expected for video in outputs.values()]).astype(np.float64)
        if not np.isfinite(errors).all():
            raise UsageError("gives values that are not finite")
        mse = max(float(np.mean(errors**2)), 1e-20)
        return {"max_difference": float(np.abs(errors).max()), "psnr_db": 10 * math.log10(4 / mse)}

    def _fault(self, row: Row) -> str | None:
        """Why an artefact is rejected, or None."""
        too_small = conversion.size_fault(row.bytes, self._model, row.precision)
        if too_small:
            return too_small
        if row.float_share:
            return f"computes {row.float_share:.0%} of its convolutions in float"
        limit = LARGEST_DIFFERENCE.get(row.precision)
        if limit is not None and row.max_difference > limit:
            return f"differs from Keras by {row.max_difference:.2g}, more than {limit:g}"
        if limit is None and row.psnr_db < SMALLEST_PSNR:
            return f"PSNR to Keras is {row.psnr_db:.1f} dB, less than {SMALLEST_PSNR:g}"
        return None


def _one_by_one(inputs: Any) -> Iterable[Any]:
    """Rows of what a model is called on, an array or a pair of arrays, as batches of one."""
    if isinstance(inputs, tuple):
        return zip(*map(_one_by_one, inputs), strict=True)
    return (row[None] for row in inputs)


def precision_of(artefact: Path) -> str:
    """The precision in which the artefact's name ends, or float32 if it ends in none."""
    last = artefact.stem.rpartition("_")[2]
    return last if last in conversion.BYTES else "float32"


def format_of(artefact: Path) -> str:
    """The format that the suffix stands for; names without a known one are SavedModels."""
    return artefact.suffix[1:] if artefact.suffix in (".tflite", ".onnx") else "saved_model"


if __name__ == "__main__":
    cli.run(define_flags, main)
