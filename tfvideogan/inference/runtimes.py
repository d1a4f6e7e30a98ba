"""The runtimes behind `load_exported`: each opener gives an artefact's function from one batch to its videos."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import optional, paths

# Type and shape of an input or output of a file; a side that varies is a name, None or -1.
Port = tuple[str, list[Any]]
# Latents [N, 100] or frames [N, H, W, 3] in [-1, 1] -> video [N, T, H, W, 3].
Run = Callable[[np.ndarray], np.ndarray]


def cores() -> int:
    """The number of cores that this process may use, as far as the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def saved_model_folder(where: paths.Path) -> paths.Path | None:
    """The SavedModel that `where` stands for: itself, or the newest version in it; None if there is none."""
    candidates = [where, *_versions(where)]
    return next((folder for folder in candidates if (folder / "saved_model.pb").is_file()), None)


def _versions(folder: paths.Path) -> list[paths.Path]:
    """The folders in it that bear a version number, newest first."""
    versions = [inner for inner in folder.iterdir() if inner.name.isdecimal()] if folder.is_dir() else []
    return sorted(versions, key=lambda inner: -int(inner.name))


def open_run_folder(path: str | os.PathLike[str], stage: int | None) -> tuple[Run, Sequence[int]]:
    import tensorflow as tf

    from tfvideogan.runs import loading

    model = loading.load_generator(path, stage)
    forward = tf.function(lambda inputs: model(inputs, training=False)["clip"], reduce_retracing=True)
    return lambda inputs: forward(tf.constant(inputs)).numpy(), model.sampling_input.shape[1:]


def open_saved_model(path: paths.Path) -> tuple[Run, Sequence[int]]:
    import tensorflow as tf

    from tfvideogan.data.clips import to_uint8

    try:
        loaded = tf.saved_model.load(os.fspath(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UsageError(f"{path}: damaged SavedModel ({str(error).splitlines()[0]})") from error
    if "generate_from_latents" in loaded.signatures:
        signature, given, convert = loaded.signatures["generate_from_latents"], "latents", np.asarray
    elif "predict_video" in loaded.signatures:
        signature, given, convert = loaded.signatures["predict_video"], "frame", to_uint8
    else:
        raise UsageError(f"{path}: a SavedModel that export.to_saved_model did not make")

    def run(inputs: np.ndarray) -> np.ndarray:
        try:
            return signature(**{given: tf.constant(convert(inputs))})["video"].numpy()
        except tf.errors.InvalidArgumentError as error:
            refused = re.search(
                "assertion failed: (.*)", str(error)
            )  # The graph's own checks refuse too many rows, or NaN.
            if not refused:
                raise
            raise UsageError(f"{path}: {refused[1]}") from error

    run.keeps = loaded  # A signature alone does not keep its variables alive.
    return run, signature.structured_input_signature[1][given].shape[1:]


def open_tflite(file: str, threads: int) -> tuple[Run, Sequence[int]]:
    runtime = optional.package("ai_edge_litert.interpreter", "ai-edge-litert")
    try:
        interpreter = runtime.Interpreter(model_content=Path(file).read_bytes(), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"{file}: not a TFLite model that can be run ({error})") from error
    ports = [
        [(np.dtype(port["dtype"]).name, port["shape"].tolist()) for port in side]
        for side in (interpreter.get_input_details(), interpreter.get_output_details())
    ]
    _check_ports(file, *ports)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(inputs: np.ndarray) -> np.ndarray:
        if tuple(interpreter.get_input_details()[0]["shape"]) != inputs.shape:
            interpreter.resize_tensor_input(given["index"], inputs.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], inputs)
        interpreter.invoke()
        return interpreter.get_tensor(made["index"])

    return run, given["shape"][1:].tolist()


def open_onnx(file: str, threads: int) -> tuple[Run, Sequence[int]]:
    runtime = optional.package("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own.
        raise UsageError(f"{file}: not an ONNX model that can be run ({error})") from error
    ports = [
        [(port.type.replace("tensor(float)", "float32"), port.shape) for port in side]
        for side in (session.get_inputs(), session.get_outputs())
    ]
    _check_ports(file, *ports)
    (given,) = session.get_inputs()
    return lambda inputs: session.run(None, {given.name: inputs})[0], given.shape[1:]


def _check_ports(file: str, inputs: list[Port], outputs: list[Port]) -> None:
    """Raises UsageError unless a file has one input and one output, of the kinds that this package writes."""
    frames_or_latents = [kind == "float32" and _is_row(shape[1:]) for kind, shape in inputs]
    videos = [kind == "float32" and len(shape) == 5 for kind, shape in outputs]
    if frames_or_latents != [True] or videos != [True]:
        raise UsageError(f"{file}: not a file of this package, which take float32 [N, 100] or [N, H, W, 3] and give "
                         f"float32 [N, T, H, W, 3]. Received: from {inputs} to {outputs}")  # fmt: skip


def _is_row(shape: Sequence[Any]) -> bool:
    """Whether this is the shape of latents or of a frame, with all sides known."""
    return all(isinstance(side, int) for side in shape) and (len(shape) == 1 or (len(shape) == 3 and shape[2] == 3))
