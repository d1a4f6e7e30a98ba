"""What a served model offers: signatures with stable names, uint8 frames out, one random stream a row.

Every input and output has the batch as its first dimension, as TF Serving's batching asks for.
What a request may hold is checked inside the graph, before anything large is made of it, so that
a wrong one ends in INVALID_ARGUMENT whatever server, or bare session, runs the graph.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.files.pictures import StripEncoding
from tfvideogan.inference.decoding import decode_images, require
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel

MAX_BATCH = 16  # A request may have so many rows.
MAX_LATENT = 100.0  # Latents from N(0, 1) never get near it, while networks overflow on much larger ones.
_LONGEST_JPEG = 65_500  # A JPEG file cannot have more lines.

Outputs = dict[str, tf.Tensor]


class ServedModel(tf.Module):
    """A model's endpoints as a module that `tf.saved_model.save` takes.

    It tracks raw variables: a SavedModel that holds Keras 3 objects loads in TF 2 but not
    in a session, and so not in TF Serving.

    Args:
        model: a loaded model; it is sampled with inference statistics.
        network: what computes in its place, from the same input to the same dict, as the
            network that `export.lowering` makes of it.
        max_batch: rows that a request may have.
    """

    def __init__(self, model: AdversarialModel, network: keras.Model | None = None, max_batch: int = MAX_BATCH):
        super().__init__()
        if network is None:
            self.tracked = list(model.sampling_state().values())
        else:
            self.tracked = [variable.value for variable in network.variables]
        self._sample = lambda inputs: (network or model)(inputs, training=False)
        self._num_frames, self._frame_size = model.num_frames, model.frame_size
        self._predicts = model.predicts
        self._has_mask = model.has_mask
        self._max_batch = max_batch

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The endpoints by name; `serving_default` is the first one again."""
        endpoints = self._of_predictor() if self._predicts else self._of_generator()
        if self._num_frames * self._frame_size > _LONGEST_JPEG:
            endpoints = {name: endpoint for name, endpoint in endpoints.items() if not name.endswith("_jpeg")}
        return {"serving_default": next(iter(endpoints.values()))} | endpoints

    def _of_generator(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
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

    def _of_predictor(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        size = self._frame_size
        frame = tf.TensorSpec([None, size, size, 3], tf.uint8, name="frame")
        image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
        endpoints = {
            "predict": self._endpoint(frame, lambda frame: self._frames(to_float(frame))),
            "predict_video": self._endpoint(frame, lambda frame: self._video(to_float(frame))),
            "predict_jpeg": self._endpoint(
                image_bytes, lambda image_bytes: self._filmstrip(to_float(decode_images(image_bytes, size)))
            ),
        }
        if self._has_mask:
            endpoints["streams"] = self._endpoint(frame, lambda frame: self._sample(to_float(frame)))
        return endpoints

    def _endpoint(
        self, spec: tf.TensorSpec, compute: Callable[[tf.Tensor], Outputs]
    ) -> tf.types.experimental.ConcreteFunction:
        """A function of one input, named by its spec, that refuses wrong shapes and batches first."""

        def checked(request: tf.Tensor) -> Outputs:
            request = tf.ensure_shape(request, spec.shape)  # A session takes any shape, and so does a server.
            rows = tf.shape(request)[0]
            fits = (rows >= 1) & (rows <= self._max_batch)
            return compute(require(request, fits, f"a request has 1 to {self._max_batch} rows. Received:", rows))

        return tf.function(checked, input_signature=[spec]).get_concrete_function()

    def _video(self, inputs: tf.Tensor) -> Outputs:
        """Latents or frames in [-1, 1] -> video float32 [B, T, H, W, 3] in [-1, 1]."""
        return {"video": self._sample(inputs)["clip"]}

    def _frames(self, inputs: tf.Tensor) -> Outputs:
        """Latents or frames in [-1, 1] -> frames uint8 [B, T, H, W, 3]."""
        return {"frames": to_uint8(self._sample(inputs)["clip"])}

    def _filmstrip(self, inputs: tf.Tensor) -> Outputs:
        """Latents or frames in [-1, 1] -> filmstrip_bytes [B]: JPEGs of the T frames under each other."""
        frames = self._frames(inputs)["frames"]
        strips = tf.reshape(frames, [-1, self._num_frames * self._frame_size, self._frame_size, 3])
        return {"filmstrip_bytes": tf.map_fn(_encode, strips, fn_output_signature=tf.TensorSpec([], tf.string))}


def _draw(seed: tf.Tensor) -> tf.Tensor:
    """seed int64 [B] -> latents [B, 100]; a row depends on its own seed only.

    Seed s gives the first clip of `tfvideogan.generate --seed=s`.
    """
    return tf.map_fn(
        lambda one: tf.random.stateless_normal([vgan.LATENT_DIM], tf.stack([one, 0])),
        seed,
        fn_output_signature=tf.TensorSpec([vgan.LATENT_DIM], tf.float32),
    )


def _check_latents(latents: tf.Tensor) -> tf.Tensor:
    largest = tf.reduce_max(tf.abs(latents))
    fits = tf.reduce_all(tf.abs(latents) <= MAX_LATENT)  # A comparison with NaN is false.
    return require(latents, fits, f"latents are finite and {MAX_LATENT:g} at most. Received magnitude:", largest)


def _encode(strip: tf.Tensor) -> tf.Tensor:
    """A picture of frames uint8 [T * H, W, 3] -> JPEG bytes, as `pictures.encode_strip` makes them."""
    return tf.io.encode_jpeg(strip, "rgb", quality=StripEncoding.quality, chroma_downsampling=False)
