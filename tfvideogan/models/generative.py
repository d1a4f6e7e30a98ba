"""What a model of this package is: its networks, its clips, what it samples from, and what Keras saves of it.

How a model trains is in `adversarial.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfvideogan.models import batch_statistics

Tensors = dict[str, tf.Tensor]
# A model is called on latents, on frames, or on frames with the wind of each.
Inputs = tf.Tensor | tuple[tf.Tensor, tf.Tensor]


class GenerativeModel(keras.Model):
    """A generator of clips, and the discriminator that it is trained against.

    A subclass gives `predicts` and `generate`, and overrides what its paper has otherwise.

    Args:
        generator: the network that is trained to generate; its outputs reach the losses.
        discriminator: the network that tells real clips from generated ones.
        seed: of the latents; step k of a training draws the same ones on any replica count.
        ema: decay of the moving average of the generator that sampling then uses, 0 for none.
        ema_warmup: whether the decay of step k, counted from 0, is min(ema, (1 + k) / (10 + k)), so that a short
            training does not sample with its initial weights (ours).
        options: `name`, `dtype` and `trainable`, as `keras.Model` takes them.
    """

    num_stages: ClassVar[int] = 1  # The paper's model takes so many trainings, one after the other.
    takes_wind: bool = False  # This tells whether a frame comes with its wind, and a batch of clips with theirs.

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        seed: int = 0,
        ema: float = 0.0,
        ema_warmup: bool = False,
        **options: Any,
    ):
        super().__init__(**options)
        self.generator = generator
        self.discriminator = discriminator
        self.seed = seed
        self.ema = ema
        self.ema_warmup = ema_warmup
        self.ema_generator = _copy_network(generator) if ema else None
        self.xla_samples = False  # `compile` decides whether XLA compiles what is sampled beside training, too.
        self._pass_through: Callable[..., tf.Tensor] | None = None
        self.built = True  # Otherwise Keras would call the model on clips to build networks that are built already.

    @property
    def stage(self) -> int:
        """Which of the `num_stages` this model is of, counted from 1."""
        return 1

    @property
    def predicts(self) -> bool:
        """Whether a clip is made from its first frame, rather than from latents."""
        raise NotImplementedError

    @property
    def repeats_frame(self) -> bool:
        """Whether its networks see the frame as a clip of equal frames."""
        return False

    @property
    def has_mask(self) -> bool:
        """Whether a sample comes with `mask`, `foreground` and `background`."""
        return False

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """(T, H, W, 3), of every clip that the model takes or makes."""
        return self.discriminator.input_shape[1:]

    @property
    def num_frames(self) -> int:
        """The number of frames in a clip."""
        return self.clip_shape[0]

    @property
    def frame_size(self) -> int:
        """Height and width in pixels."""
        return self.clip_shape[1]

    @property
    def sampling_inputs(self) -> tuple[tf.TensorSpec, ...]:
        """What the model is called on: float32 `latents` [None, 100], or `frame` [None, H, W, 3] in [-1, 1].

        A model that takes wind is called on the pair of a `frame` and its `wind` [None, 2].
        """
        if not self.predicts:
            return (tf.TensorSpec([None, *self.generator.input_shape[1:]], tf.float32, name="latents"),)
        frame = tf.TensorSpec([None, *self.clip_shape[1:]], tf.float32, name="frame")
        return (frame, tf.TensorSpec([None, 2], tf.float32, name="wind")) if self.takes_wind else (frame,)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """All networks, each once, in the order in which data passes them, by the names that checkpoints have."""
        average = {"ema_generator": self.ema_generator} if self.ema else {}
        return {"generator": self.generator, **average, "discriminator": self.discriminator}

    @property
    def sampling_networks(self) -> dict[str, keras.Model]:
        """Those of `networks` that a sample passes, in this order."""
        others = {"discriminator", "generator"} if self.ema else {"discriminator"}
        return {name: network for name, network in self.networks.items() if name not in others}

    @property
    def sampling_generator(self) -> keras.Model:
        """The last network that a sample passes: the moving average of the generator when there is one."""
        return self.ema_generator or self.generator

    @property
    def is_residual(self) -> bool:
        """Whether a clip is its input changed, so that details of the input which no network sees can be kept."""
        return False

    def sampling_state(self) -> dict[str, list[tf.Variable]]:
        """The variables that sampling needs, by network."""
        return {name: variables(network) for name, network in self.sampling_networks.items()}

    def generate(self, inputs: Inputs, generator: keras.Model, training: bool) -> Tensors:
        """What `generator` (the trained one or its average) makes: a dict with `clip` and what else the losses need."""
        raise NotImplementedError

    def call(self, inputs: Inputs, training: bool = False) -> Tensors:
        return self.generate(inputs, self.sampling_generator, training)

    def generator_inputs(self, clips: tf.Tensor, step: tf.Tensor, wind: tf.Tensor | None = None) -> Inputs:
        """Clips [N, T, H, W, 3], and their wind [N, 2] if the model takes it -> what the model is called on."""
        raise NotImplementedError

    def draw_latents(self, batch_size: tf.Tensor, latent_dim: int, step: tf.Tensor) -> tf.Tensor:
        """This replica's rows of the step's latents [N, latent_dim] from N(0, 1).

        They are a function of seed and step. All replicas draw the same global batch and take
        their rows of it, so that their number changes nothing (if it divides the batch), and a
        resumed run goes on as if it had not stopped.
        """
        context = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        rows = context.num_replicas_in_sync * batch_size
        latents = tf.random.stateless_normal([rows, latent_dim], seed)
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * batch_size
        return latents[first : first + batch_size]

    def reseed(self, seed: int) -> None:
        """Draws other latents from here on; functions that have traced `train_step` must be made anew."""
        self.seed = seed
        self._pass_through = None

    def estimate_batch_statistics(self, batches: Iterable[tf.Tensor]) -> None:
        """Sets the sampling generator's batch normalisation statistics to their mean over `batches`.

        A generator that was trained with batch statistics is sampled with moving averages,
        which lag behind its weights. These are plain averages over clips [N, T, H, W, 3], or over pairs of
        clips and their wind [N, 2] for a model that takes it.
        After an exception, or where the average is not finite, the statistics are as they were.

        Raises:
            ValueError: there are no batches.
        """
        batch_statistics.set_to_mean(self.sampling_generator, self._passes(batches))

    def _passes(self, batches: Iterable[tf.Tensor]) -> Iterator[None]:
        """Calls the sampling generator on each batch in training mode."""
        if self._pass_through is None:  # The first estimation traces it while momentum is 0, and the trace keeps that.

            @tf.function(autograph=False, jit_compile=self.xla_samples)
            def generate(inputs: Inputs) -> tf.Tensor:
                return self.generate(inputs, self.sampling_generator, training=True)["clip"][:0]

            @tf.function(autograph=False)
            def pass_through(batch: Inputs, index: tf.Tensor) -> tf.Tensor:
                clips, wind = batch if self.takes_wind else (batch, None)
                # The latents are drawn outside of what XLA compiles, which would draw others from the same seed.
                return generate(self.generator_inputs(clips, index, wind))

            self._pass_through = pass_through
        for index, batch in enumerate(batches):
            yield self._pass_through(batch, tf.constant(index))

    def get_config(self) -> dict[str, Any]:
        """All constructor arguments but the networks that only a subclass knows the names of."""
        discriminator = keras.saving.serialize_keras_object(self.discriminator)
        average = {"ema": self.ema, "ema_warmup": self.ema_warmup}
        return super().get_config() | {"discriminator": discriminator, "seed": self.seed} | average

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> GenerativeModel:
        return cls(**keras.saving.deserialize_keras_object(config))


def variables(part: Any) -> list[tf.Variable]:
    """TensorFlow's own variables of a network or an optimizer, which checkpoints and `tf.Module`s can hold."""
    return [variable.value for variable in part.variables]


def _copy_network(network: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy
