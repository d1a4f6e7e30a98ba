"""Models as the page plays them: from seeds, or from a photo, to the named films of one clip."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import clips
from tfvideogan.files import pictures
from tfvideogan.inference import latents, remote
from tfvideogan.models import drift

# The films of one clip by name, uint8 [T, H, W, 3] each. What the page saves is `clip`, or `stage 2` before `stage 1`.
Films = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class About:
    """What the page must know of a model, so that it shows what the model can do and nothing else.

    Attributes:
        name: what the model is called.
        description: a line about it.
        limits: what it cannot do, a line each.
        predicts: whether clips are made from photos, rather than from seeds.
        wind: whether a photo comes with a wind.
        own_size: whether clips can have the photo's own size.
        films: the names of the films of a clip.
        frames: the number of frames of a clip.
        size: height and width of a frame, pixels.
    """

    name: str
    description: str
    limits: list[str]
    predicts: bool
    wind: bool
    own_size: bool
    films: list[str]
    frames: int
    size: int


class Player(Protocol):
    """A model that makes the films of one clip."""

    about: About

    def generate(self, seed: int, to: int, share: float) -> Films:
        """The films of a seed, or of the latents at a share, 0 to 1, of the way from it to another."""

    def predict(self, photo: np.ndarray, wind: np.ndarray) -> Films:
        """The films of a photo uint8 [H, W, 3], squashed to the model's frame; wind [2] is for models that take it."""

    def enlarge(self, photo: np.ndarray, wind: np.ndarray) -> np.ndarray:
        """The clip of a photo at its own size, uint8 [T, H, W, 3]."""


class RunPlayer:
    """The model of a run folder, by TensorFlow.

    Args:
        run_dir: the folder.
        stage: 1 for MD-GAN's Base-Net alone, by default the newest.
        card: what a shipped model says of itself (`shipped.card`).
        trust: whether its options may ask for more memory than there is.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        stage: int | None = None,
        card: dict[str, Any] | None = None,
        trust: bool = False,
    ):
        from tfvideogan.inference import animation, sampling
        from tfvideogan.runs import loading

        self._model, checkpoint = loading.load_model(run_dir, stage, trust)
        self._forward = sampling.forward_pass(self._model)
        model, card = self._model, card or {}
        self._animator = animation.Animator(model, full_size=True) if model.predicts else None
        self._latent_dim = model.sampling_inputs[0].shape[-1]  # Of a model that predicts, it has no meaning.
        row = np.zeros([1, *model.sampling_inputs[0].shape[1:]], np.float32)
        films = self._films(row, np.zeros(2, np.float32))
        described = f"{type(model).__name__}, stage {checkpoint.stage}, step {checkpoint.step}"
        self.about = About(
            card.get("name") or os.path.basename(os.path.abspath(run_dir)),  # noqa: PTH100, PTH119 - it may be remote
            card.get("description", described),
            card.get("limits", []),
            *(model.predicts, model.takes_wind, model.predicts),
            list(films),
            *model.clip_shape[:2],
        )

    def generate(self, seed: int, to: int, share: float) -> Films:
        return self._films(_between(seed, to, share, self._latent_dim), None)

    def predict(self, photo: np.ndarray, wind: np.ndarray) -> Films:
        size = self._model.frame_size
        return self._films(clips.to_float(pictures.resize(photo, size, size))[None], wind)

    def enlarge(self, photo: np.ndarray, wind: np.ndarray) -> np.ndarray:
        return self._animator.clip(photo, wind if self._model.takes_wind else None)

    def _films(self, row: np.ndarray, wind: np.ndarray | None) -> Films:
        import tensorflow as tf

        from tfvideogan.inference import visuals

        # Tensors rather than arrays, for which a graph would be traced anew at each call.
        inputs = (tf.constant(row), tf.constant(wind[None])) if self._model.takes_wind else tf.constant(row)
        outputs = {name: value.numpy() for name, value in self._forward(inputs).items()}
        rows = visuals.sample_rows(outputs)
        return {name: row[0] for name, row in rows.items() if name != "masked_foreground"}


class FilePlayer:
    """An exported file or SavedModel, by `load_exported`: it gives the clip alone.

    Args:
        path: the file or folder.
        trust: whether it is opened without being looked at first.
    """

    def __init__(self, path: str | os.PathLike[str], trust: bool = False):
        from tfvideogan.inference import artefacts

        self._exported = artefacts.load_exported(path, trust=trust)
        shape = self._exported.input_shape
        self._latent_dim = shape[-1]
        row = np.zeros([1, *shape], np.float32)
        num_frames, size = self._exported.run(row).shape[1:3]
        predicts, wind = self._exported.predicts, self._exported.takes_wind
        name = os.path.basename(os.fspath(path))  # noqa: PTH119 - it may be remote
        self.about = About(name, "an exported model", [], predicts, wind, False, ["clip"], num_frames, size)

    def generate(self, seed: int, to: int, share: float) -> Films:
        return {"clip": clips.to_uint8(self._exported.run(_between(seed, to, share, self._latent_dim))[0])}

    def predict(self, photo: np.ndarray, wind: np.ndarray) -> Films:
        return {"clip": self._exported.predict(photo, wind if self.about.wind else None)[0]}

    def enlarge(self, photo: np.ndarray, wind: np.ndarray) -> np.ndarray:  # noqa: ARG002 - the page does not offer it
        raise UsageError("an exported model has no clips of the photo's own size")


# What a served model may be, by a signature and its inputs: whether it takes photos, whether they come with a wind, and
# whether clips of seeds come without loss, as those do whose strips no JPEG can hold.
_KINDS = {
    ("generate_jpeg", "seed"): (False, False, False),
    ("predict_jpeg", "image_bytes"): (True, False, False),
    ("predict_jpeg", "image_bytes wind"): (True, True, False),
    ("generate", "seed"): (False, False, True),
}


class RemotePlayer:
    """A model that a server runs, which gives the clip alone.

    What the model is, the server's metadata tell. Of a server that has none it is learned by trying.

    Args:
        served: the model; what it raises when it is first called is raised here.
        name: what it is called.
        target: the server.

    Raises:
        UsageError: the model has no signature that the page could play.
    """

    def __init__(self, served: remote.RemoteModel, name: str, target: str):
        self._served = served
        told = served.signatures()
        kinds = list(_KINDS.values()) if told is None else _told_kinds(told)
        if not kinds:
            raise UsageError(f"{target}, model {name}: a page cannot play it; its signatures are {', '.join(told)}")
        (predicts, wind, self._lossless), clip = _first_that_works(kinds, self._try)
        self.about = About(name, f"a model served by {target}", [], predicts, wind, False, ["clip"], *clip.shape[1:3])

    def _try(self, predicts: bool, wind: bool, lossless: bool) -> np.ndarray:
        """A clip [1, T, H, W, 3] of a model of this kind, whatever it shows."""
        if predicts:
            return self._served.predict(np.zeros([2, 2, 3], np.uint8), np.zeros(2, np.float32) if wind else None)
        return self._served.generate(0, lossless)

    def generate(self, seed: int, to: int, share: float) -> Films:
        if share == 0 or seed == to:
            return {"clip": self._served.generate(seed, self._lossless)[0]}
        return {"clip": self._served.generate_from_latents(_between(seed, to, share, remote.LATENT_DIM))[0]}

    def predict(self, photo: np.ndarray, wind: np.ndarray) -> Films:
        return {"clip": self._served.predict(photo, wind if self.about.wind else None)[0]}

    def enlarge(self, photo: np.ndarray, wind: np.ndarray) -> np.ndarray:  # noqa: ARG002 - the page does not offer it
        raise UsageError("a served model has no clips of the photo's own size")


def _told_kinds(told: dict[str, set[str]]) -> list[tuple[bool, bool, bool]]:
    """The first of `_KINDS` that has its signature, with these inputs, among those that a server tells of."""
    inputs = {name: " ".join(sorted(names)) for name, names in told.items()}
    return [kind for (name, wanted), kind in _KINDS.items() if inputs.get(name) == wanted][:1]


def _first_that_works(kinds: list[Any], attempt: Callable[..., np.ndarray]) -> tuple[Any, np.ndarray]:
    """The first kind that is not refused when it is tried, and what it gave.

    Raises the first refusal if all are refused, but not that of a signature that the model lacks if there is another.
    """
    refused: list[UsageError] = []
    for kind in kinds:
        try:
            return kind, attempt(*kind)
        except remote.ServerError:
            raise
        except UsageError as error:
            refused.append(error)
    lacks_signature = re.compile("signature.*not found", re.IGNORECASE)
    raise min(refused, key=lambda error: bool(lacks_signature.search(str(error))))


def _between(seed: int, to: int, share: float, size: int) -> np.ndarray:
    """Latents float32 [1, size] at a share of the way from one seed to another, on the great circle."""
    start = latents.normal(seed, size)
    return (
        start[None]
        if share == 0 or seed == to
        else latents.great_circle(start, latents.normal(to, size), np.float64([share]))
    )


def check_wind(u: float, v: float) -> np.ndarray:
    """float32 [2]. Raises UsageError for what is no wind."""
    wind = np.float32([u, v])
    if not np.all(np.abs(wind) <= drift.FASTEST_WIND):
        raise UsageError(f"a wind must be two numbers from -1 to 1. Received: {u}, {v}")
    return wind
