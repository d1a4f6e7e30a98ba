"""One way to call a model, whatever it was exported to: run folder, SavedModel, TFLite, ONNX.

    from tfvideogan import load_exported

    clips = load_exported("vgan.onnx").generate(seed=[1, 2])        # uint8 [2, T, H, W, 3]
    clip = load_exported("exported/mdgan").predict("photo.jpg")     # uint8 [1, T, H, W, 3]
    clip = load_exported("drift.onnx").predict("photo.jpg", wind=(0.01, 0.0))

The same seed gives the same clip in every format, up to the format's precision. A TFLite or ONNX file needs no
TensorFlow: its runtime, NumPy, Pillow and etils suffice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import clips
from tfvideogan.files import paths, picture_reader, pictures
from tfvideogan.inference import latents, openers
from tfvideogan.models import drift


class Exported:
    """A loaded artefact.

    Args:
        path: where the artefact lies, for messages.
        run: its function, from one batch to videos.
        input_shape: the shape of one row of a batch: [100] for latents, [H, W, 3] for a frame.
        takes_wind: whether `run` takes the wind of each frame, too.

    Attributes:
        predicts: whether a clip is made from a picture, rather than from a seed.
    """

    def __init__(
        self, path: str | os.PathLike[str], run: openers.Run, input_shape: Sequence[int], takes_wind: bool = False
    ):
        self.path = path
        self.input_shape = tuple(input_shape)
        self.predicts = len(self.input_shape) == 3
        self.takes_wind = takes_wind
        self._run = run

    def run(self, inputs: np.ndarray, wind: np.ndarray | Sequence[float] | None = None) -> np.ndarray:
        """Latents [N, 100], or frames [N, H, W, 3] in [-1, 1] -> video float32 [N, T, H, W, 3] in [-1, 1].

        A SavedModel takes frames as uint8, so they are rounded for it.

        Args:
            wind: of a run with `--drift`, for each frame [N, 2] or one for all [2]: so many frame widths to the right
                and frame heights downwards a frame (default 0.005, 0).

        Raises:
            UsageError: the inputs have another shape, or the artefact's own checks refuse them.
        """
        inputs = np.asarray(inputs, np.float32)
        if inputs.shape[1:] != self.input_shape or not inputs.size:
            shape = ", ".join(map(str, self.input_shape))
            raise UsageError(f"{self.path} takes inputs [N, {shape}]. Received: {list(inputs.shape)}")
        if not self.takes_wind:
            if wind is not None:
                raise UsageError(f"{self.path} takes no wind: it was trained without --drift")
            return np.asarray(self._run(inputs), np.float32)
        return np.asarray(self._run(inputs, self._winds(wind, len(inputs))), np.float32)

    def _winds(self, wind: np.ndarray | Sequence[float] | None, count: int) -> np.ndarray:
        """The wind of each of `count` frames, float32 [count, 2]."""
        winds = np.asarray(drift.DEFAULT_WIND if wind is None else wind, np.float32)
        if winds.shape not in ((2,), (count, 2)) or not np.all(np.abs(winds) <= drift.FASTEST_WIND):
            raise UsageError(f"wind must be two numbers from -1 to 1, or [{count}, 2] of them. Received: {wind!r}")
        return np.array(np.broadcast_to(winds, [count, 2]))

    def generate(self, seed: int | Sequence[int]) -> np.ndarray:
        """A clip of each seed, uint8 [N, T, H, W, 3]; seed s gives the first clip of `tfvideogan.generate --seed=s`.

        Raises:
            UsageError: the artefact predicts from a picture, or a seed is not a signed integer of 64 bits.
        """
        if self.predicts:
            raise UsageError(f"{self.path} is a predictor, it makes a clip from a picture: call predict(image)")
        seeds = np.atleast_1d(seed)
        if seeds.dtype.kind != "i" or seeds.ndim != 1 or not seeds.size:
            raise UsageError(f"seed must be an integer or a list of them, of 64 bits. Received: {seed!r}")
        return self._clips(latents.normal(one, *self.input_shape)[None] for one in seeds)

    def predict(
        self, image: str | os.PathLike[str] | np.ndarray, wind: np.ndarray | Sequence[float] | None = None
    ) -> np.ndarray:
        """The clip that follows a picture, uint8 [1, T, H, W, 3].

        Args:
            image: a file, which a process with limits decodes, or uint8 [H, W, 3], of any size; it is squashed to the
                model's frame.
            wind: as for `run`.

        Raises:
            UsageError: the artefact generates from seeds, or the picture cannot be read.
        """
        if not self.predicts:
            raise UsageError(f"{self.path} is a generator, it makes clips from seeds: call generate(seed)")
        size = self.input_shape[0]
        if not isinstance(image, np.ndarray):
            frame = picture_reader.read_image(image, pictures.squash(size))
        elif image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            frame = pictures.resize(image, size, size)
        else:
            raise UsageError(f"image must be a file or uint8 [H, W, 3]. Received: {image.dtype} {list(image.shape)}")
        return self._clips([clips.to_float(frame)[None]], wind)

    def _clips(self, rows: Iterable[np.ndarray], wind: np.ndarray | Sequence[float] | None = None) -> np.ndarray:
        """Runs one row at a time, so that a clip depends on its own row only, whatever batches an artefact admits."""
        video = np.concatenate([self.run(row, wind) for row in rows])
        return clips.to_uint8(video)


def load_exported(
    path: str | os.PathLike[str], threads: int | None = None, stage: int | None = None, trust: bool = False
) -> Exported:
    """Loads a run folder, a SavedModel, a .tflite or a .onnx file.

    Args:
        path: of a SavedModel, its own folder, or the folder of its versions, of which the newest is taken.
        threads: how many threads TFLite or ONNX Runtime may take, by default one a core. TensorFlow, which runs
            the other two, takes what the process gives it.
        stage: which stage of a run folder: 1 for MD-GAN's Base-Net alone, by default the newest.
        trust: whether a SavedModel may do what those of this package never do, such as read and write files (it is a
            program, parts of which run when it is loaded), and a run folder ask for more memory than there is. A TFLite
            file is then not opened in a process of its own before, which half a second is for.

    Raises:
        UsageError: the path holds none of these, what it holds is damaged, or the package that runs it is missing.
    """
    where = paths.path(path)
    threads = threads or openers.cores()
    if not where.exists():
        raise UsageError(f"{path}: no such file or folder")
    if where.suffix in (".tflite", ".onnx") and paths.is_file(where):
        with paths.local(where) as file:
            if where.suffix == ".onnx":
                return Exported(path, *openers.open_onnx(file, threads))
            return Exported(path, *openers.open_tflite(file, threads, trust))
    if paths.is_file(where / "config.json"):
        return Exported(path, *openers.open_run_folder(path, stage, trust))
    folder = openers.saved_model_folder(where)
    if folder is None:
        raise UsageError(f"{path}: neither a run folder, nor a SavedModel, a .tflite or a .onnx file")
    return Exported(path, *openers.open_saved_model(folder, trust))
