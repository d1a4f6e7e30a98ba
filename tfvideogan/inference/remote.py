"""A model that a server runs, called as `load_exported` calls one that lies here. No TensorFlow is needed.

    from tfvideogan import RemoteModel

    clips = RemoteModel("grpc://localhost:8500", "vgan").generate(seed=[1, 2])        # uint8 [2, T, H, W, 3]
    clip = RemoteModel("rest://localhost:8501", "mdgan").predict("photo.jpg")         # uint8 [1, T, H, W, 3]

The server is TensorFlow Serving, or another of REST V1 or of the PredictionService, with a SavedModel of
`export.to_saved_model`. Clips come as film-strips, JPEGs of their frames (`signatures.py`).
"""

from __future__ import annotations

import io
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from tfvideogan.config import UsageError
from tfvideogan.data.clips import to_uint8
from tfvideogan.files import picture_reader, pictures
from tfvideogan.inference import transports
from tfvideogan.inference.messages import Value

logger = logging.getLogger(__name__)

LATENT_DIM = 100  # Every generator takes so many latents.
LARGEST_SENT = 1024  # Pictures whose longer side is larger are scaled down to it before they are sent.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds
# Errors of these kinds lie in the request; all others lie with the server.
_OF_THE_REQUEST = {
    *("INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "FAILED_PRECONDITION", "UNAUTHENTICATED", "PERMISSION_DENIED"),
}
_HAS_NO_METADATA = {"NOT_FOUND", "UNIMPLEMENTED", "INVALID_ARGUMENT"}


class ServerError(UsageError):
    """A server cannot be reached, has no time, or fails."""

    status = 1


class RemoteModel:
    """A served model, which several threads may call at once.

    Args:
        target: `rest://HOST:PORT` or `grpc://HOST:PORT`, unencrypted.
        model: its name there.
        deadline: seconds that each request may take, with all its tries.
        retries: how often a request is sent again while the server is unavailable (UNAVAILABLE, 503, or no connection),
            after pauses that grow from 0.2 to 10 s and are cut at random, so that clients do not come back together.
            No other error is tried again.
        max_batch: rows of a request, at most as many as `export.to_saved_model --max_batch` allows.

    Raises:
        UsageError: the target is none, or grpcio is missing.
    """

    def __init__(self, target: str, model: str, deadline: float = 60.0, retries: int = 4, max_batch: int = 16):
        self._transport = transports.open_transport(target, model)
        self._name = f"{target}, model {model}"
        self._deadline, self._retries, self._max_batch = deadline, retries, max_batch

    def generate(self, seed: int | Sequence[int], lossless: bool = False) -> np.ndarray:
        """A clip of each seed, uint8 [N, T, H, W, 3]; seed s gives the first clip of `tfvideogan.generate --seed=s`.

        Args:
            lossless: asks for the frames themselves, in place of film-strips, which are some 13 to 30 times smaller.

        Raises:
            UsageError: a seed is not a signed integer of 64 bits, or the server refuses the request.
            ServerError: the server cannot be reached, has no time, or fails.
        """
        try:
            seeds = np.atleast_1d(np.asarray(seed, np.int64))
        except (OverflowError, TypeError, ValueError):
            seeds = np.zeros(0)
        if not seeds.size or seeds.ndim != 1 or not np.array_equal(seeds, np.atleast_1d(seed)):
            raise UsageError(f"seed must be an integer or a list of them, of 64 bits. Received: {seed!r}")
        parts = [seeds[first : first + self._max_batch] for first in range(0, len(seeds), self._max_batch)]
        if lossless:
            clips = [self._frames(self._call("generate", {"seed": part}, "frames"), np.uint8) for part in parts]
        else:
            clips = [self._strips("generate_jpeg", {"seed": part}) for part in parts]
        if [len(part) for part in clips] != [len(part) for part in parts] or len(
            {part.shape[1:] for part in clips}
        ) > 1:
            raise ServerError(f"{self._name}: the answer does not hold a clip for each of {len(seeds)} seeds")
        return np.concatenate(clips)

    def generate_from_latents(self, latents: np.ndarray) -> np.ndarray:
        """The clips of latents float32 [N, 100], uint8 [N, T, H, W, 3]; N is `max_batch` at most.

        Its floats are some hundred times the bytes of the film-strip of a seed, by REST.

        Raises:
            UsageError: the server refuses the request.
            ServerError: the server cannot be reached, has no time, or fails.
        """
        video = self._call("generate_from_latents", {"latents": np.asarray(latents, np.float32)}, "video")
        return to_uint8(self._frames(video, np.float32))

    def predict(
        self, image: str | os.PathLike[str] | np.ndarray, wind: np.ndarray | Sequence[float] | None = None
    ) -> np.ndarray:
        """The clip that follows a picture, uint8 [1, T, H, W, 3].

        Args:
            image: a file of any format that `tfvideogan.predict` reads, or uint8 [H, W, 3], of any size. It is sent as
                a PNG, whose longer side has `LARGEST_SENT` pixels at most.
            wind: what a model trained with `--drift` must be given: so many frame widths to the right and frame heights
                downwards a frame. Others refuse it.

        Raises:
            UsageError: the picture cannot be read, or the server refuses the request.
            ServerError: the server cannot be reached, has no time, or fails.
        """
        fit = pictures.at_most(LARGEST_SENT)
        if not isinstance(image, np.ndarray):
            frame = picture_reader.read_image(image, fit)
        elif image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size:
            frame = pictures.resize(image, *fit(image.shape[1], image.shape[0]))
        else:
            raise UsageError(f"image must be a file or uint8 [H, W, 3]. Received: {image.dtype} {list(image.shape)}")
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "PNG")
        inputs: dict[str, Value] = {"image_bytes": [buffer.getvalue()]}
        if wind is not None:
            inputs["wind"] = np.asarray(wind, np.float32)[None]
        return self._strips("predict_jpeg", inputs)

    def signatures(self) -> dict[str, set[str]] | None:
        """The names of each signature's inputs, or None where the server does not tell them, as KServe's own does not.

        Raises:
            UsageError: the server refuses the request.
            ServerError: the server cannot be reached, has no time, or fails.
        """
        try:
            return self._until_available(self._transport.signatures)
        except UsageError as error:
            if isinstance(error.__cause__, transports.RequestError) and error.__cause__.code in _HAS_NO_METADATA:
                return None
            raise

    def _strips(self, signature: str, inputs: Mapping[str, Value]) -> np.ndarray:
        strips = self._call(signature, inputs, "filmstrip_bytes")
        if not (isinstance(strips, list) and strips and all(isinstance(strip, bytes) for strip in strips)):
            raise ServerError(f"{self._name}: the answer holds no film-strip")
        try:
            return np.stack([pictures.decode_strip(strip) for strip in strips])
        except ValueError as error:
            raise ServerError(f"{self._name}: {error}") from error

    def _frames(self, values: Value, dtype: type) -> np.ndarray:
        try:
            frames = np.asarray(values, dtype)
        except (TypeError, ValueError, OverflowError):
            frames = np.zeros(0, dtype)
        if frames.ndim != 5 or frames.shape[-1] != 3:
            raise ServerError(f"{self._name}: the answer holds no clips")
        return frames

    def _call(self, signature: str, inputs: Mapping[str, Value], output: str) -> Value:
        """One output of a request."""
        return self._until_available(lambda seconds: self._transport.call(signature, inputs, output, seconds))

    def _until_available(self, ask: Callable[[float], Any]) -> Any:
        """The answer to a request that may take so many seconds, which is tried again while there is no server."""
        end, attempt = time.monotonic() + self._deadline, 0
        while True:
            try:
                return ask(max(0.001, end - time.monotonic()))
            except transports.RequestError as error:
                pause = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))
                is_last = attempt == self._retries or time.monotonic() + pause >= end
                if error.code != transports.UNAVAILABLE or is_last:
                    kind = UsageError if error.code in _OF_THE_REQUEST else ServerError
                    raise kind(f"{self._name}: {error}") from error
                logger.info("%s: %s; again in %.1f s", self._name, error, pause)
                time.sleep(pause)
                attempt += 1
