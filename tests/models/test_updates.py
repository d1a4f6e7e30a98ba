"""One player's update, and float16's loss scale, on a network of a single weight."""

from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.case import INF, POLICIES, PolicyTest, set_scales
from tfvideogan.models import updates
from tfvideogan.training import runtime


class OneWeight:
    """The update of a network with a single weight, 1 at first, by SGD at a rate of 1/4."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy or tf.distribute.get_strategy()
        with self.strategy.scope():
            features = keras.Input([1])
            layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
            self.network = keras.Model(features, layer(features))
            self.update = updates.Update(self.network, keras.optimizers.SGD(0.25))
        self._step = tf.function(
            lambda gradient, allowed: self.strategy.run(self._of_replica, args=(gradient, allowed))
        )

    def step(self, *gradients: float, allowed: bool = True) -> list[bool]:
        """A step with a gradient for each replica; whether each says that it was taken."""
        values = self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(gradients[context.replica_id_in_sync_group])
        )
        taken = self._step(values, tf.constant(allowed))
        return [bool(own) for own in self.strategy.experimental_local_results(taken)]

    def _of_replica(self, gradient: tf.Tensor, allowed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            weight = self.network.trainable_variables[0].value
            losses = {"loss": gradient * tf.reduce_sum(weight)}
            objective = self.update.objective(losses)
        gradients = tape.gradient(objective, self.update.trained)
        return self.update.apply(gradients, losses.values(), allowed)

    @property
    def weights(self) -> list[float]:
        value = self.network.trainable_variables[0].value
        return [float(copy.numpy()[0, 0]) for copy in self.strategy.experimental_local_results(value)]

    @property
    def scale(self) -> float:
        return float(self.update.scale.numpy())


class UpdateTest(PolicyTest):
    def test_the_scale_cancels_out_by_hand(self):
        for policy in POLICIES:
            with self.subTest(policy):
                self.use_policy(policy)
                one = OneWeight()
                self.assertEqual(one.step(2.0), [True])
                self.assertEqual(one.weights, [0.5])  # 1 - 2 / 4

    def test_replicas_are_averaged_by_hand(self):
        for policy in POLICIES:
            with self.subTest(policy):
                self.use_policy(policy)
                two = OneWeight(runtime.make_strategy("mirrored"))
                self.assertEqual(two.step(2.0, 4.0), [True, True])
                self.assertEqual(two.weights, [0.25, 0.25])  # 1 - (2 + 4) / 2 / 4

    def test_one_replica_against_is_all_against(self):
        for policy in POLICIES:
            self.use_policy(policy)
            two = OneWeight(runtime.make_strategy("mirrored"))
            for gradients in ((INF, 1.0), (1.0, INF), (float("nan"), 1.0), (1.0, -INF), (INF, -INF)):
                with self.subTest(policy=policy, gradients=gradients):
                    self.assertEqual(two.step(*gradients), [False, False])
                    self.assertEqual(two.weights, [1.0, 1.0])

    def test_an_update_that_is_not_allowed_is_finite_but_not_taken(self):
        self.use_policy("mixed_float16")
        one = OneWeight()
        self.assertEqual(one.step(1.0, allowed=False), [False])
        self.assertEqual(one.weights, [1.0])
        self.assertEqual((one.scale, int(one.update.finite_updates)), (2.0**15, 1))

    def test_the_objective_is_divided_by_the_replicas_and_scaled(self):
        losses = {"a": tf.constant(3.0), "b": tf.constant(1.0)}
        for policy, strategy, expected in (
            ("float32", None, 4.0),
            ("float32", runtime.make_strategy("mirrored"), 2.0),
            ("mixed_bfloat16", None, 4.0),  # its exponents are float32's
            ("mixed_float16", None, 4.0 * 2**15),
            ("mixed_float16", runtime.make_strategy("mirrored"), 2.0 * 2**15),
        ):
            with self.subTest(policy=policy, expected=expected):
                self.use_policy(policy)
                made = OneWeight(strategy)
                objectives = made.strategy.run(lambda made=made: made.update.objective(losses))
                for own in made.strategy.experimental_local_results(objectives):
                    self.assertEqual(float(own), expected)
                norms = made.strategy.run(made.update.unscaled_norm, args=(objectives,))
                self.assertEqual({float(own) for own in made.strategy.experimental_local_results(norms)}, {4.0})

    def test_the_scale_doubles_after_enough_finite_updates(self):
        self.use_policy("mixed_float16")
        with mock.patch.object(updates, "GROW_AFTER", 3):
            one = OneWeight()
            scales = []
            for gradient in (1.0, 1.0, 1.0, 1.0, 1.0, INF, 1.0, 1.0, 1.0):
                one.step(gradient)
                scales.append(one.scale / 2**15)
        # Doubled by the third; the overflow halves, and begins the count again.
        self.assertEqual(scales, [1, 1, 2, 2, 2, 1, 1, 1, 2])

    def test_the_scale_stays_between_2_and_the_largest(self):
        self.use_policy("mixed_float16")
        with mock.patch.object(updates, "GROW_AFTER", 1):
            one = OneWeight()
            for scale, gradient, expected in (
                (2.0**23, 1.0, 2.0**24),
                (updates.LARGEST_SCALE, 1.0, 2.0**24),
                (4.0, INF, 2.0),
                (2.0, INF, 2.0),
            ):
                with self.subTest(scale=scale):
                    one.update.scale.assign(scale)
                    one.step(gradient)
                    self.assertEqual(one.scale, expected)

    def test_a_scale_can_be_kept_over_a_restored_one(self):
        self.use_policy("mixed_float16")
        one = OneWeight()
        for scale, expected in ((2.0**9, 2.0**9), (updates.NO_SCALE, updates.INITIAL_SCALE)):
            one.update.keep_scale(scale)
            self.assertEqual(one.scale, expected)

    def test_other_precisions_have_no_scale(self):
        for policy in ("float32", "mixed_bfloat16"):
            with self.subTest(policy), mock.patch.object(updates, "GROW_AFTER", 1):
                self.use_policy(policy)
                one = OneWeight()
                for gradient in (1.0, INF):
                    one.step(gradient)
                    self.assertEqual(one.scale, 1.0)

    def test_optimizers_that_scale_losses_themselves_are_refused(self):
        network = OneWeight().network
        for optimizer in (
            keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
            keras.optimizers.SGD(loss_scale_factor=2.0),
        ):
            with self.subTest(optimizer.name), self.assertRaisesRegex(ValueError, "losses are scaled here"):
                updates.Update(network, optimizer)


class Float16Test(PolicyTest):
    def test_float16_takes_the_steps_of_float32(self):
        moves = []
        for policy in POLICIES:
            self.use_policy(policy)
            model = tiny.model("vgan")
            model.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))
            set_scales(model)
            before = tiny.weights(model)
            step = tf.function(model.train_step, autograph=False)
            for seed in range(3):
                step(tiny.clips("vgan", 4, seed))
            self.assertEqual(int(model.skipped), 0)
            moves.append(tiny.weights(model) - before)
        self.assertLess(np.linalg.norm(moves[1] - moves[0]), 0.02 * np.linalg.norm(moves[0]))


if __name__ == "__main__":
    tf.test.main()
