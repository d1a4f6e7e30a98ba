"""Artefacts held against Keras: good ones are accepted, damaged ones rejected, and the exit status tells."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from export import check_parity, conversion, measure, operators, probes, to_onnx, to_saved_model, to_tflite
from export.report import Row
from tests.helpers import converted, folders, tiny
from tests.helpers.commands import run
from tfvideogan.config import UsageError
from tfvideogan.data.layouts import Form
from tfvideogan.files import checksums, paths
from tfvideogan.runs import loading


class CheckParityTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls, "parity é ")
        cls.run_dir = tiny.run_folder(cls.folder / "run", "vgan")
        cls.model = loading.load_generator(cls.run_dir)
        cls.saved_model = cls.folder / "vgan" / "1"
        to_saved_model.save(cls.model, paths.path(cls.saved_model), lowering=False, max_batch=3)
        cls.tflite, cls.onnx = cls.folder / "vgan_int8.tflite", cls.folder / "vgan_float16.onnx"
        cls.tflite.write_bytes(
            to_tflite.convert(cls.model, "int8", calibration=probes.probe_inputs(cls.model, 32, seed=2))
        )
        cls.onnx.write_bytes(to_onnx.convert(cls.model, "float16"))
        cls.reference = check_parity.Reference(cls.model, cls.folder, None, "synthetic:sprites")

    def check(self, artefact: Path, precision: str = "float32") -> Row:
        return self.reference.check(artefact, precision, repeats=2)

    def fault(self, precision: str, **figures) -> str | None:
        """Why an artefact is rejected whose figures would be good but for those that are given."""
        good = Row("a", "onnx", precision, bytes=10**9, max_difference=0.0, psnr_db=200.0)
        return self.reference._fault(dataclasses.replace(good, **figures))

    def test_the_command_accepts_what_equals_keras(self):
        result = run(
            "check_parity", f"--run_dir={self.run_dir}",
            f"--artefact={self.saved_model.parent},{self.tflite},{self.onnx}",
            "--repeats=2", package="export",
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([row["precision"] for row in rows], ["float32", "int8", "float16"])
        self.assertEqual([row["artefact"] for row in rows], ["vgan/1", "vgan_int8.tflite", "vgan_float16.onnx"])
        self.assertEqual(rows[0]["sha256"], checksums.sha256_of_tree(self.saved_model))
        self.assertEqual([row["format"] for row in rows], ["saved_model", "tflite", "onnx"])
        self.assertEqual([row["float_share"] for row in rows], [None, 0.0, None])
        self.assertEqual([row["gpu_share"] for row in rows], [None, operators.gpu_share(self.tflite), None])
        for row in rows:
            self.assertEqual((row["status"], row["reason"], len(row["sha256"])), ("accepted", None, 64))
            self.assertGreater(min(row["p50_ms"], row["p95_ms"] - row["p50_ms"] + 1e-9, row["peak_memory_mb"]), 0)
        self.assertLess(rows[0]["max_difference"], 1e-4)
        # The process of an ONNX file has not loaded TensorFlow.
        self.assertLess(rows[2]["peak_memory_mb"], 0.7 * rows[0]["peak_memory_mb"])
        self.assertEqual(rows[1]["bytes"], self.tflite.stat().st_size)
        self.assertEqual({tuple(row) for row in rows}, {tuple(field.name for field in dataclasses.fields(Row))})

    def test_other_weights_are_rejected_and_the_command_fails(self):
        other = tiny.model("vgan")  # its batch normalisation statistics are those of a new network, not the run's
        to_saved_model.save(other, paths.path(self.folder / "other" / "1"), lowering=False, max_batch=3)
        result = run("check_parity", f"--run_dir={self.run_dir}", f"--artefact={self.folder / 'other'}", "--repeats=1",
                     package="export")  # fmt: skip
        self.assertEqual(result.returncode, check_parity.REJECTED, result.stderr)
        row = json.loads(result.stdout)
        self.assertEqual(row["status"], "rejected")
        self.assertIn("differs from Keras", row["reason"])

    def test_what_is_no_artefact_is_refused(self):
        for wrong, message in ((self.folder, "of no SavedModel"), (self.folder / "none.onnx", "no such file")):
            result = run("check_parity", f"--run_dir={self.run_dir}", f"--artefact={wrong}", package="export")
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertRegex(result.stderr.splitlines()[-1], f"error: --artefact: .*{message}.* Received: {wrong}$")

    def test_a_missing_runtime_is_reported_before_anything_is_run(self):
        for module, name in (("ai_edge_litert.interpreter", "tflite"), ("onnxruntime", "onnx"), ("onnx", "onnx")):
            missing = mock.patch.dict(sys.modules, {module: None})
            with self.subTest(module), missing, self.assertRaisesRegex(UsageError, "is not installed: pip install"):
                check_parity.check_runtimes(["saved_model", name])

    def test_a_flipped_weight_is_rejected(self):
        content = bytearray(self.onnx.read_bytes())
        damaged = self.folder / "damaged_float16.onnx"
        content[len(content) // 3 : len(content) // 3 + 64] = bytes(64)
        damaged.write_bytes(content)
        self.assertEqual(self.check(damaged, "float16").status, "rejected")

    def test_files_that_cannot_be_run_are_rejected_with_the_runtimes_reason(self):
        cut = self.folder / "cut.onnx"
        cut.write_bytes(self.onnx.read_bytes()[:1000])
        row = self.check(cut)
        self.assertEqual(row.status, "rejected")
        self.assertIn("not an ONNX model", row.reason)
        self.assertEqual((row.bytes, row.p50_ms, row.max_difference), (1000, None, None))

    def test_a_weightless_file_is_rejected_by_its_size(self):
        kernels = sum(w.size for w in self.model.generator.get_weights() if w.ndim > 1)
        self.assertIn("too few for", self.fault("float32", bytes=4 * kernels - 1))
        self.assertIsNone(self.fault("float32", bytes=4 * kernels))
        self.assertIsNone(self.fault("int8", bytes=kernels))

    def test_int8_that_computes_in_float_is_rejected(self):
        self.assertIsNone(self.fault("int8", float_share=0.0))
        self.assertIn("computes 25% of its convolutions in float", self.fault("int8", float_share=0.25))
        in_float = self.folder / "named_int8.tflite"
        in_float.write_bytes(converted.tflite("vgan"))
        self.assertIn("computes 100%", self.check(in_float, "int8").reason)

    def test_of_versions_the_one_that_is_run_is_measured(self):
        versions = self.folder / "versions"
        shutil.copytree(self.saved_model, versions / "2")
        (versions / "1").mkdir()
        (versions / "1" / "saved_model.pb").write_bytes(b"older")
        row = self.check(versions)
        self.assertEqual((row.artefact, row.status), ("versions/2", "accepted"))
        self.assertEqual(row.sha256, checksums.sha256_of_tree(versions / "2"))

    def test_limits_are_those_of_the_precision(self):
        for precision, difference, rejected in (
            ("float32", 0.9e-4, False), ("float32", 1.1e-4, True), ("float16", 4e-3, False), ("float16", 6e-3, True),
            ("int8", 1e-9, True),
        ):  # fmt: skip
            fault = self.fault(precision, max_difference=difference, psnr_db=37.9)
            self.assertEqual(bool(fault), rejected, (precision, difference))
        self.assertIsNone(self.fault("int8", max_difference=1.0, psnr_db=38.1))

    def test_differences_are_over_both_sizes_of_batch(self):
        expected = self.reference.expected
        shifted = expected.copy()
        shifted[7, 0, 0, 0, 0] += 0.5
        figures = self.reference._difference({"batch_1": expected, "batch_3": shifted})
        self.assertAllClose(figures["max_difference"], 0.5, atol=1e-6)
        self.assertAllClose(figures["psnr_db"], 10 * np.log10(4 / (0.25 / (2 * expected.size))), atol=1e-3)
        with self.assertRaisesRegex(UsageError, "not finite"):
            self.reference._difference({"batch_1": expected * np.nan})
        with self.assertRaisesRegex(UsageError, "where Keras gives"):
            self.reference._difference({"batch_1": expected[:, :2]})

    def test_batches_of_three_hold_every_row(self):
        rows, seen = np.arange(8), []
        added = measure._in_batches(lambda a, b: seen.append(len(a)) or a + b, (rows, 10 * rows), 3)
        self.assertAllEqual(added, 11 * rows)
        self.assertEqual(seen, [3, 3, 3])

    def test_inputs_come_back_from_their_file_in_order(self):
        for inputs in (np.arange(6.0), (np.ones([2, 3]), np.zeros([2, 2]))):
            measure.save_inputs(self.folder / "pair.npz", inputs)
            read = measure.load_inputs(self.folder / "pair.npz")
            self.assertAllEqual(read[0], inputs[0] if isinstance(inputs, tuple) else inputs)
            self.assertLen(read, len(inputs) if isinstance(inputs, tuple) else 1)

    def test_products_in_float_are_counted(self):
        self.assertEqual(operators.float_share(self._native()), 1.0)
        self.assertEqual(operators.float_share(self.onnx), 1.0)
        self.assertIsNone(operators.float_share(self.saved_model))

    def test_operators_for_a_gpu_are_counted(self):
        self.assertLess(operators.gpu_share(self._native()), 0.5)
        self.assertBetween(operators.gpu_share(self.tflite), 0.95, 0.999)  # The last one gives five dimensions.
        self.assertIsNone(operators.gpu_share(self.onnx))

    def _native(self) -> Path:
        """The model in 3D operations, in float."""
        file = self.folder / "float.tflite"
        file.write_bytes(converted.tflite("vgan", lowering=False))
        return file

    def test_predictors_are_fed_first_frames_of_clips(self):
        model = tiny.model("mdgan")
        frames = probes.probe_inputs(model, 8)
        self.assertEqual(frames.shape, (8, 32, 32, 3))
        levels = (frames + 1) * 127.5
        self.assertAllClose(levels, np.rint(levels), atol=1e-4)
        with self.assertRaisesRegex(UsageError, "^--clips: .*no such"):
            probes.probe_inputs(model, 8, "/no/such/clips", flag="--clips")

    def test_arrays_are_read_as_in_the_training(self):
        model, file = tiny.model("mdgan"), Path(self.create_tempdir().full_path) / "clips.npy"
        np.save(file, np.random.default_rng(0).random([8, tiny.FRAMES, 32, 32, 3], np.float32))
        with self.assertRaisesRegex(UsageError, "array_range"):
            conversion.calibration_inputs(model, str(file), "synthetic:sky")
        form = Form(values="0:1")
        frames = conversion.calibration_inputs(model, None, str(file), form)
        self.assertEqual((frames.shape, frames.min() < -0.9, frames.max() > 0.9), ((8, 32, 32, 3), True, True))
        folder = Path(self.create_tempdir().full_path)
        self.assertEqual(check_parity.Reference(model, folder, None, str(file), form=form).checked_on, str(file))

    def test_the_data_that_artefacts_are_checked_on_is_named(self):
        model = tiny.model("mdgan")
        for clips, trained_on, expected in (
            (None, "synthetic:sprites", "synthetic:sprites:test"), ("synthetic:sky", "/no/such", "synthetic:sky"),
            (None, "/no/such", "synthetic:sky:test"), (None, "synthetic:skies", "synthetic:skies:test"),
        ):  # fmt: skip
            reference = check_parity.Reference(model, Path(self.create_tempdir().full_path), clips, trained_on)
            self.assertEqual(reference.checked_on, expected)
        self.assertEqual(self.reference.checked_on, "latents")


if __name__ == "__main__":
    tf.test.main()
