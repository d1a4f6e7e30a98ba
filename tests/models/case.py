"""A test case that sets the precision, and compares variables bit for bit."""

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.models.adversarial import AdversarialModel

POLICIES = ("float32", "mixed_float16")
INF = float("inf")
SCALE = 2.0**8  # small enough that random networks do not overflow by themselves


def set_scales(model: AdversarialModel) -> None:
    for update in model.updates:
        update.scale.assign(SCALE if update.scales else 1.0)


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
