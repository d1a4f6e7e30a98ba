"""Exports a run as an ONNX model, opset 18, of 2D operations by default.

python -m export.to_onnx --run_dir=runs/mdgan --output=exported/mdgan.onnx

The model takes `latents` [batch, 100] or `frame` [batch, H, W, 3], and of a run with --drift `wind`
[batch, 2] beside it, and gives `video` [batch, T, H, W, 3], all of them float32, with frames in
[-1, 1]; its metadata says what else one must know. With float16 the weights are stored so, and the
arithmetic is float32. With int8 (static quantisation, QDQ) weights and activations are quantised,
and runtimes compute in integers between.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tfvideogan
from export import conversion, operators
from export.report import FPS
from tfvideogan import cli
from tfvideogan.files import optional
from tfvideogan.models.drift import DEFAULT_WIND

OPSET = 18
WIND = "frame widths to the right and frame heights downwards, a frame"
LAST_ACTIVATIONS = ("Tanh", "Sigmoid")
LARGE = 1024  # Constants of so many numbers and more are stored as float16.


def main() -> None:
    packages = ["onnx", "tf2onnx"] + (["onnxruntime"] if cli.flags.FLAGS.precision == "int8" else [])
    conversion.main(".onnx", convert, packages)


def convert(model, precision: str = "float32", lowering: bool = True, calibration: Any = None) -> bytes:
    """A model as a serialised ONNX model; the arguments are those of `export.to_tflite.convert`.

    Raises:
        UsageError: int8 was asked for without lowering, or a package is missing.
    """
    conversion.check_precision(precision, lowering)
    return finished(in_float32(model, lowering), model, precision, calibration)


def in_float32(model: Any, lowering: bool) -> Any:
    """The model as an `onnx.ModelProto`, with weights in float32 and without metadata."""
    import tensorflow as tf

    from export import lowering as lowered_form

    tf2onnx = optional.package("tf2onnx", "tf2onnx")
    sampler = lowered_form.sampler(model, lowering)
    function = tf.function(lambda *inputs: {"video": sampler.sample(*inputs)["clip"]}, input_signature=sampler.specs)
    proto, _ = tf2onnx.convert.from_function(function, list(sampler.specs), opset=OPSET)
    for value in [*proto.graph.input, *proto.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return proto


def finished(proto: Any, model: Any, precision: str, calibration: Any = None) -> bytes:
    """What `in_float32` has made, changed to a precision, with the model's metadata, checked and serialised."""
    onnx = optional.package("onnx", "onnx")
    if precision == "float16":
        _store_as_float16(proto.graph)
    if precision == "int8":
        proto = _quantise(proto, calibration)
    onnx.helper.set_model_props(proto, _metadata(model))
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def _store_as_float16(graph: Any) -> None:
    """Stores large constants as float16, each with a Cast to float32 that runtimes do once, when they load the file."""
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
    """Calibration inputs one at a time: a `CalibrationDataReader`, which onnxruntime recognises by its method.

    onnxruntime is an optional package, so its base class cannot be named here.
    """

    def __init__(self, names: Sequence[str], inputs: Any):
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        self._rows = (
            {name: row[np.newaxis] for name, row in zip(names, rows, strict=True)} for rows in zip(*parts, strict=True)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._rows, None)


def _quantise(proto: Any, calibration: Any) -> Any:
    """Quantises weights by channel to int8, and activations by the ranges that the calibration inputs give.

    Pre-processing finds the shapes and joins the operations that the runtime would join anyway, so that they are not
    quantised in between; without it onnxruntime warns. Its inference of symbolic shapes needs another package and is
    skipped, since nothing here depends on it.

    Activations are uint8, since ONNX Runtime for x86 makes that of int8 anyway, and misses convolutions then.
    """
    import onnx

    quantization = optional.package("onnxruntime.quantization", "onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantised = (
            os.fspath(Path(folder) / f"{name}.onnx") for name in ("plain", "prepared", "int8")
        )
        onnx.save(proto, plain)
        quantization.shape_inference.quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        rows = _Rows([port.name for port in proto.graph.input], calibration)
        quantization.quantize_static(
            prepared,
            quantised,
            rows,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            nodes_to_exclude=_in_float(onnx.load(prepared).graph),
        )
        return onnx.load(quantised)


def _in_float(graph: Any) -> list[str]:
    """The nodes of an int8 graph that stay in float.

    They are what moves the frame by the wind, since 255 places in a frame would be too few, and the last activations
    with all that follows them, where products are no more and each rounding would be seen.
    """
    needed: set[str] = set()  # These are the tensors that a product depends on.
    for node in reversed(graph.node):
        if node.op_type in operators.ONNX_PRODUCTS or needed.intersection(node.output):
            needed.update(node.input)
    last: set[str] = set()  # These are the outputs of last activations, and of what follows them.
    for node in graph.node:
        ends = node.op_type in LAST_ACTIVATIONS and not needed.intersection(node.output)
        if ends or last.intersection(node.input):
            last.update(node.output)
    return [node.name for node in graph.node if operators.moves_the_frame(node) or last.intersection(node.output)]


def _metadata(model: Any) -> dict[str, str]:
    from tfvideogan.runs.loading import weights_sha256

    frames, height, width, _ = model.clip_shape
    wind = {"wind": WIND, "default_wind": "{:g},{:g}".format(*DEFAULT_WIND)} if model.takes_wind else {}
    return wind | {
        "model": f"{type(model).__name__.lower()}, {model.sampling_generator.name}",
        "size": f"{frames} frames of {height} x {width} pixels",
        "value_range": "-1 to 1",
        "fps": str(FPS),
        "version": tfvideogan.__version__,
        "weights_sha256": weights_sha256(model),
    }


if __name__ == "__main__":
    cli.run(conversion.define_flags, main)
