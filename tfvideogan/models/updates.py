"""A player's update, which all replicas take or none, with the loss scale that float16 needs.

Keras' LossScaleOptimizer looks at replica 0 only, so that an overflow on another replica
reaches the weights. Here every replica votes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

INITIAL_SCALE = 2.0**15
SMALLEST_SCALE, LARGEST_SCALE = 2.0, 2.0**24
NO_SCALE = 1.0  # Networks in other precisions than float16 have this scale.
GROW_AFTER = 2000  # After so many finite updates in a row the scale is doubled.


class Update:
    """One network's optimizer, its loss scale, and the vote on each of its updates.

    Make it in the strategy's scope.

    Args:
        network: its trainable variables are updated; if it computes in float16, its losses are scaled.
        optimizer: it is built here, since Keras would build it inside the first step, which fails on two replicas.

    Raises:
        ValueError: an optimizer that scales losses itself.
    """

    def __init__(self, network: keras.Model, optimizer: keras.optimizers.Optimizer):
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor:
            raise ValueError(f"losses are scaled here, not by the optimizer. Received: {optimizer.name}")
        self.network, self.optimizer = network, optimizer
        # The layers are asked: Keras keeps their precision in a file, but gives the network that of the program.
        self.scales = any(layer.compute_dtype == "float16" for layer in network.layers)
        optimizer.build(network.trainable_variables)
        self.scale = training_variable(INITIAL_SCALE if self.scales else NO_SCALE, "loss_scale")
        self.finite_updates = training_variable(0, "finite_updates")  # They are counted since the scale changed.

    def keep_scale(self, scale: float) -> None:
        """Goes on with this loss scale, or with the initial one if the scale comes from a run in another precision."""
        if self.scales:
            self.scale.assign(INITIAL_SCALE if scale == NO_SCALE else scale)
            self.finite_updates.assign(0)

    @property
    def trained(self) -> list[tf.Variable]:
        """The network's trainable variables, in the order in which `apply` takes their gradients."""
        return [variable.value for variable in self.network.trainable_variables]

    def objective(self, losses: dict[str, tf.Tensor]) -> tf.Tensor:
        """The scaled sum of the losses, divided by the number of replicas, whose gradients are summed."""
        total = tf.add_n(list(losses.values())) / tf.distribute.get_replica_context().num_replicas_in_sync
        return total * self.scale if self.scales else total

    def unscaled_norm(self, gradient: tf.Tensor) -> tf.Tensor:
        """The Euclidean norm of a gradient of the `objective`, without its scale and division, in float32."""
        replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        return tf.norm(tf.cast(gradient, tf.float32)) * float(replicas) / self.scale

    def apply(
        self, gradients: Sequence[tf.Tensor], losses: Iterable[tf.Tensor], allowed: tf.Tensor | bool = True
    ) -> tf.Tensor:
        """Updates the network if the gradients and `losses` of all replicas are finite.

        Args:
            gradients: of the `objective`, for each of the network's `trained` variables.
            losses: they must be finite beside the gradients.
            allowed: a vote on something else, equal on all replicas, without which the update is not taken.

        Returns:
            Whether the update was taken, equal on all replicas.
        """
        variables = self.network.trainable_variables
        finite = vote(all_finite([*losses, *gradients]))
        if self.scales:
            gradients = [gradient / self.scale for gradient in gradients]
            self._adapt_scale(finite)
        taken = finite & allowed

        def on_all_replicas(strategy: tf.distribute.Strategy, taken: tf.Tensor, gradients: list[tf.Tensor]) -> None:
            def update() -> tf.Tensor:
                strategy.extended.call_for_each_replica(self.optimizer.apply, args=(gradients, variables))
                return tf.constant(True)

            tf.cond(strategy.experimental_local_results(taken)[0], update, lambda: tf.constant(False))

        # All replicas take part in an update, and TensorFlow refuses a condition around such an operation in the code
        # of a single one. `merge_call` lets the replicas wait while the condition is evaluated once for all of them.
        tf.distribute.get_replica_context().merge_call(on_all_replicas, args=(taken, gradients))
        return taken

    def _adapt_scale(self, finite: tf.Tensor) -> None:
        """Halves the scale at an overflow, and doubles it after `GROW_AFTER` updates without one."""
        grow = self.finite_updates + 1 >= GROW_AFTER
        doubled = tf.where(grow, tf.minimum(self.scale * 2.0, LARGEST_SCALE), self.scale)
        self.scale.assign(tf.where(finite, doubled, tf.maximum(self.scale / 2.0, SMALLEST_SCALE)))
        self.finite_updates.assign((self.finite_updates + 1) * tf.cast(finite & ~grow, tf.int64))


def training_variable(value: float, name: str) -> tf.Variable:
    """A variable of which each replica has, and changes, its own copy: a count (int64), or a scale if it is a float."""
    dtype = tf.float32 if isinstance(value, float) else tf.int64
    return tf.Variable(value, dtype=dtype, trainable=False, name=name)


def all_finite(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Whether all values of these tensors are finite on this replica."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])


def vote(yes: tf.Tensor) -> tf.Tensor:
    """Whether all replicas say yes, which each of them must be asked at the same time."""
    against = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(~yes, tf.int32))
    return tf.equal(against, 0)
