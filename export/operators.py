"""What an artefact's operators tell: how much of int8 is computed in float after all, and what a GPU would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import optional

TFLITE_PRODUCTS = {
    "CONV_2D", "CONV_3D", "CONV_3D_TRANSPOSE", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL",
}  # fmt: skip
# What moves a frame by the wind bears this name, is left in float on purpose, and is no part of the network.
DRIFT = "drift"
# The operators of our networks that LiteRT's delegates for GPUs know (`tflite/tools/versioning/gpu_compatibility.cc`).
GPU_OPERATORS = {
    "ADD", "BATCH_MATMUL", "CONCATENATION", "CONV_2D", "DEQUANTIZE", "DIV", "FULLY_CONNECTED", "LEAKY_RELU", "LOGISTIC",
    "MAXIMUM", "MINIMUM", "MUL", "PAD", "QUANTIZE", "RELU", "RESHAPE", "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE",
    "TRANSPOSE_CONV",
}  # fmt: skip
GPU_DIMENSIONS = 4  # No tensor of an operator may have more.
ONNX_PRODUCTS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}


def float_share(artefact: Path) -> float | None:
    """The share of convolutions and matrix products that are computed in float, or None for SavedModels.

    Raises:
        UsageError: the artefact has no convolution or matrix product that is known here.
    """
    products = {".tflite": _tflite_products, ".onnx": _onnx_products}.get(artefact.suffix)
    if products is None:
        return None
    in_float = products(artefact)
    if not in_float:
        raise UsageError("has no convolution or matrix product that is known")
    return sum(in_float) / len(in_float)


def gpu_share(artefact: Path) -> float | None:
    """The share of a TFLite file's operators that a delegate for GPUs takes, or None for other formats."""
    if artefact.suffix != ".tflite":
        return None
    operators, tensors = _tflite_operators(artefact)

    def taken(operator: dict[str, Any]) -> bool:
        own = [tensors[i] for i in (*operator["inputs"], *operator["outputs"]) if i in tensors]
        fits = all(len(tensor["shape"]) <= GPU_DIMENSIONS for tensor in own)
        return fits and operator["op_name"] in GPU_OPERATORS

    return sum(map(taken, operators)) / len(operators)


def _tflite_products(artefact: Path) -> list[bool]:
    """Whether each convolution or matrix product is computed in float."""
    operators, tensors = _tflite_operators(artefact)
    products = [op for op in operators if op["op_name"] in TFLITE_PRODUCTS]
    # The output tells the type, because the first input of a transposed convolution is the shape of its output.
    return [np.issubdtype(tensors[op["outputs"][0]]["dtype"], np.floating) for op in products]


def _tflite_operators(artefact: Path) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]]]:
    """A file's operators in their order, and its tensors by their numbers."""
    runtime = optional.package("ai_edge_litert.interpreter", "ai-edge-litert")
    plain = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES  # A delegate would show as one operator.
    interpreter = runtime.Interpreter(str(artefact), experimental_op_resolver_type=plain)
    return interpreter._get_ops_details(), {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}


def _onnx_products(artefact: Path) -> list[bool]:
    """Whether the input or the weights of each convolution or matrix product do not come from int8."""
    graph = optional.package("onnx", "onnx").load(str(artefact), load_external_data=False).graph
    quantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    products = [node for node in graph.node if node.op_type in ONNX_PRODUCTS and not moves_the_frame(node)]
    return [not quantised.issuperset(node.input[:2]) for node in products]


def moves_the_frame(node: Any) -> bool:
    """Whether a node of an ONNX graph is a part of moving the frame by the wind."""
    return f"/{DRIFT}" in node.name
