"""Adam by the fused kernel: the weights of Keras' own and of Adam in float64 NumPy, wherever it runs."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.case import PolicyTest
from tfvideogan.models.adam import Adam
from tfvideogan.models.updates import Update
from tfvideogan.runs import state
from tfvideogan.training import runtime

SHAPES = {"kernel": (3, 4), "bias": (4,)}
STEPS = 5
BETAS = {"beta_1": 0.5, "beta_2": 0.9}
EPSILON = 1e-3  # It is as large as some gradients, so that its place in the formula shows.
RATES = (0.1, keras.optimizers.schedules.PolynomialDecay(0.1, STEPS, 0.02))


def values(seed: int) -> list[np.ndarray]:
    """Numbers for each variable, from 1e-6 to 1e2 in size."""
    random = np.random.default_rng(seed)
    return [
        (random.choice([-1, 1], shape) * 10 ** random.uniform(-6, 2, shape)).astype(np.float32)
        for shape in SHAPES.values()
    ]


def by_numpy(rate: float | keras.optimizers.schedules.LearningRateSchedule) -> list[np.ndarray]:
    """Kingma and Ba's Adam, with epsilon where Keras has it."""
    weights = [value.astype(np.float64) for value in values(0)]
    first, second = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
    b1, b2 = BETAS.values()
    for t in range(1, STEPS + 1):
        alpha = float(rate(t - 1) if callable(rate) else rate) * np.sqrt(1 - b2**t) / (1 - b1**t)
        for k, gradient in enumerate(np.float64(value) for value in values(t)):
            first[k] = b1 * first[k] + (1 - b1) * gradient
            second[k] = b2 * second[k] + (1 - b2) * gradient**2
            weights[k] -= alpha * first[k] / (np.sqrt(second[k]) + EPSILON)
    return weights


def weights_after_steps(optimizer: keras.optimizers.Adam, strategy: tf.distribute.Strategy, xla: bool) -> np.ndarray:
    """The variables of every replica, [replica, value], each replica having given its share of the gradients."""
    with strategy.scope():
        variables = [keras.Variable(value, name=name) for name, value in zip(SHAPES, values(0), strict=True)]
        optimizer.build(variables)

    def step_of_replica(*gradients: tf.Tensor) -> None:
        optimizer.apply([gradient / strategy.num_replicas_in_sync for gradient in gradients], variables)

    compiled = tf.function(lambda *gradients: strategy.run(step_of_replica, gradients), jit_compile=xla)
    for t in range(1, STEPS + 1):
        compiled(*map(tf.constant, values(t)))
    copies = [strategy.experimental_local_results(variable.value) for variable in variables]
    return np.stack([np.concatenate([np.ravel(copy) for copy in own]) for own in zip(*copies, strict=True)])


class AdamTest(PolicyTest):
    def test_keras_and_numpy_give_the_same_weights(self):
        one, two = tf.distribute.get_strategy(), runtime.make_strategy("mirrored")
        for strategy, xla in ((one, False), (one, True), (two, False)):
            for rate in RATES:
                with self.subTest(replicas=strategy.num_replicas_in_sync, xla=xla, rate=rate):
                    expected = np.concatenate([np.ravel(value) for value in by_numpy(rate)])
                    for adam in (Adam, keras.optimizers.Adam):
                        with strategy.scope():
                            made = adam(rate, epsilon=EPSILON, **BETAS)
                        for found in weights_after_steps(made, strategy, xla):
                            self.assertAllClose(found, expected, rtol=1e-6, atol=1e-6)

    def test_amsgrad_is_that_of_keras(self):
        one = tf.distribute.get_strategy()
        found = [weights_after_steps(adam(0.1, amsgrad=True), one, False) for adam in (Adam, keras.optimizers.Adam)]
        self.assertAllEqual(*found)

    def test_an_update_in_any_precision_is_that_of_keras(self):
        for policy in ("float32", "mixed_float16", "mixed_bfloat16"):
            with self.subTest(policy):
                self.use_policy(policy)
                found = []
                for adam in (Adam, keras.optimizers.Adam):
                    keras.utils.set_random_seed(1)
                    network = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
                    before = network.get_weights()[0]
                    update = Update(network, adam(0.1, epsilon=EPSILON, **BETAS))
                    for _ in range(2):
                        with tf.GradientTape() as tape:
                            losses = {"loss": tf.reduce_mean(tf.cast(network(tf.eye(4)) ** 2, tf.float32))}
                            objective = update.objective(losses)
                        self.assertTrue(update.apply(tape.gradient(objective, update.trained), losses.values()))
                    self.assertAllGreater(np.abs(network.get_weights()[0] - before), 0.0)
                    found.append(np.concatenate([np.ravel(weight) for weight in network.get_weights()]))
                self.assertAllClose(*found, rtol=1e-6, atol=1e-7)

    def test_a_checkpoint_of_keras_adam_is_one_of_this(self):
        """Names, shapes and values: run folders written before this class go on."""
        found = []
        for adam in (Adam, keras.optimizers.Adam):
            model = tiny.model("vgan")
            model.compile(adam(2e-4), adam(2e-4))
            parts = state.for_training(model)
            found.append({
                (part, name): value.numpy().tolist()
                for part in parts for name, value in parts[part].items() if "optimizer" in part
            })  # fmt: skip
        self.assertEqual(*found)

    def test_models_have_it_unless_the_user_gives_another(self):
        model = tiny.model("vgan")
        model.compile(keras.optimizers.SGD(0.1))
        self.assertEqual([type(optimizer) for optimizer in model.optimizers], [keras.optimizers.SGD, Adam])


if __name__ == "__main__":
    tf.test.main()
