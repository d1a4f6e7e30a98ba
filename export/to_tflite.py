"""Exports a run for TFLite (LiteRT): one .tflite file, of 2D operations by default.

python -m export.to_tflite --run_dir=runs/vgan --output=exported/vgan_int8.tflite --precision=int8

Its signature `serving_default` takes `latents` [B, 100] or `frame` [B, H, W, 3] and gives `video`
[B, T, H, W, 3], all of them float32, with frames in [-1, 1]. A file is planned for B = 1; its input
can be resized for another. With float16 the weights are stored so, and the arithmetic is float32.
Of a run with --drift it takes `clip` [B, T, H, W, 3] in place of a frame, the frame as it drifts
with the wind, since positions in it are too fine for int8; `load_exported(...).predict(image, wind)`
makes it. With int8 all arithmetic is in integers, except for conversions at both ends. The 3D convolutions
of --lowering=off have float kernels only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from export import conversion
from tfvideogan import cli
from tfvideogan.models.drift import drifting_clip


def main() -> None:
    conversion.main(".tflite", convert)


def convert(model, precision: str = "float32", lowering: bool = True, calibration: Any = None) -> bytes:
    """A model as a TFLite file.

    Args:
        model: an `AdversarialModel`, which is sampled with inference statistics.
        precision: float32, float16 or int8.
        lowering: whether 2D operations replace the 3D ones.
        calibration: for int8, what the model is called on to find the ranges of values: latents [n, 100], frames
            [n, H, W, 3], or the pair of these and their wind [n, 2].

    Raises:
        UsageError: int8 was asked for without lowering; runtimes would compute it in float.
    """
    conversion.check_precision(precision, lowering)
    if calibration is not None and model.takes_wind:
        calibration = drifting_clip(*calibration, model.num_frames)
    # From a concrete function or a Keras model the converter has lost weights; from a SavedModel it keeps them.
    with tempfile.TemporaryDirectory() as folder:
        save(model, lowering, folder)
        return of_saved_model(folder, precision, calibration)


def save(model, lowering: bool, folder: str) -> None:
    """Writes a SavedModel for the converter, with the one signature that the file will have."""
    from export import lowering as lowered_form

    sampler = lowered_form.sampler(model, lowering, from_clip=True)
    save_function(lambda *inputs: {"video": sampler.sample(*inputs)["clip"]}, sampler.specs, sampler.variables, folder)


def save_function(sample: Callable[..., Any], specs: Sequence[Any], variables: list[Any], folder: str) -> None:
    """Writes a SavedModel of a function from tensors of `specs` to a dict of outputs, which reads these variables."""
    import tensorflow as tf

    module = tf.Module()
    module.variables_held = [variable.value for variable in variables]
    function = tf.function(sample, input_signature=specs)
    tf.saved_model.save(module, folder, signatures=function.get_concrete_function())


def of_saved_model(folder: str, precision: str, calibration: np.ndarray | None = None) -> bytes:
    """The TFLite file of a SavedModel that `save` has written."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.optimizations = [] if precision == "float32" else [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([row[np.newaxis]] for row in calibration)
    return converter.convert()


if __name__ == "__main__":
    cli.run(conversion.define_flags, main)
