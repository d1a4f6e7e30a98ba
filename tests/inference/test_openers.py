"""What the openers of each runtime refuse, and what they ask of the system."""

import os
import sys
from pathlib import Path
from unittest import mock

import tensorflow as tf
import tf2onnx

from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.inference import openers


class RuntimesTest(tf.test.TestCase):
    def test_files_with_other_inputs_and_outputs_are_refused(self):
        latents, pair = tf.TensorSpec([1, 100], tf.float32, "a"), tf.TensorSpec([1, 100], tf.float32, "b")
        video = tf.zeros([1, 2, 4, 4, 3])
        folder = Path(self.create_tempdir().full_path)
        for number, (compute, specs) in enumerate((
            (lambda a: 2 * a, [latents]),
            (lambda a, b: video + tf.reduce_sum(a + b), [latents, pair]),
            (lambda a: (video + tf.reduce_sum(a), 2 * a), [latents]),
            (lambda a: video + tf.reduce_sum(a), [tf.TensorSpec([1, 8, 8, 1], tf.float32, "a")]),
        )):  # fmt: skip
            function = tf.function(compute, input_signature=specs)
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
            (folder / f"{number}.tflite").write_bytes(converter.convert())
            proto, _ = tf2onnx.convert.from_function(function, specs, opset=18)
            (folder / f"{number}.onnx").write_bytes(proto.SerializeToString())
            for suffix in ("tflite", "onnx"):
                with self.assertRaisesRegex(UsageError, "not a file of this package"):
                    load_exported(folder / f"{number}.{suffix}")

    def test_missing_runtimes_name_the_line_that_installs_them(self):
        folder = Path(self.create_tempdir().full_path)
        for file, module in (("a.tflite", "ai_edge_litert.interpreter"), ("a.onnx", "onnxruntime")):
            line = r"pip install -c constraints.txt -e '.\[export\]'"
            (folder / file).touch()
            with mock.patch.dict(sys.modules, {module: None}), self.assertRaisesRegex(UsageError, line):
                load_exported(folder / file)

    def test_cores_are_known_where_the_system_has_no_affinity(self):
        with mock.patch.object(os, "sched_getaffinity"):
            del os.sched_getaffinity
            self.assertEqual(openers.cores(), os.cpu_count())

    def test_products_saturate_on_x86_without_vnni_as_far_as_is_known(self):
        file = Path(self.create_tempdir().full_path) / "cpuinfo"
        for machine, flags, expected in (
            ("x86_64", "avx2 avx512f", True), ("x86_64", "avx2 avx512_vnni", False), ("AMD64", "avx_vnni", False),
            ("AMD64", "avx2 avx512_vnni2", True), ("aarch64", "asimd", False),
        ):  # fmt: skip
            file.write_text(f"processor\t: 0\nflags\t\t: fpu {flags} rdpid\n")
            with mock.patch("platform.machine", return_value=machine):
                self.assertEqual(openers._products_saturate(file), expected, (machine, flags))
        with mock.patch("platform.machine", return_value="x86_64"):
            self.assertTrue(openers._products_saturate(file.with_name("absent")))


if __name__ == "__main__":
    tf.test.main()
