"""The signatures of a served model. Their names are stable, frames leave as uint8, and a row has its own random stream.

Every input and output has the batch as its first dimension, as TF Serving's batching asks for.
The graph itself checks a request, before it makes anything large of it. So a wrong request ends
with INVALID_ARGUMENT, whichever server or bare session runs the graph.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.files.declared import require
from tfvideogan.files.pictures import StripEncoding
from tfvideogan.inference.decoding import decode_images
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.drift import FASTEST_WIND
from tfvideogan.models.generative import Inputs

MAX_BATCH = 16  # A request may have so many rows.
MAX_LATENT = 100.0  # Latents from N(0, 1) never get near it, while networks overflow on much larger ones.
_LONGEST_JPEG = 65_500  # A JPEG file cannot have more lines.

Outputs = dict[str, tf.Tensor]


class ServedModel(tf.Module):
    """A model's endpoints as a module that `tf.saved_model.save` takes.

    The module tracks TensorFlow's own variables: a SavedModel that holds Keras 3 objects loads
    in TF 2 but not in a session, and so not in TF Serving.

    Args:
        model: a loaded model; it is sampled with inference statistics.
        network: computes in the model's place, from the same input to the same dict;
            `export.lowering` makes such networks.
        max_batch: how many rows a request may have.
    """

    def __init__(self, model: AdversarialModel, network: keras.Model | None = None, max_batch: int = MAX_BATCH):
        super().__init__()
        if network is None:
            self.tracked = list(model.sampling_state().values())
        else:
            self.tracked = [variable.value for variable in network.variables]
        self._sample = lambda inputs: (network or model)(inputs, training=False)
        self._winds = list(model.sampling_inputs[1:])
        self._num_frames, self._frame_size = model.num_frames, model.frame_size
        self._predicts = model.predicts
        self._has_mask = model.has_mask
        self._max_batch = max_batch

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The endpoints by name; `serving_default` is the first of them under another name.

        Those that give film-strips are left out where a JPEG cannot hold a clip.
        """
        endpoints = self._predictor_endpoints() if self._predicts else self._generator_endpoints()
        if self._num_frames * self._frame_size > _LONGEST_JPEG:
            endpoints = {name: endpoint for name, endpoint in endpoints.items() if not name.endswith("_jpeg")}
        return {"serving_default": next(iter(endpoints.values()))} | endpoints

    def _generator_endpoints(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        seed = tf.TensorSpec([None], tf.int64, name="seed")
        latents = tf.TensorSpec([None, vgan.LATENT_DIM], tf.float32, name="latents")
        endpoints = {
            "generate": self._endpoint(seed, lambda seed: self._frames(_draw(seed))),
            "generate_from_latents": self._endpoint(latents, lambda latents: self._video(_check_latents(latents))),
            "generate_jpeg": self._endpoint(seed, lambda seed: self._filmstrip(_draw(seed))),
        }
        if self._has_mask:
            endpoints["streams"] = self._endpoint(latents, lambda latents: self._sample(_check_latents(latents)))
        return endpoints

    def _predictor_endpoints(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Of a model that takes wind, every endpoint has the input `wind` [B, 2] beside its picture."""
        size = self._frame_size
        frame = tf.TensorSpec([None, size, size, 3], tf.uint8, name="frame")
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")

        def endpoint(compute: Callable[[Inputs], Outputs]) -> tf.types.experimental.ConcreteFunction:
            return self._endpoint(frame, lambda frame, *wind: compute(_with_wind(to_float(frame), *wind)), *self._winds)

        endpoints = {
            "predict": endpoint(self._frames),
            "predict_video": endpoint(self._video),
            "predict_jpeg": self._endpoint(
                image_bytes,
                lambda image_bytes, *wind: self._filmstrip(
                    _with_wind(to_float(decode_images(image_bytes, size)), *wind)
                ),
                *self._winds,
            ),
        }
        if self._has_mask:
            endpoints["streams"] = endpoint(self._sample)
        return endpoints

    def _endpoint(
        self, spec: tf.TensorSpec, compute: Callable[..., Outputs], *others: tf.TensorSpec
    ) -> tf.types.experimental.ConcreteFunction:
        """A function of inputs that have their names from their specs.

        It first refuses wrong shapes, batch sizes, and inputs of different numbers of rows.
        """
        specs = [spec, *others]

        def checked(*request: tf.Tensor) -> Outputs:
            # A session takes any shape, and so does a server.
            request = [tf.ensure_shape(one, spec.shape) for one, spec in zip(request, specs, strict=True)]
            counts = tf.stack([tf.shape(one)[0] for one in request])
            fits = (counts[0] >= 1) & (counts[0] <= self._max_batch) & tf.reduce_all(counts == counts[0])
            text = (
                f"a request has 1 to {self._max_batch} rows{', the same for all inputs' if others else ''}. Received:"
            )
            return compute(*(require(one, fits, text, counts if others else counts[0]) for one in request))

        return tf.function(checked, input_signature=specs).get_concrete_function()

    def _video(self, inputs: Inputs) -> Outputs:
        """Latents or frames in [-1, 1] -> video float32 [B, T, H, W, 3] in [-1, 1]."""
        return {"video": self._sample(inputs)["clip"]}

    def _frames(self, inputs: Inputs) -> Outputs:
        """Latents or frames in [-1, 1] -> frames uint8 [B, T, H, W, 3]."""
        return {"frames": to_uint8(self._sample(inputs)["clip"])}

    def _filmstrip(self, inputs: Inputs) -> Outputs:
        """Latents or frames in [-1, 1] -> filmstrip_bytes [B]: JPEGs of the T frames under each other."""
        frames = self._frames(inputs)["frames"]
        strips = tf.reshape(frames, [-1, self._num_frames * self._frame_size, self._frame_size, 3])
        return {"filmstrip_bytes": tf.map_fn(_encode, strips, fn_output_signature=tf.TensorSpec([], tf.string))}


def _draw(seed: tf.Tensor) -> tf.Tensor:
    """Seeds int64 [B] -> latents [B, 100]. A row depends on its own seed only.

    Seed s gives the first clip of `tfvideogan.generate --seed=s`.
    """
    return tf.map_fn(
        lambda one: tf.random.stateless_normal([vgan.LATENT_DIM], tf.stack([one, 0])),
        seed,
        fn_output_signature=tf.TensorSpec([vgan.LATENT_DIM], tf.float32),
    )


def _check_latents(latents: tf.Tensor) -> tf.Tensor:
    """The latents [B, 100], or INVALID_ARGUMENT if one is not finite or too large."""
    largest = tf.reduce_max(tf.abs(latents))
    fits = tf.reduce_all(tf.abs(latents) <= MAX_LATENT)  # A comparison with NaN is false.
    return require(latents, fits, f"latents are finite and {MAX_LATENT:g} at most. Received magnitude:", largest)


def _with_wind(frame: tf.Tensor, wind: tf.Tensor | None = None) -> Inputs:
    """What the model is called on, or INVALID_ARGUMENT for a wind that is not finite or too fast."""
    if wind is None:
        return frame
    fits = tf.reduce_all(tf.abs(wind) <= FASTEST_WIND)  # A comparison with NaN is false.
    return frame, require(wind, fits, f"a wind is from -{FASTEST_WIND:g} to {FASTEST_WIND:g}. Received:", wind)


def _encode(strip: tf.Tensor) -> tf.Tensor:
    """A picture of frames uint8 [T * H, W, 3] -> JPEG bytes, as `pictures.encode_strip` makes them."""
    return tf.io.encode_jpeg(strip, "rgb", quality=StripEncoding.quality, chroma_downsampling=False)
