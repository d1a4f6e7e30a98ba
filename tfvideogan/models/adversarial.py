"""The one adversarial training step, for both papers, every strategy, with and without XLA.

A paper supplies how to generate and the losses of its two players, each as
{name: scalar}; `AdversarialModel` sums, differentiates, applies and tracks them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.models import blocks
from tfvideogan.models.updates import Update, all_finite, per_replica, vote

logger = logging.getLogger(__name__)


class AdversarialModel(keras.Model):
    """A generator and a discriminator trained against each other.

    Subclasses give `predicts`, `loss_names`, `paper_adam` and the methods that raise
    NotImplementedError here. Make and compile the model inside a strategy's scope to
    train it on several replicas.

    Args:
        generator: the network that is trained to generate; its outputs reach the losses.
        discriminator: the network that tells real clips from generated ones.
        seed: of the latents; step k of a training draws the same ones on any replica count.
        ema: decay of the moving average of the generator that sampling then uses, 0 for none.
    """

    paper_adam: ClassVar[dict[str, float]]
    predicts: bool  # a clip from its first frame, rather than from latents

    def __init__(self, generator: keras.Model, discriminator: keras.Model, seed: int = 0, ema: float = 0.0):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.seed = seed
        self.ema = ema
        self.ema_generator = _copy_network(generator) if ema else None
        self._trackers: dict[str, keras.metrics.Mean] = {}
        self._pass_through = None
        self.built = True  # the networks are: Keras must not call the model on a data batch to find out

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The names that the two loss methods return."""
        raise NotImplementedError

    def generator_inputs(self, clips: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Clips [N, T, H, W, 3] -> what the generator gets beside them at this step: latents or frames."""
        raise NotImplementedError

    def generate(self, inputs: tf.Tensor, generator: keras.Model, training: bool) -> dict[str, tf.Tensor]:
        """What `generator` (the trained one or its average) makes: a dict with `clip` and what else the losses need."""
        raise NotImplementedError

    def call(self, inputs: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        return self.generate(inputs, self.sampling_generator, training)

    def discriminator_losses(self, clips: tf.Tensor, generated: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The terms that the discriminator minimises, by name."""
        raise NotImplementedError

    def generator_losses(self, clips: tf.Tensor, generated: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The terms that the generator minimises, by name."""
        raise NotImplementedError

    @property
    def sampling_generator(self) -> keras.Model:
        """The generator to sample from: the moving average when there is one."""
        return self.ema_generator or self.generator

    @property
    def networks(self) -> dict[str, keras.Model]:
        """All networks, each once, in the order in which data pass them, by the names that checkpoints have."""
        average = {"ema_generator": self.ema_generator} if self.ema else {}
        return {"generator": self.generator, **average, "discriminator": self.discriminator}

    @property
    def sampling_networks(self) -> dict[str, keras.Model]:
        """Those of `networks` that a sample passes, in this order."""
        others = {"discriminator", "generator"} if self.ema else {"discriminator"}
        return {name: network for name, network in self.networks.items() if name not in others}

    def sampling_state(self) -> dict[str, list[tf.Variable]]:
        """The variables that sampling needs, by network."""
        return {name: [v.value for v in network.variables] for name, network in self.sampling_networks.items()}

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer | None = None,
        discriminator_optimizer: keras.optimizers.Optimizer | None = None,
        xla: bool = False,
        **options: Any,
    ) -> None:
        """Sets the two optimizers (the paper's Adam by default) and whether XLA compiles networks and losses.

        Losses of float16 networks are scaled by the model itself. Other options, as
        `run_eagerly`, go to `keras.Model.compile`.
        """
        self.generator_optimizer = generator_optimizer or keras.optimizers.Adam(**self.paper_adam)
        self.discriminator_optimizer = discriminator_optimizer or keras.optimizers.Adam(**self.paper_adam)
        with self.distribute_strategy.scope():
            self.generator_update = Update(self.generator, self.generator_optimizer)
            self.discriminator_update = Update(self.discriminator, self.discriminator_optimizer)
            self.step = per_replica(0, "step")
            self.skipped = per_replica(0, "skipped")
            self.skipped_in_a_row = per_replica(0, "skipped_in_a_row")
            self._trackers = {name: keras.metrics.Mean(name=name) for name in ("d_loss", "g_loss", *self.loss_names)}
        # Only these are compiled: the optimizers' updates cross replicas, which XLA cannot.
        wrap = _xla_function if xla else (lambda function: function)
        self._generate = wrap(lambda inputs: self.generate(inputs, self.generator, training=True))
        self._discriminator_losses = wrap(self.discriminator_losses)
        self._generator_losses = wrap(self.generator_losses)
        super().compile(optimizer=self.generator_optimizer, jit_compile=False, auto_scale_loss=False, **options)

    @property
    def optimizers(self) -> tuple[keras.optimizers.Optimizer, keras.optimizers.Optimizer]:
        """The generator's and the discriminator's."""
        return self.generator_optimizer, self.discriminator_optimizer

    @property
    def updates(self) -> tuple[Update, Update]:
        """The generator's and the discriminator's."""
        return self.generator_update, self.discriminator_update

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._trackers.values())

    def train_step(self, clips: tf.Tensor) -> dict[str, tf.Tensor]:
        """One generator forward, one discriminator update, one generator update on the same fakes.

        An update that is not finite on some replica is skipped on all, and the generator's
        is with the discriminator's; `skipped` counts such steps, `skipped_in_a_row` the last ones.
        """
        statistics = [v.value for network in (self.generator, self.discriminator) for v in _statistics(network)]
        before = [tf.identity(variable) for variable in statistics]
        inputs = self.generator_inputs(clips, self.step)
        with tf.GradientTape(watch_accessed_variables=False) as g_tape:
            g_tape.watch([v.value for v in self.generator.trainable_variables])
            generated = self._generate(inputs)
            with g_tape.stop_recording():
                with tf.GradientTape(watch_accessed_variables=False) as d_tape:
                    d_tape.watch([v.value for v in self.discriminator.trainable_variables])
                    d_losses = self._discriminator_losses(clips, generated)
                    d_objective = self.discriminator_update.objective(d_losses)
                taken = self.discriminator_update.apply(d_tape, d_objective, d_losses.values())
            g_losses = self._generator_losses(clips, generated)
            g_objective = self.generator_update.objective(g_losses)
        taken &= vote(all_finite(statistics))
        taken = self.generator_update.apply(g_tape, g_objective, g_losses.values(), allowed=taken)
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(tf.where(taken, variable, value))  # a forward pass that was not finite has spoiled them
        self._count(taken)
        self._update_ema(taken)
        return self._track(d_losses, g_losses, taken)

    def _count(self, taken: tf.Tensor) -> None:
        skipped = tf.cast(~taken, tf.int64)
        self.step.assign_add(1)
        self.skipped.assign_add(skipped)
        self.skipped_in_a_row.assign((self.skipped_in_a_row + 1) * skipped)

    def _track(
        self, d_losses: dict[str, tf.Tensor], g_losses: dict[str, tf.Tensor], taken: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Means over the steps that were taken."""
        totals = {"d_loss": tf.add_n(list(d_losses.values())), "g_loss": tf.add_n(list(g_losses.values()))}
        for name, value in (totals | d_losses | g_losses).items():
            self._trackers[name].update_state(tf.where(taken, value, 0.0), sample_weight=tf.cast(taken, tf.float32))
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def reseed(self, seed: int) -> None:
        """Draws other latents from here on; functions that hold `train_step` must be traced anew."""
        self.seed = seed
        self._pass_through = None

    def draw_latents(self, batch_size: tf.Tensor, latent_dim: int, step: tf.Tensor) -> tf.Tensor:
        """This replica's rows of the step's latents [N, latent_dim] from N(0, 1).

        They are a function of seed and step: all replicas draw the same global batch and
        take their rows of it, so replicas change nothing and a resumed run draws on.
        """
        context = tf.distribute.get_replica_context()
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        rows = context.num_replicas_in_sync * batch_size
        latents = tf.random.stateless_normal([rows, latent_dim], seed)
        first = tf.cast(context.replica_id_in_sync_group, tf.int32) * batch_size
        return latents[first : first + batch_size]

    def _update_ema(self, taken: tf.Tensor) -> None:
        if self.ema_generator is None:
            return
        share = tf.where(taken, 1.0 - self.ema, 0.0)
        for average, current in zip(self.ema_generator.variables, self.generator.variables, strict=True):
            average.value.assign_sub(share * (average.value - current.value))

    def estimate_batch_statistics(self, batches: Iterable[tf.Tensor]) -> None:
        """Sets the sampling generator's batch normalisation statistics to their mean over `batches`.

        A generator trained with batch statistics and sampled with smoothed ones is off by
        whatever the smoothing missed; this is the plain average over clips [N, T, H, W, 3].

        Raises:
            ValueError: there are no batches.
        """
        layers = blocks.batch_norms(self.sampling_generator)
        statistics = _statistics(self.sampling_generator)
        before = [v.numpy() for v in statistics]
        sums = [np.zeros_like(value) for value in before]
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.momentum = 0.0  # each call then leaves its own batch's statistics

        if self._pass_through is None:  # traced once, with momentum 0

            @tf.function
            def pass_through(clips: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
                inputs = self.generator_inputs(clips, index)
                return self.generate(inputs, self.sampling_generator, training=True)["clip"][:0]

            self._pass_through = pass_through
        count = 0
        for clips in batches:
            self._pass_through(clips, tf.constant(count))
            sums = [total + v.numpy() for total, v in zip(sums, statistics, strict=True)]
            count += 1
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        if not count:
            raise ValueError("there are no batches to estimate statistics over")
        finite = all(np.isfinite(total).all() for total in sums)
        if not finite:
            logger.warning("batch statistics are not finite over %d batches: they stay as they were", count)
        for variable, total, value in zip(statistics, sums, before, strict=True):
            variable.assign(total / count if finite else value)


def _statistics(network: keras.Model) -> list[keras.Variable]:
    """The moving statistics of batch normalisation."""
    return [v for layer in blocks.batch_norms(network) for v in (layer.moving_mean, layer.moving_variance)]


def _xla_function(function: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(function, jit_compile=True)


def _copy_network(network: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy
