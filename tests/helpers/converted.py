"""Artefacts of the smallest models, each converted once a process: a conversion takes seconds."""

import functools

from export import to_onnx, to_tflite
from tests.helpers import tiny


@functools.cache
def tflite(name: str, lowering: bool = True) -> bytes:
    """The TFLite file in float32 of `tiny.shaken`, and so of stage 1 of `tiny.run_folder`."""
    return to_tflite.convert(tiny.shaken(name), lowering=lowering)


@functools.cache
def onnx(name: str) -> bytes:
    """The ONNX file in float32 of the same model."""
    return to_onnx.convert(tiny.shaken(name))
