"""The report on a device: steps held against the CPU's, wrong ones told, full-size ones timed."""

from unittest import mock

import numpy as np
import tensorflow as tf

from tests.helpers.commands import run
from tfvideogan.training import device_check


class DeviceCheckTest(tf.test.TestCase):
    def test_steps_of_this_device_are_those_of_the_cpu(self):
        lines = list(device_check.small_steps(["vgan"], ["float32"]))
        self.assertEqual([well for _, well in lines], [True, True])
        for (line, _), xla in zip(lines, ("off", "on"), strict=True):
            self.assertRegex(line, rf"^vgan stage 1, float32, XLA {xla} +\d\.\de[-+]\d\d of the update$")

    def test_another_update_and_an_error_are_told_and_a_missing_operation_is_no_fault(self):
        start, expected = np.zeros(4), np.ones(4)

        def trained(*_):
            self.assertFalse(tf.config.experimental.tensor_float_32_execution_enabled())
            return start, expected * 1.01

        with mock.patch.object(device_check, "_trained", trained):
            told, well = device_check._compare((start, expected), "vgan", 1, "float32")
            self.assertFalse(device_check._compare((start, expected * np.nan), "vgan", 1, "float32")[1])
        self.assertTrue(tf.config.experimental.tensor_float_32_execution_enabled())
        self.assertEqual((told, well), ("1.0e-02 of the update: MORE than 0.001", False))
        for error, told, well in (
            (tf.errors.UnimplementedError(None, None, "no kernel\nmore"), "not on this device: no kernel", True),
            (tf.errors.ResourceExhaustedError(None, None, "\nno memory"), "FAILED: no memory", False),
        ):

            def fail(error=error):
                raise error

            line, fine = device_check._attempt("label", fail)
            self.assertEqual((line.split(maxsplit=1), fine), (["label", told], well))

    def test_full_size_steps_are_timed_in_both_precisions_of_a_cpu(self):
        timed = list(device_check.full_steps(["vgan_one_stream"], batch_size=1, repeats=1, base_width=1))
        self.assertEqual([well for _, well in timed], [True, True])
        for (line, _), precision in zip(timed, ("float32", "mixed_bfloat16"), strict=True):
            figures = r"[\d.]+ ms, [\d.]+% waiting, [\d.]+ GiB$"
            self.assertRegex(line, rf"^vgan_one_stream stage 1, {precision}, XLA off, batch 1 +{figures}")

    def test_the_command_prints_what_was_checked_and_ends_with_0(self):
        done = run("benchmark", "--check_device", "--models=none")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for part in ("tensorflow ", "the device is the CPU", "GFLOP/s in float32", "full-size steps", "no faults"):
            self.assertIn(part, done.stdout)

    def test_what_it_would_not_heed_is_refused(self):
        for option in ("--precision=mixed_bfloat16", "--networks=mdgan_base", "--others"):
            done = run("benchmark", "--check_device", "--models=none", option)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            name = option.partition("=")[0]
            self.assertEqual(done.stderr.splitlines(), [f"benchmark: error: --check_device has no use for {name}"])


if __name__ == "__main__":
    tf.test.main()
