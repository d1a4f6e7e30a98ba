"""Choices of the machine: which replicas, whether XLA, and why, said in the log."""

import keras
import tensorflow as tf

from tfvideogan import runtime
from tfvideogan.config import UsageError


def setup(**options) -> runtime.Runtime:
    defaults = {"strategy": "none", "xla": "auto", "precision": "float32", "seed": 0, "batch_size": 4}
    return runtime.setup(**(defaults | {"sync_batch_norm": False} | options))


class RuntimeTest(tf.test.TestCase):
    def test_auto_is_one_device_and_no_xla_without_a_gpu(self):
        with self.assertLogs("tfvideogan", "INFO") as logs:
            chosen = setup(strategy="auto")
        self.assertEqual(chosen.strategy.num_replicas_in_sync, 1)
        self.assertFalse(chosen.xla)
        self.assertIn("XLA is off: on a CPU", "".join(logs.output))

    def test_xla_is_what_the_flag_asks_for(self):
        self.assertTrue(setup(xla="on").xla)
        self.assertFalse(setup(xla="off").xla)

    def test_mirrored_takes_every_logical_cpu(self):
        self.assertEqual(runtime.make_strategy("mirrored").num_replicas_in_sync, 2)

    def test_what_cannot_work_is_refused(self):
        for message, options in {
            "multiple of the 2": {"strategy": "mirrored", "batch_size": 5},
            "one replica only": {"strategy": "mirrored", "precision": "mixed_float16"},
            "exclude each other": {"xla": "on", "sync_batch_norm": True},
        }.items():
            with self.subTest(message), self.assertRaisesRegex(UsageError, message):
                setup(**options)
        self.assertEqual(keras.mixed_precision.global_policy().name, "float32")

    def test_precision_and_seed_are_set(self):
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")
        setup(precision="mixed_bfloat16", seed=5)
        self.assertEqual(keras.mixed_precision.global_policy().name, "mixed_bfloat16")
        first = keras.random.normal([3])
        setup(precision="mixed_bfloat16", seed=5)
        self.assertAllEqual(first, keras.random.normal([3]))


if __name__ == "__main__":
    tf.test.main()
