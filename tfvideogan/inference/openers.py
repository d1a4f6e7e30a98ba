"""The runtimes behind `load_exported`.

Each opener returns an artefact's function, from one batch to its videos, the shape of one row of that batch, and
whether the function takes the wind of each row beside it. It raises UsageError for what is damaged, for what this
package did not write, and if the runtime is not installed.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import optional, paths
from tfvideogan.inference.trial import Trial
from tfvideogan.models.drift import drifting_clip

# Type and shape of an input or output of a file; a side that varies is a name, None or -1.
Port = tuple[str, list[Any]]
_MOST_OF_CLIP = 1000  # A feature map has fewer values for each of the clip's.
_LARGEST_CLIP = 128 * 512 * 512 * 3
# Latents [N, 100], frames [N, H, W, 3] in [-1, 1], or these and their wind [N, 2] -> video [N, T, H, W, 3].
Run = Callable[..., np.ndarray]
Opened = tuple[Run, Sequence[int], bool]


def cores() -> int:
    """The number of cores that this process may use, as far as the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def saved_model_folder(where: paths.Path) -> paths.Path | None:
    """The SavedModel that `where` stands for: itself, or the newest version in it; None if there is none."""
    candidates = [where, *_versions(where)]
    return next((folder for folder in candidates if paths.is_file(folder / "saved_model.pb")), None)


def _versions(folder: paths.Path) -> list[paths.Path]:
    """The folders in it that bear a version number, newest first."""
    versions = [inner for inner in folder.iterdir() if inner.name.isdecimal()] if folder.is_dir() else []
    return sorted(versions, key=lambda inner: -int(inner.name))


def open_run_folder(path: str | os.PathLike[str], stage: int | None, trust: bool = False) -> Opened:
    """The model of a run folder, by TensorFlow; of the newest stage if `stage` is None."""
    import tensorflow as tf

    from tfvideogan.runs import loading

    model = loading.load_generator(path, stage, trust)
    forward = tf.function(
        lambda *inputs: model(inputs if model.takes_wind else inputs[0], training=False)["clip"], reduce_retracing=True
    )

    def run(*inputs: np.ndarray) -> np.ndarray:
        return forward(*map(tf.constant, inputs)).numpy()

    return run, model.sampling_inputs[0].shape[1:], model.takes_wind


def open_saved_model(path: paths.Path, trust: bool = False) -> Opened:
    """A SavedModel of `export.to_saved_model`, by TensorFlow; it gets frames rounded to uint8.

    Args:
        trust: it is loaded whatever it does, and not looked at before (see `scan`).
    """
    import tensorflow as tf

    from tfvideogan.data.clips import to_uint8
    from tfvideogan.inference import scan

    if not trust:
        scan.check(path)

    try:
        loaded = tf.saved_model.load(os.fspath(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UsageError(f"{path}: damaged SavedModel ({str(error).splitlines()[0]})") from error
    if "generate_from_latents" in loaded.signatures:
        signature, argument, convert = loaded.signatures["generate_from_latents"], "latents", np.asarray
    elif "predict_video" in loaded.signatures:
        signature, argument, convert = loaded.signatures["predict_video"], "frame", to_uint8
    else:
        raise UsageError(f"{path}: a SavedModel that export.to_saved_model did not make")

    def run(inputs: np.ndarray, wind: np.ndarray | None = None) -> np.ndarray:
        others = {} if wind is None else {"wind": tf.constant(wind)}
        try:
            return signature(**{argument: tf.constant(convert(inputs))}, **others)["video"].numpy()
        except tf.errors.InvalidArgumentError as error:
            # The graph's own checks refuse, for instance, too many rows, or NaN.
            refusal = re.search("assertion failed: (.*)", str(error))
            if not refusal:
                raise
            raise UsageError(f"{path}: {refusal[1]}") from error

    run.keeps = loaded  # A signature alone does not keep its variables alive.
    arguments = signature.structured_input_signature[1]
    return run, arguments[argument].shape[1:], "wind" in arguments


def open_tflite(file: str, threads: int, trust: bool = False) -> Opened:
    """A .tflite file, by LiteRT.

    Args:
        trust: it is not opened in another process before (see `trial`).
    """
    runtime = optional.package("ai_edge_litert.interpreter", "ai-edge-litert")
    if not trust:
        with Trial() as trial:
            trial.check(file)
    try:
        content = Path(file).read_bytes()
        interpreter = runtime.Interpreter(model_content=content, num_threads=threads)
        _check_tensors(file, interpreter, len(content))
        interpreter.allocate_tensors()
        ports = [
            [(np.dtype(port["dtype"]).name, port["shape"].tolist()) for port in side]
            for side in (interpreter.get_input_details(), interpreter.get_output_details())
        ]
    except UsageError:
        raise
    except Exception as error:  # LiteRT raises whatever its C++ has thrown.
        raise UsageError(f"{file}: not a TFLite model that can be run ({paths.first_line(error)})") from error
    _check_ports(file, *ports)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(inputs: np.ndarray) -> np.ndarray:
        if tuple(interpreter.get_input_details()[0]["shape"]) != inputs.shape:
            interpreter.resize_tensor_input(source["index"], inputs.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(source["index"], inputs)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    shape = source["shape"][1:].tolist()
    if len(shape) != 4:
        return run, shape, False
    return lambda frames, winds: run(drifting_clip(frames, winds, shape[0])), shape[1:], True


def _check_tensors(file: str, interpreter: Any, num_bytes: int) -> None:
    """Raises UsageError for a tensor that is out of all proportion, before there is memory for it.

    Weights are in the file, and a feature map has some hundred times the values of the clip at most.
    """
    clip = max((np.prod(port["shape"], dtype=float) for port in interpreter.get_output_details()), default=0.0)
    most = max(num_bytes, _MOST_OF_CLIP * min(clip, _LARGEST_CLIP))
    for tensor in interpreter.get_tensor_details():
        if np.prod(tensor["shape"], dtype=float) > most:
            shape = tensor["shape"].tolist()
            raise UsageError(f"{file}: not a file of this package: one of its tensors is {shape}")


def _products_saturate(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether sums of products of uint8 and int8 may saturate, as they do on x86 without VNNI. Linux alone tells."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return not re.search(r"\bavx(512)?_vnni\b", cpuinfo.read_text(encoding="ascii", errors="replace"))
    except OSError:
        return True


def open_onnx(file: str, threads: int) -> Opened:
    """A .onnx file, by ONNX Runtime on the CPU."""
    runtime = optional.package("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    if _products_saturate():
        options.add_session_config_entry("session.x64quantprecision", "1")  # This takes twice the time.
    try:
        session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        ports = [
            [(port.type.replace("tensor(float)", "float32"), port.shape) for port in side]
            for side in (session.get_inputs(), session.get_outputs())
        ]
        names = [port.name for port in session.get_inputs()]
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own, and names may be no UTF-8.
        raise UsageError(f"{file}: not an ONNX model that can be run ({paths.first_line(error)})") from error
    _check_ports(file, *ports)

    def run(*inputs: np.ndarray) -> np.ndarray:
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]

    return run, session.get_inputs()[0].shape[1:], len(names) == 2


def _check_ports(file: str, inputs: list[Port], outputs: list[Port]) -> None:
    """Raises UsageError unless a file has inputs and one output of the kinds that this package writes."""
    rows = [shape[1:] for kind, shape in inputs if kind == "float32"]
    videos = [kind == "float32" and len(shape) == 5 for kind, shape in outputs]
    known = len(rows) == len(inputs) and _are_rows(*rows)
    if not known or videos != [True]:
        raise UsageError(f"{file}: not a file of this package; those take float32 [N, 100], [N, H, W, 3], "
                         f"[N, H, W, 3] with [N, 2], or [N, T, H, W, 3], and give float32 [N, T, H, W, 3]. "
                         f"Received: from {inputs} to {outputs}")  # fmt: skip


def _are_rows(row: Sequence[Any] = (), *others: Sequence[Any]) -> bool:
    """Whether these are the shapes of latents, a frame, a frame and its wind, or a drifting clip, all sides known."""
    if not all(isinstance(side, int) for side in row):
        return False
    if others:
        return len(row) == 3 and row[2] == 3 and [list(other) for other in others] == [[2]]
    return len(row) == 1 or (len(row) in (3, 4) and row[-1] == 3)
