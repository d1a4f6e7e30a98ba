"""`export.benchmark`: its arithmetic by hand, and the command over a small folder of artefacts."""

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from export import benchmark, openvino_runtime, processes, torch_networks
from export.report import FILE, Row, to_json
from tests.helpers import converted, tiny
from tests.helpers.commands import run
from tfvideogan.config import UsageError
from tfvideogan.files import checksums, optional
from tfvideogan.inference.artefacts import load_exported
from tfvideogan.runs import loading


def timed(row: Row, p50: float) -> Row:
    figures = {"p50_ms": p50, "p95_ms": 2 * p50, "clips_per_s": 1e3 / p50, "peak_memory_mb": 7.0, "repeats": 3}
    return dataclasses.replace(row, **figures)


class TableTest(tf.test.TestCase):
    def test_median_over_rounds_and_share_of_the_limit(self):
        row = Row("a.tflite", "tflite", "float32", lowered=True, bytes=2_500_000, sha256="0123456789abcdef")
        row = dataclasses.replace(row, max_difference=2e-6)
        median = benchmark.median([timed(row, 10.0), timed(row, 50.0), timed(row, 20.0)])
        # 1 GFLOP in 20 ms is 50 GFLOP/s, a quarter of 200.
        line = benchmark.table([median], flops=1e9, rate=200.0).splitlines()[-1]
        self.assertEqual(
            line,
            "| a.tflite | tflite | float32 | 2D | 2.5 | 20.0 | 40.0 | 50.0 | 7 | 2.0e-06 | - | 25% | `0123456789ab` |",
        )

    def test_inputs_are_made_of_the_report(self):
        report = {"predicts": True, "clip": [4, 32, 32, 3]}  # as former versions wrote it, without `takes_wind`
        self.assertEqual(benchmark.inputs_of(report).shape, (8, 32, 32, 3))
        frames, winds = benchmark.inputs_of(report | {"takes_wind": True})
        self.assertEqual((frames.shape, winds.shape, winds.dtype), ((8, 32, 32, 3), (8, 2), np.float32))
        self.assertEqual(benchmark.inputs_of(report | {"predicts": False}).shape, (8, 100))

    def test_int8_has_decibels_and_a_failure_its_reason(self):
        int8 = timed(Row("b.onnx", "onnx", "int8", lowered=True, bytes=1, psnr_db=41.26, float_share=0.0), 10.0)
        pytorch = Row("PyTorch", None, "float32", lowered=False)
        rows = [
            benchmark.median([dataclasses.replace(int8, peak_memory_mb=None)]),
            benchmark.median([timed(pytorch, 1.0), dataclasses.replace(pytorch, reason="torch | none")]),
        ]
        lines = benchmark.table(rows, None, 200.0).splitlines()
        self.assertIn("| 100.0 | - | 41.3 dB | 0% | - | - |", lines[-2])
        self.assertStartsWith(lines[-1], "| PyTorch | torch / none | - |")


class CommandTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(cls().create_tempdir().full_path)
        cls.run_dir = tiny.run_folder(cls.folder / "run", "vgan")
        model = loading.load_generator(cls.run_dir)
        cls.exported = cls.folder / "exported"
        cls.exported.mkdir()
        rows = [
            cls.artefact(cls.exported, "a.tflite", converted.tflite("vgan")),
            cls.artefact(cls.exported, "a.onnx", converted.onnx("vgan")),
            Row("rejected/a.tflite", "tflite", "int8", lowered=True, status="rejected"),
        ]
        cls.report = {"stage": 1, "predicts": False, "clip": [4, 16, 16, 3], "artefacts": rows}
        cls.report["weights_sha256"] = loading.weights_sha256(model)
        (cls.exported / FILE).write_text(to_json(cls.report))

    @staticmethod
    def artefact(folder: Path, name: str, content: bytes) -> Row:
        """Writes an artefact and gives the row of a report that has accepted it."""
        (folder / name).write_bytes(content)
        return Row(
            name, name.partition(".")[2], "float32", lowered=True, bytes=len(content), max_difference=1e-6,
            status="accepted", sha256=checksums.sha256_of_tree(folder / name),
        )  # fmt: skip

    def command(self, *arguments: str, expected: int = 0):
        result = run("benchmark", "--repeats=2", "--rounds=1", *arguments, package="export")
        self.assertEqual(result.returncode, expected, result.stderr)
        return result

    def test_every_accepted_artefact_beside_the_product_rate_and_one_that_cannot_be_run(self):
        folder = Path(self.create_tempdir().full_path) / "exported"
        shutil.copytree(self.exported, folder)
        rows = [*self.report["artefacts"], self.artefact(folder, "broken.tflite", b"no model")]
        (folder / FILE).write_text(to_json(self.report | {"artefacts": rows}))
        out = self.command(f"--dir={folder}", f"--run_dir={self.run_dir}", expected=benchmark.FAILED).stdout
        self.assertRegex(
            out, r"^\S.*, 2 threads; python 3\S+, .*tensorflow \d\S+,.*\n"
            r"matrix product: \d+ GFLOP/s in float32 before, \d+ after; share: of their mean\n"
            "differences from Keras: those of the export"
        )  # fmt: skip
        *_, tflite, onnx, broken = out.splitlines()
        self.assertEqual([line.split(" | ")[0] for line in (tflite, onnx)], ["| a.tflite", "| a.onnx"])
        for line in (tflite, onnx):
            self.assertRegex(line, r"float32 \| 2D \| 0\.\d (\| [\d.]+ ){4}\| 1\.0e-06 \| - \| \d+% \| `\w{12}` \|$")
        self.assertRegex(broken, r"^\| broken.tflite \| .*not a TFLite model.* \| - \|")

    def test_bad_input_ends_in_one_line(self):
        for expected, arguments in (
            ("made by export.all", [f"--dir={self.folder}"]),
            ("--others needs --run_dir", [f"--dir={self.exported}", "--others"]),
        ):
            result = self.command(*arguments, expected=2)
            self.assertLen(result.stderr.splitlines(), 1)
            self.assertIn(expected, result.stderr)

    def test_reports_that_lack_what_is_needed_are_refused(self):
        folder = Path(self.create_tempdir().full_path)
        report = json.loads((self.exported / FILE).read_text())
        unsized = dict(report["artefacts"][0])
        del unsized["bytes"]
        for wrong in (
            {},
            [],
            {"artefacts": 3},
            {"artefacts": [{}]},
            {"artefacts": []},
            report | {"artefacts": [unsized]},
        ):
            (folder / FILE).write_text(json.dumps(wrong))
            with self.assertRaisesRegex(UsageError, "^--dir.*export_report.json"):
                benchmark.read_report(folder)
        self.assertLen(self.command(f"--dir={folder}", expected=2).stderr.splitlines(), 1)

    def test_others_that_cannot_be_made_have_the_reason(self):
        with mock.patch.object(processes, "run", side_effect=UsageError("tf2onnx is not installed")):
            contenders = benchmark.others(self.folder, "run", 1)
            native = [one for one in contenders if "3D operators" in one.row.artefact]
            rows = [benchmark.timed(one, self.folder, repeats=1, threads=1) for one in native]
        self.assertEqual([row.reason for row in rows], ["tf2onnx is not installed"] * 2)

    def test_onnx_files_are_timed_in_openvino_too(self):
        contenders = benchmark.accepted(self.exported, benchmark.read_report(self.exported))
        with mock.patch.object(processes, "run", side_effect=UsageError("not made")):
            contenders += benchmark.others(self.folder, "run", 1)
        files = {one.row.artefact: one.options["artefact"] for one in benchmark.in_openvino(contenders)}
        lowered, native = self.exported / "a.onnx", self.folder / "native.onnx"
        self.assertEqual(files, {"OpenVINO, a.onnx": lowered, "OpenVINO, onnx, 3D operators": native})
        if importlib.util.find_spec("openvino") is None:
            self.skipTest("OpenVINO is not installed: pip install -c constraints.txt -e '.[openvino]'")
        latents = np.random.default_rng(0).standard_normal([1, 100]).astype(np.float32)
        clip = openvino_runtime.opened(str(lowered), 1)(latents)
        self.assertAllClose(clip, loading.load_generator(self.run_dir)(latents)["clip"], atol=1e-4)
        with self.assertRaisesRegex(UsageError, "not a model that OpenVINO can run"):
            (self.folder / "broken.onnx").write_bytes(b"no model")
            openvino_runtime.opened(str(self.folder / "broken.onnx"), 1)

    def test_keras_is_timed_at_the_stage_that_was_exported(self):
        run_dir = tiny.run_folder(self.folder / "two_stages", "mdgan", stage=2)
        with mock.patch.object(processes, "run", side_effect=UsageError("not made")):
            keras = benchmark.others(self.folder, str(run_dir), 1)[0]
        with mock.patch.object(processes, "run", return_value='{"p50_ms": 3.0}') as started:
            row = benchmark.timed(keras, self.folder / "inputs.npy", repeats=1, threads=1)
        self.assertEqual((row.artefact, row.p50_ms), ("Keras", 3.0))
        self.assertEqual(started.call_args.kwargs["stage"], 1)
        frames = np.zeros([1, 32, 32, 3], np.float32)
        first, both = (load_exported(run_dir, stage=stage).run(frames) for stage in (1, None))
        self.assertAllClose(first, loading.load_generator(run_dir, 1)(frames)["clip"], atol=1e-5)
        self.assertNotAllClose(first, both, atol=1e-3)

    def test_files_and_runs_that_changed_are_refused(self):
        report = benchmark.read_report(self.exported)
        self.assertEqual(report, self.report)
        self.assertEqual(
            [one.row.artefact for one in benchmark.accepted(self.exported, report)], ["a.tflite", "a.onnx"]
        )
        changed = dataclasses.replace(report["artefacts"][0], sha256="0" * 64)
        with self.assertRaisesRegex(UsageError, "not the file that was checked"):
            benchmark.accepted(self.exported, report | {"artefacts": [changed]})
        with self.assertRaisesRegex(UsageError, "no accepted artefact"):
            benchmark.accepted(self.exported, report | {"artefacts": []})
        with self.assertRaisesRegex(UsageError, "other weights"):
            benchmark.flops_of(str(self.run_dir), report | {"weights_sha256": "0"})


class TorchTest(tf.test.TestCase):
    def test_the_copy_in_pytorch_is_the_same_function(self):
        if importlib.util.find_spec("torch") is None:
            self.skipTest("PyTorch is not installed: pip install -c constraints.txt -e '.[bench]'")
        torch = optional.torch()
        for name, stage in tiny.MODELS:
            model = tiny.model(name, stage)
            tiny.shake(model)
            spec = model.sampling_inputs[0]
            inputs = np.random.default_rng(0).uniform(-1, 1, [2, *spec.shape[1:]]).astype(np.float32)
            for layout in (torch.contiguous_format, torch.channels_last_3d):
                clips = torch_networks.generator(torch, model, layout)(inputs)
                self.assertAllClose(clips, model(inputs)["clip"], atol=1e-4, msg=f"{name} stage {stage}")


if __name__ == "__main__":
    tf.test.main()
