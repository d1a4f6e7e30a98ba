"""The learning rate over a stage: a linear rise, then constant or a fall to zero. Ours; the papers' is constant."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfvideogan")
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of update k, counted from 0, of S updates of which the first W warm up.

        rate (k + 1) / W                        while k < W
        rate f((k - W) / (S - W))               then, with f(p) = 1, 1 - p or (1 + cos(pi p)) / 2

    The last two f are zero as soon as all updates are taken.

    Args:
        rate: the largest learning rate.
        shape: `constant`, `linear` or `cosine`.
        steps: S, more than `warmup_steps`; or 0 for a player that a stage does not train.
        warmup_steps: W.
    """

    def __init__(self, rate: float, shape: str, steps: int, warmup_steps: int = 0):
        self.rate, self.shape, self.steps, self.warmup_steps = rate, shape, steps, warmup_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        passed = tf.clip_by_value((step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1), 0.0, 1.0)
        factor = {
            "constant": tf.ones_like(passed),
            "linear": 1.0 - passed,
            "cosine": 0.5 * (1.0 + tf.cos(math.pi * passed)),
        }[self.shape]
        rise = tf.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        return self.rate * factor * rise

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "shape": self.shape, "steps": self.steps, "warmup_steps": self.warmup_steps}
