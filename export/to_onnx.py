"""Exports a run as an ONNX model, opset 18, of 2D operations by default.

python -m export.to_onnx --run_dir=runs/mdgan --output=exported/mdgan.onnx

`latents` [batch, 100] or `frame` [batch, H, W, 3] -> `video` [batch, T, H, W, 3], all
float32, frames in [-1, 1]; the metadata says what else one must know. float16 stores
weights so, and computes in float32; int8 is static QDQ: quantised weights and
activations, between which a runtime computes in integers.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import tfvideogan
from export import conversion
from export.report import FPS
from tfvideogan import cli
from tfvideogan.files import optional

OPSET = 18
LARGE = 1024  # numbers in a constant that float16 halves


def main() -> None:
    calibrated = cli.flags.FLAGS.precision == "int8"
    conversion.main(".onnx", convert, packages=("onnx", "tf2onnx", *["onnxruntime"] * calibrated))


def convert(model, precision: str = "float32", lowering: bool = True, calibration: np.ndarray | None = None) -> bytes:
    """A model as a serialised ONNX model; arguments are those of `export.to_tflite.convert`.

    Raises:
        UsageError: int8 of 3D operations, or a package is missing.
    """
    import tensorflow as tf

    from export.lowering import sampler

    conversion.check_precision(precision, lowering)
    onnx, tf2onnx = optional.package("onnx", "onnx"), optional.package("tf2onnx", "tf2onnx")
    spec, sample = model.sampling_input, sampler(model, lowering)
    function = tf.function(lambda inputs: {"video": sample(inputs)["clip"]}, input_signature=[spec])
    proto, _ = tf2onnx.convert.from_function(function, [spec], opset=OPSET)
    for value in [*proto.graph.input, *proto.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    if precision == "float16":
        _store_as_float16(proto.graph)
    if precision == "int8":
        proto = _quantise(proto, spec.name, calibration)
    onnx.helper.set_model_props(proto, _metadata(model))
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def _store_as_float16(graph: Any) -> None:
    """Halves the large constants; a Cast, which runtimes do once when they load the model, makes float32 of them."""
    import onnx

    casts = []
    for constant in graph.initializer:
        value = onnx.numpy_helper.to_array(constant)
        if value.dtype != np.float32 or value.size < LARGE:
            continue
        name = constant.name
        constant.CopyFrom(onnx.numpy_helper.from_array(value.astype(np.float16), f"{name}_float16"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}_float16"], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


class _Rows:
    """Calibration inputs one at a time: a `CalibrationDataReader`, which onnxruntime recognises by its method."""

    def __init__(self, name: str, inputs: np.ndarray):
        self._rows = ({name: row[np.newaxis]} for row in inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rows, None)


def _quantise(proto: Any, input_name: str, calibration: np.ndarray) -> Any:
    """Static quantisation: weights by channel in int8, activations by the ranges that the calibration inputs give.

    Pre-processing finds the shapes and joins the operations that the runtime would join anyway, so that no range
    is put between them; without it onnxruntime warns. Its symbolic shapes want another package, and nothing here does.
    """
    import onnx

    quantization = optional.package("onnxruntime.quantization", "onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantised = (
            os.fspath(Path(folder) / f"{name}.onnx") for name in ("plain", "prepared", "int8")
        )
        onnx.save(proto, plain)
        quantization.shape_inference.quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(prepared, quantised, _Rows(input_name, calibration), per_channel=True)
        return onnx.load(quantised)


def _metadata(model: Any) -> dict[str, str]:
    from tfvideogan.runs.loading import weights_sha256

    frames, height, width, _ = model.clip_shape
    return {
        "model": f"{type(model).__name__.lower()}, {model.sampling_generator.name}",
        "size": f"{frames} frames of {height} x {width} pixels",
        "value_range": "-1 to 1",
        "fps": str(FPS),
        "version": tfvideogan.__version__,
        "weights_sha256": weights_sha256(model),
    }


if __name__ == "__main__":
    cli.run(conversion.define_flags, main)
