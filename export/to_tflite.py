"""Exports a run for TFLite (LiteRT): one .tflite file, of 2D operations by default.

python -m export.to_tflite --run_dir=runs/vgan --output=exported/vgan_int8.tflite --precision=int8

Signature `serving_default`: `latents` [B, 100] or `frame` [B, H, W, 3] -> `video` [B, T, H, W, 3],
all float32, frames in [-1, 1]. A file is planned for B = 1; resize its input for another.
float16 stores weights so, and computes in float32; int8 computes in integers, the
conversions at both ends apart. 3D convolutions, of --lowering=off, have float kernels only.
"""

from __future__ import annotations

import tempfile

import numpy as np

from export import conversion
from tfvideogan import cli


def main() -> None:
    conversion.main(".tflite", convert)


def convert(model, precision: str = "float32", lowering: bool = True, calibration: np.ndarray | None = None) -> bytes:
    """A model as a TFLite file.

    Args:
        model: an `AdversarialModel`, sampled with inference statistics.
        precision: float32, float16 or int8.
        calibration: latents [n, 100] or frames [n, H, W, 3] that int8's ranges are taken from.

    Raises:
        UsageError: int8 of 3D operations, which would be computed in float all the same.
    """
    import tensorflow as tf

    from export.lowering import sampler

    conversion.check_precision(precision, lowering)
    spec, sample = model.sampling_input, sampler(model, lowering)
    module = tf.Module()
    module.variables_held = [variable.value for variable in getattr(sample, "variables", model.variables)]
    function = tf.function(lambda inputs: {"video": sample(inputs)["clip"]}, input_signature=[spec])
    with tempfile.TemporaryDirectory() as folder:  # of the converter's sources, this is the one that keeps the weights
        tf.saved_model.save(module, folder, signatures=function.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [] if precision == "float32" else [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.representative_dataset = lambda: ({spec.name: row[np.newaxis]} for row in calibration)
        return converter.convert()


if __name__ == "__main__":
    cli.run(conversion.define_flags, main)
