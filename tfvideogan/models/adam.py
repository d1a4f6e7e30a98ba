"""Keras' Adam (arXiv:1412.6980, the form before its section 2.1) by TensorFlow's fused kernel.

Keras writes an update of a variable in twenty operations, a third of those of a train step, which take a third of the
time in which the step is traced. The kernel computes the same up to float32's rounding, and is nearer to the exact
formula: where `beta_2` is 0.999, Keras' rounding of 1 - beta_2 makes an error of 7e-6 of the weights' way.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfvideogan")
class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, its arguments and variables, with one operation for each variable and step.

    With `amsgrad`, which the kernel lacks, Keras itself computes.
    """

    def _backend_update_step(
        self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[keras.Variable], learning_rate: tf.Tensor
    ) -> None:
        if not self.amsgrad:  # What is equal for all variables is computed once, and takes the way of the rate.
            steps = tf.cast(self.iterations + 1, tf.float32)
            powers = [tf.pow(beta, steps) for beta in (self.beta_1, self.beta_2)]
            learning_rate = (tf.convert_to_tensor(learning_rate), *powers)
        super()._backend_update_step(grads, trainable_variables, learning_rate)

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
    ) -> None:
        """Moves a variable, given the learning rate and both betas to the power of the step's number."""
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        place, dtype = self._get_variable_index(variable), variable.dtype
        rate, beta1_power, beta2_power = (tf.cast(scalar, dtype) for scalar in learning_rate)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=beta1_power,
            beta2_power=beta2_power,
            lr=rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, dtype),
        )
