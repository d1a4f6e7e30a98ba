"""Spectral normalisation of a discriminator's convolutions (ours; no paper of this package has it).

Miyato et al., ICLR 2018, arXiv 1802.05957. `keras.layers.SpectralNormalization` will not do. In every pass in training
mode it takes an iteration and writes the normalised kernel over the trained one, which mixed precision then rounds to
16 bits; and its gradients do not pass through the norm.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfvideogan.models.batch_norm import statistics_are_frozen


@keras.saving.register_keras_serializable(package="tfvideogan")
class SpectralConv3D(keras.layers.Conv3D):
    """A convolution by W / sigma, sigma the largest singular value of the kernel W as a matrix [K * C in, C out].

    sigma = ||W u||, and u approximates the right singular vector. In training mode one iteration of the power method
    moves it, u <- W^T W u / ||W^T W u||; under `frozen_statistics`, and at inference, it stays. So a training step,
    whose pass over real clips alone is not frozen, takes one iteration. Gradients do not pass through u.

    It takes the arguments of `keras.layers.Conv3D`, and computes sigma in float32.
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        normal = keras.initializers.RandomNormal()
        self.u = self.add_weight(shape=[self.filters], initializer=normal, trainable=False, autocast=False, name="u")

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if training and not statistics_are_frozen():
            matrix = self._matrix(self.kernel)
            self.u.assign(tf.math.l2_normalize(tf.linalg.matvec(matrix, tf.linalg.matvec(matrix, self.u), True)))
        return super().call(inputs)

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """What `call` computes before it adds the bias."""
        kernel, u = tf.convert_to_tensor(kernel), tf.math.l2_normalize(tf.convert_to_tensor(self.u))
        matrix = self._matrix(kernel)
        square = tf.reduce_sum(tf.square(tf.linalg.matvec(matrix, tf.stop_gradient(u))))
        normalised = matrix * tf.math.rsqrt(tf.maximum(square, 1e-24))  # A kernel of zeros stays one.
        return super().convolution_op(inputs, tf.cast(tf.reshape(normalised, kernel.shape), kernel.dtype))

    def save_own_variables(self, store: Any) -> None:
        keras.layers.Layer.save_own_variables(self, store)  # Keras' own convolution saves a kernel and a bias.

    def load_own_variables(self, store: Any) -> None:
        keras.layers.Layer.load_own_variables(self, store)

    def _matrix(self, kernel: tf.Tensor) -> tf.Tensor:
        """[T, H, W, C in, C out] -> [T * H * W * C in, C out] in float32."""
        return tf.cast(tf.reshape(kernel, [-1, self.filters]), tf.float32)
