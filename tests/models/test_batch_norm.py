"""The fused batch normalisation against Keras' own: values, gradients and statistics."""

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfvideogan.models.batch_norm import BatchNormalization, frozen_statistics

SHAPES = ([3, 4, 5, 6], [2, 3, 4, 5, 6], [1, 1, 1, 1, 6])


def pair(shape: list[int], policy: str = "float32") -> tuple[keras.Layer, keras.Layer]:
    """Ours and Keras' layer with the same random variables."""
    random = np.random.default_rng(0)
    values = [random.uniform(0.5, 1.5, shape[-1]) for _ in range(4)]
    layers = [
        kind(momentum=0.9, epsilon=1e-3, dtype=policy) for kind in (BatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build(shape)
        layer.set_weights(values)
    return tuple(layers)


class BatchNormalizationTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(shape=SHAPES, policy=("float32", "mixed_bfloat16", "mixed_float16"))
    def test_it_is_keras(self, shape, policy):
        x = tf.constant(np.random.default_rng(1).normal(0.3, 2.0, shape), tf.float32)
        found = []
        for layer in pair(shape, policy):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = layer(x, training=True)
                objective = tf.reduce_sum(tf.cast(y, tf.float32) * tf.cos(3 * x))
            gradients = tape.gradient(objective, [x, layer.gamma.value, layer.beta.value])
            inference = layer(x, training=False)
            values = [y, inference, *gradients, layer.moving_mean, layer.moving_variance]
            found.append([tf.cast(value, tf.float32) for value in values])
            self.assertEqual(y.dtype, layer.compute_dtype)
        tolerance = {"float32": 1e-5, "mixed_bfloat16": 4e-2, "mixed_float16": 5e-3}[policy]
        for ours, keras_own in zip(*found, strict=True):
            self.assertAllClose(ours, keras_own, rtol=tolerance, atol=tolerance * max(1, np.abs(keras_own).max()))

    def test_variance_of_a_batch_by_hand(self):
        layer, _ = pair([4, 1, 1, 1])
        layer.set_weights([np.array([value]) for value in (1.0, 0.0, 0.0, 1.0)])
        y = layer(tf.reshape([1.0, 3.0, 5.0, 7.0], [4, 1, 1, 1]), training=True)  # mean 4, variance 5
        self.assertAllClose(tf.reshape(y, [-1]), np.array([-3, -1, 1, 3]) / np.sqrt(5.001))
        self.assertAllClose([layer.moving_mean, layer.moving_variance], [[0.4], [0.9 + 0.5]])

    def test_frozen_statistics_stay_and_the_output_is_the_same(self):
        ours, keras_own = pair(SHAPES[1])
        x = tf.random.stateless_normal(SHAPES[1], [1, 2])
        before = [v.numpy() for v in ours.non_trainable_variables]
        with frozen_statistics():
            frozen = ours(x, training=True)
        self.assertAllEqual(before, [v.numpy() for v in ours.non_trainable_variables])
        self.assertAllClose(frozen, keras_own(x, training=True), atol=1e-5)
        ours(x, training=True)
        self.assertNotAllClose(before[0], ours.moving_mean)

    def test_a_layer_that_is_not_trainable_normalises_by_its_statistics(self):
        ours, keras_own = pair(SHAPES[1])
        x = tf.random.stateless_normal(SHAPES[1], [1, 2])
        for layer in (ours, keras_own):
            layer.trainable = False
        self.assertAllClose(ours(x, training=True), keras_own(x, training=True), atol=1e-6)


if __name__ == "__main__":
    tf.test.main()
