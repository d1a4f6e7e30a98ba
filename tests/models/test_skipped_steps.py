"""A step that is not finite on any replica is skipped on all."""

import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.case import INF, POLICIES, PolicyTest, set_scales
from tfvideogan.training import runtime

ROWS = 2  # of a replica


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
        self._step = tf.function(lambda clips: strategy.run(self.model.train_step, args=(clips,)), autograph=False)

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
                spoiled = [name for name in moving if name.endswith(f"of replica {turn}")]
                self.assertNotEmpty(spoiled)
                self.assert_same({name: before[name] for name in spoiled}, {name: now[name] for name in spoiled})
                for name in set(moving) - set(spoiled):  # The other replica has met clips as they should be.
                    self.assertNotAllEqual(before[name], now[name])
                    self.assertAllEqual(np.isfinite(now[name]), np.ones_like(now[name], bool))
                # All losses and gradients were finite, and no step reads these statistics.
                self.assertEqual(trained.counters(), (step + 1, skipped, 0))
                self.assertEqual(trained.everywhere(iterations), updates_taken + 1)


if __name__ == "__main__":
    tf.test.main()
