"""One way to call a model, whatever it was exported to: run folder, SavedModel, TFLite, ONNX.

    from tfvideogan import load_exported

    clips = load_exported("vgan.onnx").generate(seed=[1, 2])        # uint8 [2, T, H, W, 3]
    clip = load_exported("exported/mdgan").predict("photo.jpg")     # uint8 [1, T, H, W, 3]

The same seed gives the same clip in every format, up to its precision. Of TFLite and ONNX files, `predict`
and `run` do without TensorFlow; `generate` loads it, to draw the latents of the seeds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import clips
from tfvideogan.files import paths, pictures
from tfvideogan.inference import runtimes


class Exported:
    """A loaded artefact.

    Args:
        path: where the artefact lies, for messages.
        run: its function, from one batch to videos.
        input_shape: of one row: [100] for latents, [H, W, 3] for a frame.
    """

    def __init__(self, path: str | os.PathLike[str], run: runtimes.Run, input_shape: Sequence[int]):
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
        return self._clips([clips.to_float(frame)[None]])

    def _clips(self, rows: Iterable[np.ndarray]) -> np.ndarray:
        """Runs one row at a time, so that a clip depends on its own row only, whatever batches an artefact admits."""
        video = np.concatenate([self.run(row) for row in rows])
        return clips.to_uint8(video)


def load_exported(path: str | os.PathLike[str], threads: int | None = None, stage: int | None = None) -> Exported:
    """A run folder, a SavedModel (its folder, or the one above: the newest version), a .tflite or a .onnx file.

    Args:
        threads: that TFLite or ONNX Runtime may take, all cores by default; TensorFlow's are the process's.
        stage: of a run folder, 1 for MD-GAN's Base-Net alone; the newest stage by default.

    Raises:
        UsageError: nothing of these, damaged, or the package that runs it is missing.
    """
    where = paths.path(path)
    threads = threads or runtimes.cores()
    if not where.exists():
        raise UsageError(f"{path}: no such file or folder")
    if where.suffix in (".tflite", ".onnx") and where.is_file():
        opened = runtimes.open_tflite if where.suffix == ".tflite" else runtimes.open_onnx
        with paths.local(where) as file:
            return Exported(path, *opened(file, threads))
    if (where / "config.json").is_file():
        return Exported(path, *runtimes.open_run_folder(path, stage))
    folder = runtimes.saved_model_folder(where)
    if folder is None:
        raise UsageError(f"{path}: neither a run folder, nor a SavedModel, a .tflite or a .onnx file")
    return Exported(path, *runtimes.open_saved_model(folder))
