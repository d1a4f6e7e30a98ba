"""Updates that are taken by all replicas or by none, and float16's loss scale."""

import functools
from collections.abc import Callable, Iterator
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models import updates
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.training import runtime

ROWS = 2  # of a replica
POLICIES = ("float32", "mixed_float16")
INF = float("inf")
SCALE = 2.0**8  # small enough that random networks do not overflow by themselves


def set_scales(model: AdversarialModel) -> None:
    for update in model.updates:
        update.scale.assign(SCALE if update.scales else 1.0)


class Training:
    """A tiny model on a strategy, a step at a time.

    Attributes:
        infinite: the replica on which the generator's gradient is infinite, its losses being finite; -1 for none.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.strategy = strategy
        with strategy.scope():
            self.model = tiny.model("vgan", ema=0.5)
            self.infinite = tf.Variable(-1, trainable=False)
            self.model.generator_losses = self._with_infinite_gradient(self.model.generator_losses)
            self.model.compile()
        set_scales(self.model)
        self._step = tf.function(lambda clips: strategy.run(self.model.train_step, args=(clips,)))

    @property
    def replicas(self) -> int:
        return self.strategy.num_replicas_in_sync

    def step(self, seed: int, spoil: Callable[[tf.Tensor], tf.Tensor] | None = None, replica: int = -1) -> None:
        """On random clips, those of one replica spoiled."""

        def of_replica(context):
            clips = tiny.clips("vgan", ROWS, seed=10 * seed + context.replica_id_in_sync_group)
            return spoil(clips) if context.replica_id_in_sync_group == replica else clips

        self._step(self.strategy.experimental_distribute_values_from_function(of_replica))

    def copies(self, *parts: str) -> dict[str, np.ndarray]:
        """What each replica holds of these parts of the model, or of all that a skipped step must leave alone."""
        model = self.model
        every = {
            "generator": model.generator.variables,
            "discriminator": model.discriminator.variables,
            "ema_generator": model.ema_generator.variables,
            "generator_optimizer": model.generator_optimizer.variables,
            "discriminator_optimizer": model.discriminator_optimizer.variables,
        }
        copies = {}
        for part in parts or every:
            for index, variable in enumerate(every[part]):
                for replica, copy in enumerate(self.strategy.experimental_local_results(variable.value)):
                    copies[f"{part} {index} {variable.path} of replica {replica}"] = copy.numpy()
        return copies

    def everywhere(self, variable: tf.Variable) -> float:
        """A counter's value, which all replicas must agree on."""
        values = {float(copy.numpy()) for copy in self.strategy.experimental_local_results(variable)}
        if len(values) != 1:
            raise AssertionError(f"{variable.name} differs between replicas: {values}")
        return values.pop()

    def counters(self) -> tuple[float, ...]:
        """step, skipped, skipped_in_a_row."""
        model = self.model
        return tuple(self.everywhere(v) for v in (model.step, model.skipped, model.skipped_in_a_row))

    def scales(self) -> dict[str, float]:
        return {"generator": self.everywhere(self.model.generator_update.scale),
                "discriminator": self.everywhere(self.model.discriminator_update.scale)}  # fmt: skip

    def _with_infinite_gradient(self, losses: Callable) -> Callable:
        @tf.custom_gradient
        def multiply_gradient(loss, by):
            return tf.identity(loss), lambda upstream: (upstream * by, None)

        def spoiled(clips, generated):
            own = tf.distribute.get_replica_context().replica_id_in_sync_group
            by = tf.where(tf.equal(own, self.infinite), INF, 1.0)
            return {name: multiply_gradient(loss, by) for name, loss in losses(clips, generated).items()}

        return spoiled


@functools.cache
def training(policy: str, replicas: int) -> Training:
    """One for all tests, since it takes long to trace; each test looks at what its own steps change."""
    keras.mixed_precision.set_global_policy(policy)
    return Training(runtime.make_strategy("mirrored") if replicas > 1 else tf.distribute.get_strategy())


def with_infinity(clips: tf.Tensor) -> tf.Tensor:
    """One value of the first clip infinite."""
    return tf.tensor_scatter_nd_update(clips, [[0, 0, 3, 3, 0]], [INF])


class PolicyTest(tf.test.TestCase):
    def use_policy(self, name: str) -> None:
        keras.mixed_precision.set_global_policy(name)
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")

    def assert_same(self, before: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> None:
        """Bit for bit."""
        self.assertEqual(before.keys(), now.keys())
        self.assertEmpty([name for name in before if before[name].tobytes() != now[name].tobytes()])

    def assert_moved(self, before: dict[str, np.ndarray], now: dict[str, np.ndarray]) -> None:
        """Every kernel, and finite."""
        kernels = [name for name in before if "kernel" in name]
        self.assertNotEmpty(kernels)
        self.assertEmpty([name for name in kernels if np.array_equal(before[name], now[name])])
        self.assertEmpty([name for name in now if not np.isfinite(now[name]).all()])


class SkippedStepTest(PolicyTest):
    """Not finite on any replica: skipped on all."""

    def trainings(self, *policies: str) -> Iterator[tuple[str, Training, int]]:
        """Each policy on one and two replicas, after a step that was finite, and each replica's turn to spoil it."""
        for policy in policies:
            for replicas in (1, 2):
                self.use_policy(policy)
                trained = training(policy, replicas)
                for turn in range(replicas):
                    skipped = trained.counters()[1]
                    trained.step(seed=turn)
                    self.assertEqual(trained.counters()[1:], (skipped, 0))
                    yield policy, trained, turn

    def test_infinity_in_the_clips_of_any_replica_changes_nothing_on_all(self):
        for policy, trained, turn in self.trainings(*POLICIES):
            with self.subTest(policy=policy, replicas=trained.replicas, replica=turn):
                before, (step, skipped, _) = trained.copies(), trained.counters()
                scale = trained.scales()["discriminator"]
                trained.step(5, with_infinity, turn)
                self.assert_same(before, trained.copies())
                self.assertEqual(trained.counters(), (step + 1, skipped + 1, 1))
                halved = scale / 2 if policy == "mixed_float16" else 1.0
                self.assertEqual(trained.scales()["discriminator"], halved)
                trained.step(6)
                self.assert_moved(before, trained.copies())
                self.assertEqual(trained.counters(), (step + 2, skipped + 1, 0))
                self.assertEqual(trained.scales()["discriminator"], halved)

    def test_steps_skipped_in_a_row_are_counted(self):
        for policy, trained, turn in self.trainings("float32"):
            with self.subTest(policy=policy, replicas=trained.replicas, replica=turn):
                step, skipped, _ = trained.counters()
                for more in (1, 2, 3):
                    trained.step(5, with_infinity, turn)
                    self.assertEqual(trained.counters(), (step + more, skipped + more, more))

    def test_an_infinite_gradient_of_the_generator_alone_keeps_the_discriminators_update(self):
        others = ("generator", "ema_generator", "generator_optimizer")
        for policy, trained, turn in self.trainings(*POLICIES):
            with self.subTest(policy=policy, replicas=trained.replicas, replica=turn):
                self.addCleanup(trained.infinite.assign, -1)
                before, discriminator = trained.copies(*others), trained.copies("discriminator")
                scales, (step, skipped, _) = trained.scales(), trained.counters()
                trained.infinite.assign(turn)
                trained.step(5)
                trained.infinite.assign(-1)
                self.assert_same(before, trained.copies(*others))
                self.assert_moved(discriminator, trained.copies("discriminator"))
                self.assertEqual(trained.counters(), (step + 1, skipped + 1, 1))
                halved = scales["generator"] / 2 if policy == "mixed_float16" else 1.0
                self.assertEqual(trained.scales(), scales | {"generator": halved})

    def test_a_discriminators_statistics_that_overflow_are_put_back_and_stop_nothing(self):
        for policy, trained, turn in self.trainings("float32"):
            with self.subTest(policy=policy, replicas=trained.replicas, replica=turn):
                before, (step, skipped, _) = trained.copies(), trained.counters()
                iterations = trained.model.discriminator_optimizer.iterations.value
                updates_taken = trained.everywhere(iterations)
                # Variances beyond float32's range are infinite; what they normalise, and its gradient, is 0.
                trained.step(5, lambda clips: clips * 1e25, turn)
                now = trained.copies()
                moving = [name for name in before if "moving" in name and name.startswith("discriminator")]
                self.assertNotEmpty(moving)
                for name in moving:
                    self.assertTrue(np.isfinite(now[name]).all(), name)
                # All losses and gradients were finite, and no step reads these statistics.
                self.assertEqual(trained.counters(), (step + 1, skipped, 0))
                self.assertEqual(trained.everywhere(iterations), updates_taken + 1)


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
            step = tf.function(model.train_step)
            for seed in range(3):
                step(tiny.clips("vgan", 4, seed))
            self.assertEqual(int(model.skipped), 0)
            moves.append(tiny.weights(model) - before)
        self.assertLess(np.linalg.norm(moves[1] - moves[0]), 0.02 * np.linalg.norm(moves[0]))


if __name__ == "__main__":
    tf.test.main()
