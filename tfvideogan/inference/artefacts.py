"""One way to call a model, whatever it was exported to: run folder, SavedModel, TFLite, ONNX.

    from tfvideogan import load_exported

    clips = load_exported("vgan.onnx").generate(seed=[1, 2])        # uint8 [2, T, H, W, 3]
    clip = load_exported("exported/mdgan").predict("photo.jpg")     # uint8 [1, T, H, W, 3]

The same seed gives the same clip in every format, up to its precision. TFLite and ONNX are run by
optional packages, which are imported here and nowhere else. Of them `predict` and `run` do without
TensorFlow; `generate` loads it, to draw the latents of the seeds.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import paths, pictures

Port = tuple[str, list[Any]]  # type and shape of an input or output; sides that vary are names, None or -1
Run = Callable[[np.ndarray], np.ndarray]  # latents [N, 100] or frames [N, H, W, 3] in [-1, 1] -> video [N, T, H, W, 3]


class Exported:
    """A loaded artefact.

    Args:
        path: where it lies, for messages.
        run: its function.
        input_shape: of one row: [100] for latents, [H, W, 3] for a frame.
    """

    def __init__(self, path: str | os.PathLike[str], run: Run, input_shape: Sequence[int]):
        self.path = path
        self.input_shape = tuple(input_shape)
        self.predicts = len(self.input_shape) == 3
        self._run = run

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """A batch as it is: latents [N, 100], or frames [N, H, W, 3] in [-1, 1] -> video float32 [N, T, H, W, 3].

        SavedModels take frames as uint8, to which they are rounded here.

        Raises:
            UsageError: inputs of another shape, or that the artefact's own checks refuse.
        """
        inputs = np.asarray(inputs, np.float32)
        if inputs.shape[1:] != self.input_shape or not inputs.size:
            shape = ", ".join(map(str, self.input_shape))
            raise UsageError(f"{self.path} takes inputs [N, {shape}]. Received: {list(inputs.shape)}")
        return np.asarray(self._run(inputs), np.float32)

    def generate(self, seed: int | Sequence[int]) -> np.ndarray:
        """A clip of each seed, uint8 [N, T, H, W, 3]; seed s gives the first clip of `tfvideogan.generate --seed=s`.

        Raises:
            UsageError: the artefact predicts from a picture, or a seed is no integer of 64 bits.
        """
        if self.predicts:
            raise UsageError(f"{self.path} is a predictor, it makes a clip from a picture: call predict(image)")
        seeds = np.atleast_1d(seed)
        if seeds.dtype.kind != "i" or seeds.ndim != 1 or not seeds.size:
            raise UsageError(f"seed must be an integer or a list of them, of 64 bits. Received: {seed!r}")
        from tfvideogan.models.vgan import latents

        return self._clips(latents(one, 1) for one in seeds.astype(np.int64))

    def predict(self, image: str | os.PathLike[str] | np.ndarray) -> np.ndarray:
        """The clip that follows a picture, uint8 [1, T, H, W, 3].

        Args:
            image: a file, or uint8 [H, W, 3], of any size; it is squashed to the model's frame.

        Raises:
            UsageError: the artefact generates from seeds, or there is no such picture.
        """
        if not self.predicts:
            raise UsageError(f"{self.path} is a generator, it makes clips from seeds: call generate(seed)")
        size = self.input_shape[0]
        if not isinstance(image, np.ndarray):
            frame = pictures.read_image(image, pictures.squash(size))
        elif image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            frame = pictures.resize(image, size, size)
        else:
            raise UsageError(f"image must be a file or uint8 [H, W, 3]. Received: {image.dtype} {list(image.shape)}")
        return self._clips([frame[None] / np.float32(127.5) - 1])

    def _clips(self, rows: Iterable[np.ndarray]) -> np.ndarray:
        """One row at a time: whatever batch an artefact admits, a clip depends on its own row only."""
        video = np.concatenate([self.run(row) for row in rows])
        return np.clip(np.rint((video + 1) * 127.5), 0, 255).astype(np.uint8)


def load_exported(path: str | os.PathLike[str], threads: int | None = None, stage: int | None = None) -> Exported:
    """A run folder, a SavedModel (its folder, or the one above: the newest version), a .tflite or a .onnx file.

    Args:
        threads: that TFLite or ONNX Runtime may take, all cores by default; TensorFlow's are the process's.
        stage: of a run folder, 1 for MD-GAN's Base-Net alone; the newest stage by default.

    Raises:
        UsageError: nothing of these, damaged, or the package that runs it is missing.
    """
    where = paths.path(path)
    threads = threads or cores()
    if not where.exists():
        raise UsageError(f"{path}: no such file or folder")
    if where.suffix in (".tflite", ".onnx") and where.is_file():
        opened = _open_tflite if where.suffix == ".tflite" else _open_onnx
        with paths.local(where) as file:
            return Exported(path, *opened(file, threads))
    if (where / "config.json").is_file():
        return Exported(path, *_open_run_folder(path, stage))
    folder = saved_model_folder(where)
    if folder is None:
        raise UsageError(f"{path}: neither a run folder, nor a SavedModel, a .tflite or a .onnx file")
    return Exported(path, *_open_saved_model(folder))


def cores() -> int:
    """That this process may use, as far as the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def saved_model_folder(where: paths.Path) -> paths.Path | None:
    """The SavedModel that `where` stands for: itself, or the newest version in it; None if there is none."""
    candidates = [where, *_versions(where)]
    return next((folder for folder in candidates if (folder / "saved_model.pb").is_file()), None)


def _versions(folder: paths.Path) -> list[paths.Path]:
    """The folders in it that bear a version number, newest first."""
    found = [inner for inner in folder.iterdir() if inner.name.isdecimal()] if folder.is_dir() else []
    return sorted(found, key=lambda inner: -int(inner.name))


def _open_run_folder(path: str | os.PathLike[str], stage: int | None) -> tuple[Run, Sequence[int]]:
    import tensorflow as tf

    from tfvideogan.models.vgan import LATENT_DIM
    from tfvideogan.runs import run_folder

    model = run_folder.load_generator(path, stage)
    size = model.discriminator.input_shape[2]
    forward = tf.function(lambda inputs: model(inputs, training=False)["clip"], reduce_retracing=True)
    return lambda inputs: forward(tf.constant(inputs)).numpy(), [size, size, 3] if model.predicts else [LATENT_DIM]


def _open_saved_model(path: paths.Path) -> tuple[Run, Sequence[int]]:
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
            refused = re.search("assertion failed: (.*)", str(error))  # by its checks: too many rows, NaN
            if not refused:
                raise
            raise UsageError(f"{path}: {refused[1]}") from error

    run.keeps = loaded  # a signature alone does not keep its variables alive
    return run, signature.structured_input_signature[1][given].shape[1:]


def _open_tflite(file: str, threads: int) -> tuple[Run, Sequence[int]]:
    runtime = optional("ai_edge_litert.interpreter", "ai-edge-litert")
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


def _open_onnx(file: str, threads: int) -> tuple[Run, Sequence[int]]:
    runtime = optional("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = runtime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base class of their own
        raise UsageError(f"{file}: not an ONNX model that can be run ({error})") from error
    ports = [
        [(port.type.replace("tensor(float)", "float32"), port.shape) for port in side]
        for side in (session.get_inputs(), session.get_outputs())
    ]
    _check_ports(file, *ports)
    (given,) = session.get_inputs()
    return lambda inputs: session.run(None, {given.name: inputs})[0], given.shape[1:]


def _check_ports(file: str, given: list[Port], made: list[Port]) -> None:
    """Raises UsageError unless a file has the one input and the one output of this package's."""
    frames_or_latents = [kind == "float32" and _is_row(shape[1:]) for kind, shape in given]
    videos = [kind == "float32" and len(shape) == 5 for kind, shape in made]
    if frames_or_latents != [True] or videos != [True]:
        raise UsageError(f"{file}: not a file of this package, which take float32 [N, 100] or [N, H, W, 3] and give "
                         f"float32 [N, T, H, W, 3]. Received: from {given} to {made}")  # fmt: skip


def _is_row(shape: Sequence[Any]) -> bool:
    """Whether this is the shape of latents or of a frame, all sides known."""
    return all(isinstance(side, int) for side in shape) and (len(shape) == 1 or (len(shape) == 3 and shape[2] == 3))


def optional(module: str, package: str, extra: str = "export") -> ModuleType:
    """The one door to packages that only exporting needs. Raises UsageError with the line that installs them."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{package} is not installed: pip install -c constraints.txt -e '.[{extra}]'") from error
