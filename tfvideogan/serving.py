"""What a served model offers: signatures with stable names, uint8 frames out, one random stream a row.

Every input and output has the batch as its first dimension, as TF Serving's batching asks for.
"""

from __future__ import annotations

import tensorflow as tf

from tfvideogan.data.clips import to_float, to_uint8_tensor
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel


class ServedModel(tf.Module):
    """A model's endpoints as a module that `tf.saved_model.save` takes.

    It tracks raw variables: a SavedModel that holds Keras 3 objects loads in TF 2 but not
    in a session, and so not in TF Serving.

    Args:
        model: a loaded model; it is sampled with inference statistics.
    """

    def __init__(self, model: AdversarialModel):
        super().__init__()
        self.tracked = list(model.sampling_state().values())
        self._sample = lambda inputs: model(inputs, training=False)
        self._frame_size = model.discriminator.input_shape[2]
        self._predicts = model.predicts
        self._has_mask = not model.predicts and "mask" in model.generator.output

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The endpoints by name; `serving_default` is the first one again."""
        if self._predicts:
            size = self._frame_size
            frame = tf.TensorSpec([None, size, size, 3], tf.uint8, name="frame")
            found = {"predict": _endpoint(self._predict, frame)}
        else:
            seed = tf.TensorSpec([None], tf.int64, name="seed")
            latents = tf.TensorSpec([None, vgan.LATENT_DIM], tf.float32, name="latents")
            found = {
                "generate": _endpoint(self._generate, seed),
                "generate_from_latents": _endpoint(self._generate_from_latents, latents),
            }
            if self._has_mask:
                found["streams"] = _endpoint(self._sample, latents)
        return {"serving_default": next(iter(found.values()))} | found

    def _predict(self, frame: tf.Tensor) -> dict[str, tf.Tensor]:
        """frame uint8 [B, H, W, 3] -> frames uint8 [B, T, H, W, 3]."""
        return {"frames": to_uint8_tensor(self._sample(to_float(frame))["clip"])}

    def _generate(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """seed int64 [B] -> frames uint8 [B, T, H, W, 3]; a row depends on its own seed only.

        Seed s gives the first clip of `tfvideogan.generate --seed=s`.
        """
        latents = tf.map_fn(
            lambda one: tf.random.stateless_normal([vgan.LATENT_DIM], tf.stack([one, 0])),
            seed,
            fn_output_signature=tf.TensorSpec([vgan.LATENT_DIM], tf.float32),
        )
        return {"frames": to_uint8_tensor(self._sample(latents)["clip"])}

    def _generate_from_latents(self, latents: tf.Tensor) -> dict[str, tf.Tensor]:
        """latents float32 [B, 100] -> video float32 [B, T, H, W, 3] in [-1, 1]."""
        return {"video": self._sample(latents)["clip"]}


def _endpoint(function, spec: tf.TensorSpec) -> tf.types.experimental.ConcreteFunction:
    return tf.function(function, input_signature=[spec]).get_concrete_function()
