"""The learning rate over a stage, by hand; and that it trains on two replicas."""

import keras
import tensorflow as tf

from tfvideogan.config import Config
from tfvideogan.models import updates
from tfvideogan.training import assembly, runtime
from tfvideogan.training.schedule import Schedule

HALF_ROOT_2 = 2**0.5 / 2


class ScheduleTest(tf.test.TestCase):
    def rates(self, *options, updates: int) -> list[float]:
        schedule = Schedule(0.5, *options)
        return [float(schedule(tf.constant(k, tf.int64))) for k in range(updates)]

    def test_each_shape_by_hand(self):
        self.assertAllClose(self.rates("linear", 4, updates=6), [0.5, 0.375, 0.25, 0.125, 0.0, 0.0])
        cosine = [0.5, 0.25 * (1 + HALF_ROOT_2), 0.25, 0.25 * (1 - HALF_ROOT_2), 0.0]
        self.assertAllClose(self.rates("cosine", 4, updates=5), cosine)

    def test_a_warm_up_rises_from_the_first_update_and_the_fall_takes_what_is_left(self):
        self.assertAllClose(self.rates("constant", 9, 4, updates=6), [0.125, 0.25, 0.375, 0.5, 0.5, 0.5])
        self.assertAllClose(self.rates("linear", 4, 2, updates=5), [0.25, 0.5, 0.5, 0.25, 0.0])

    def test_it_ends_at_zero_exactly(self):
        for shape in ("linear", "cosine"):
            self.assertEqual(self.rates(shape, 7, 3, updates=9)[7:], [0.0, 0.0])

    def test_each_stage_and_each_player_has_its_own(self):
        options = {"learning_rate": 0.5, "discriminator_learning_rate": 0.25, "steps": 4, "refine_steps": 8}
        train = Config.create(model="mdgan", lr_schedule="linear", warmup_steps=2, adversarial_from=1,
                              refine_adversarial_from=3, **options).train  # fmt: skip
        for stage, steps, joint_steps in ((1, 4, 3), (2, 8, 5)):
            found = [rate.get_config() for rate in assembly.learning_rates(train, stage)]
            rest = {"shape": "linear", "warmup_steps": 2}
            self.assertEqual(found, [{"rate": 0.5, "steps": steps} | rest, {"rate": 0.25, "steps": joint_steps} | rest])
        self.assertEqual(assembly.learning_rates(Config.create().train, 1), [2e-4, 2e-4])

    def test_it_is_saved_with_an_optimizer(self):
        schedule = Schedule(0.5, "cosine", 9, 2)
        loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
        self.assertEqual(loaded.get_config(), {"rate": 0.5, "shape": "cosine", "steps": 9, "warmup_steps": 2})

    def test_two_replicas_count_each_update_once(self):
        """Each update takes the rate itself off the weight, which is 1 at first: 0.5, 0.25 and nothing."""
        strategy = runtime.make_strategy("mirrored")
        with strategy.scope():
            features = keras.Input([1])
            network = keras.Model(features, keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")(features))
            update = updates.Update(network, keras.optimizers.SGD(Schedule(0.5, "linear", 2)))
        gradient, weight = tf.ones([1, 1]), network.trainable_variables[0].value
        step = tf.function(lambda: strategy.run(lambda: update.apply([gradient / 2], [gradient])))
        found = []
        for _ in range(3):
            step()
            found.append([float(copy[0, 0]) for copy in strategy.experimental_local_results(weight)])
        self.assertAllClose(found, [[0.5, 0.5], [0.25, 0.25], [0.25, 0.25]])


if __name__ == "__main__":
    tf.test.main()
