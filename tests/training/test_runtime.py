"""Choices of the machine: which replicas and hosts, whether XLA, and why, said in the log; signals."""

import json
import os
import signal
from pathlib import Path
from unittest import mock

import keras
import tensorflow as tf

from tests.helpers.commands import run
from tfvideogan.config import HostLostError, TrainConfig, UsageError
from tfvideogan.training import runtime, signals


def setup(batch_size: int = 4, **options) -> runtime.Runtime:
    return runtime.open_runtime(TrainConfig(**({"strategy": "none"} | options)), batch_size)


def cluster(job: str, index: int, **hosts: list[str]) -> str:
    """A TF_CONFIG."""
    return json.dumps({"cluster": hosts, "task": {"type": job, "index": index}})


class RuntimeTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")

    def test_auto_is_one_device_and_no_xla_without_a_gpu(self):
        with self.assertLogs("tfvideogan", "INFO") as logs:
            chosen = setup(strategy="auto")
        self.assertEqual((chosen.replicas, chosen.workers, chosen.is_chief), (1, 1, True))
        self.assertFalse(chosen.xla)
        self.assertIn("XLA is off: on a CPU", "".join(logs.output))

    def test_xla_is_what_the_flag_asks_for(self):
        self.assertTrue(setup(xla="on").xla)
        self.assertFalse(setup(xla="off").xla)

    def test_tf32_is_what_the_flag_asks_for_and_said(self):
        enabled = tf.config.experimental.tensor_float_32_execution_enabled
        self.addCleanup(tf.config.experimental.enable_tensor_float_32_execution, enabled())
        for choice in ("off", "on"):
            with self.assertLogs("tfvideogan", "INFO") as logs:
                setup(tf32=choice)
            self.assertEqual(enabled(), choice == "on")
            self.assertIn(f"TF32 is {choice}: asked for by --tf32", "".join(logs.output))
            with self.assertLogs("tfvideogan", "INFO") as logs:
                setup(tf32="auto")
            self.assertEqual(enabled(), choice == "on")
            self.assertNotIn("TF32", "".join(logs.output))  # There is no GPU.

    def test_batches_of_a_single_replica_are_copied_to_its_gpu_ahead(self):
        batches = tf.data.Dataset.range(3).map(lambda i: tf.fill([2], i))
        one = runtime.Runtime(tf.distribute.get_strategy(), xla=False)
        two = runtime.Runtime(runtime.make_strategy("mirrored"), xla=False)
        second = tf.config.list_logical_devices("CPU")[1]  # It stands for a GPU.
        with mock.patch.object(tf.config, "list_logical_devices", lambda _: [second]):
            sent = list(one.sent_ahead(batches))
            self.assertIs(two.sent_ahead(batches), batches)
        self.assertAllEqual(sent, [[0, 0], [1, 1], [2, 2]])
        for batch in sent:
            self.assertEndsWith(batch.device, "CPU:1")
        self.assertIs(one.sent_ahead(batches), batches)

    def test_mirrored_takes_every_logical_cpu(self):
        self.assertEqual(runtime.make_strategy("mirrored").num_replicas_in_sync, 2)

    def test_what_cannot_work_is_refused(self):
        for message, options in {
            "multiple of the 2": {"strategy": "mirrored", "batch_size": 5},
            "exclude each other.*--sync_batch_norm": {"xla": "on", "sync_batch_norm": True},
            "exclude each other.*not repeatable.*--deterministic": {"xla": "on", "deterministic": True},
        }.items():
            with self.subTest(message), self.assertRaisesRegex(UsageError, message):
                setup(precision="mixed_bfloat16", **options)
        self.assertEqual(keras.mixed_precision.global_policy().name, "float32")

    def test_what_excludes_xla_turns_it_off_and_says_why(self):
        with self.assertLogs("tfvideogan", "INFO") as logs:
            self.assertFalse(setup(sync_batch_norm=True).xla)
        self.assertIn("XLA is off: --sync_batch_norm (XLA cannot cross replicas)", "".join(logs.output))

    def test_deterministic_ops_are_turned_on_without_xla(self):
        code = (  # in a process of its own: there is no turning them off
            "from tensorflow.python.framework import config\n"
            "from tfvideogan.training import runtime\n"
            "from tfvideogan.config import TrainConfig\n"
            "print(config.is_op_determinism_enabled())\n"
            "print(runtime.open_runtime(TrainConfig(deterministic=True), 4).xla)\n"
            "print(config.is_op_determinism_enabled())\n"
        )
        folder = Path(self.create_tempdir().full_path)
        (folder / "repeatable.py").write_text(code)
        result = run("repeatable", package="", search=folder)
        self.assertEqual(result.stdout.split(), ["False", "False", "True"])

    def test_precision_and_seed_are_set(self):
        setup(precision="mixed_bfloat16", seed=5)
        self.assertEqual(keras.mixed_precision.global_policy().name, "mixed_bfloat16")
        first = keras.random.normal([3])
        setup(precision="mixed_bfloat16", seed=5)
        self.assertAllEqual(first, keras.random.normal([3]))

    def test_float16_may_train_on_several_replicas(self):
        self.assertEqual(setup(strategy="mirrored", precision="mixed_float16").replicas, 2)
        self.assertEqual(keras.mixed_precision.global_policy().name, "mixed_float16")


class HostsTest(tf.test.TestCase):
    """TF_CONFIG; the cluster itself is never made here."""

    def setup_of(self, text: str | None, **options) -> runtime.Runtime:
        said = {} if text is None else {"TF_CONFIG": text}
        others = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        with mock.patch.dict(os.environ, others | said, clear=True):
            return setup(**({"strategy": "multi_worker"} | options))

    def test_without_a_tf_config_that_makes_sense_nothing_is_begun(self):
        two = {"worker": ["a:1", "b:1"]}
        with mock.patch.object(runtime, "make_strategy") as make_strategy:
            for text in (
                None,
                "",
                "{",
                "[]",
                "null",
                "7",
                "{}",
                json.dumps({"cluster": two}),
                json.dumps({"cluster": [], "task": {"type": "worker", "index": 0}}),
                json.dumps({"cluster": {"worker": 2}, "task": {"type": "worker", "index": 0}}),
                json.dumps({"cluster": two, "task": {"type": "worker"}}),
                cluster("worker", 2, **two),
                cluster("worker", -1, **two),
                cluster("worker", "first", **two),
                cluster("worker", None, **two),
                cluster("chief", 0, **two),
                cluster("evaluator", 0, **two),
                cluster("worker", 0, worker="localhost:1"),
                cluster("worker", 0, worker=["localhost"]),
                cluster("worker", 0, worker=["localhost:0x"]),
                cluster("worker", 0, worker=[7]),
            ):
                with self.subTest(text), self.assertRaisesRegex(UsageError, "TF_CONFIG.*Received: ") as raised:
                    self.setup_of(text)
                self.assertEndsWith(str(raised.exception), repr(text or ""))
            make_strategy.assert_not_called()

    def test_hosts_are_numbered_with_the_chief_first(self):
        chief, worker = ["a:1"], ["b:1", "c:1"]
        with mock.patch.object(runtime, "make_strategy", return_value=tf.distribute.get_strategy()):
            for text, expected in (
                (cluster("worker", 0, worker=worker), (0, 2, True)),
                (cluster("worker", 1, worker=worker), (1, 2, False)),
                (cluster("worker", "1", worker=worker), (1, 2, False)),  # as shells write it
                (cluster("chief", 0, worker=worker, chief=chief), (0, 3, True)),
                (cluster("worker", 0, worker=worker, chief=chief), (1, 3, False)),
                (cluster("worker", 1, worker=worker, chief=chief), (2, 3, False)),
            ):
                with self.subTest(text):
                    chosen = self.setup_of(text)
                    self.assertEqual((chosen.worker, chosen.workers, chosen.is_chief), expected)

    def test_a_tf_config_that_is_not_followed_is_told(self):
        for strategy in ("none", "auto", "mirrored"):
            with self.subTest(strategy), self.assertLogs("tfvideogan", "WARNING") as logs:
                self.assertEqual(
                    self.setup_of(cluster("worker", 1, worker=["a:1", "b:1"]), strategy=strategy).workers, 1
                )
            self.assertLen(logs.output, 1)
            self.assertIn(f"TF_CONFIG is set, but --strategy={strategy} trains on this host alone", logs.output[0])

    def test_a_host_that_does_not_answer_is_told_as_lost(self):
        of_two = runtime.Runtime(tf.distribute.get_strategy(), xla=False, worker=1, workers=2)
        errors = tf.errors
        for kind in (errors.UnavailableError, errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError):
            said = self.assertRaisesRegex(HostLostError, r"host 1 of 2 stops.*\(Socket closed\)")
            with self.subTest(kind.__name__), said, of_two.telling_lost_hosts():
                raise kind(None, None, "Socket closed\nAdditional GRPC error information")
        self.assertEqual(HostLostError.status, 5)

    def test_hosts_that_cannot_train_together_are_told(self):
        made = mock.Mock(num_replicas_in_sync=3, extended=mock.Mock(worker_devices=["gpu0", "gpu1"]))
        absent = tf.errors.UnavailableError(None, None, "no route to host\nand more")
        for strategy, kind, said in (
            ({"side_effect": absent}, HostLostError, r"cannot join the hosts of TF_CONFIG: no route to host$"),
            ({"return_value": made}, UsageError, "Received: 3 replicas on 2 hosts, 2 of them here"),
        ):
            runtime._over_hosts.cache_clear()
            with (
                self.subTest(said),
                mock.patch.object(tf.distribute, "MultiWorkerMirroredStrategy", **strategy),
                self.assertRaisesRegex(kind, said),
            ):
                runtime.make_strategy("multi_worker", 2)

    def test_other_errors_and_those_of_a_single_host_stay_as_they_are(self):
        alone, of_two = (runtime.Runtime(tf.distribute.get_strategy(), False, 0, workers) for workers in (1, 2))
        with self.assertRaises(tf.errors.UnavailableError), alone.telling_lost_hosts():
            raise tf.errors.UnavailableError(None, None, "Socket closed")
        with self.assertRaises(tf.errors.DataLossError), of_two.telling_lost_hosts():
            raise tf.errors.DataLossError(None, None, "corrupted record")

    def test_a_sum_over_one_host_is_its_own_number(self):
        self.assertEqual(runtime.Runtime(tf.distribute.get_strategy(), xla=False).sum_over_hosts(41), 41)


class StopSignalsTest(tf.test.TestCase):
    def test_the_first_asks_and_a_second_ctrl_c_interrupts(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                before = signal.getsignal(number)
                with signals.StopSignals() as stop:
                    self.assertEqual(stop.signal_number, 0)
                    signal.raise_signal(number)
                    self.assertEqual(stop.signal_number, number)
                    with self.assertRaises(KeyboardInterrupt):
                        signal.raise_signal(signal.SIGINT)
                self.assertEqual(signal.getsignal(number), before)

    def test_a_repeated_sigterm_does_not_spoil_the_save(self):
        with signals.StopSignals() as stop:
            for _ in range(3):
                signal.raise_signal(signal.SIGTERM)
            self.assertEqual(stop.signal_number, signal.SIGTERM)

    def test_the_second_may_be_another(self):
        with signals.StopSignals() as stop:
            signal.raise_signal(signal.SIGTERM)
            with self.assertRaises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            self.assertEqual(stop.signal_number, signal.SIGTERM)  # what the exit status tells


if __name__ == "__main__":
    tf.test.main()
