"""`export.all` as a user runs it: one folder with every format, its report, and a model card whose snippets run."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from export import all as export_all
from export import model_card, processes
from export.probes import probe_inputs
from export.report import Row
from tests.helpers import ROOT, tiny
from tests.helpers.commands import Command, run
from tests.helpers.made_files import write_shard
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.files import checksums
from tfvideogan.runs import run_folder, state


class ExportAllTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.output = self.folder / "exported"

    def export(self, *arguments: str, search: Path = ROOT) -> subprocess.CompletedProcess:
        """Runs the command in a folder other than the repository's."""
        return run("all", *arguments, package="export", folder=self.folder, search=search)

    def report(self) -> dict:
        return json.loads((self.output / "export_report.json").read_text())

    def run_snippets(self) -> int:
        """Runs the model card's snippets in the folder of the export, and returns how many there are."""
        snippets = re.findall(r"```python\n(.*?)```", (self.output / "README.md").read_text(), re.DOTALL)
        Image.fromarray(np.zeros([40, 50, 3], np.uint8)).save(self.output / "photo.jpg")
        shapes = (
            "\nfor name in ('clips', 'frames', 'video'):\n    print(name, list(globals().get(name, np.zeros(0)).shape))"
        )
        for index, snippet in enumerate(snippets):
            (self.output / f"snippet{index}.py").write_text(f"import numpy as np\n{snippet}{shapes}")
            result = run(f"snippet{index}", package="", folder=self.output, search=self.output)
            self.assertEqual(result.returncode, 0, f"{snippet}\n{result.stderr}")
            self.assertRegex(result.stdout, r"\[[12], 4, \d+, \d+, 3\]")
        return len(snippets)

    def test_a_generator_in_every_format_and_precision(self):
        tiny.run_folder(self.folder / "run", "vgan")
        result = self.export("--run_dir=run", "--output=exported", "--repeats=3")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        files = {f"vgan_{precision}.{kind}" for precision in export_all.PRECISIONS for kind in ("tflite", "onnx")}
        names = {path.name for path in self.output.iterdir()}
        self.assertEqual(names, files | {"vgan", "export_report.json", "README.md"})
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"run", "exported"})
        report = self.report()
        self.assertEqual({row["artefact"] for row in report["artefacts"]}, files | {"vgan/1"})
        for row in report["artefacts"]:
            self.assertEqual((row["status"], row["reason"]), ("accepted", None))
            self.assertEqual(row["sha256"], checksums.sha256_of_tree(self.output / row["artefact"]))
            self.assertIn(row["artefact"], (self.output / "README.md").read_text())
            self.assertEqual(load_exported(self.output / row["artefact"]).generate(3).shape, (1, 4, 16, 16, 3))
        self.assertIn("onnxruntime", report["versions"])
        self.assertEqual(report["checked_on"], "latents")
        self.assertEqual((report["model"], report["clip"], len(report["weights_sha256"])), ("vgan", [4, 16, 16, 3], 64))
        self.assertEqual(self.run_snippets(), 4)

    def test_a_predictor_that_takes_wind_with_int8_calibrated_on_the_clips_of_the_run(self):
        model = tiny.changing(drift="fused")
        options = {"base_width": 8, "init_stddev": tiny.CONTRASTING["mdgan", 1], "residual": True, "drift": "fused"}
        config = tiny.config("mdgan", **options)
        run = run_folder.RunFolder.for_training(self.folder / "run", config)
        run.write_config(config)
        run.save(1, 4, state.for_sampling(model), keep=1)
        result = self.export("--run_dir=run", "--output=exported", "--repeats=1", "--precisions=int8")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        report = self.report()
        self.assertEqual((report["checked_on"], report["takes_wind"]), ("synthetic:sky:test", True))
        self.assertEqual({row["artefact"] for row in report["artefacts"]}, {"mdgan_int8.tflite", "mdgan_int8.onnx"})
        frame, wind = probe_inputs(model, 8)[0][0], (0.1, -0.05)
        expected = {given: model((frame[None], np.float32([given])))["clip"].numpy() for given in (wind, (0.005, 0))}
        self.assertBetween(expected[wind].std(), 0.15, 0.6)  # flat clips would pass, whatever is wrong
        for artefact in ("run", *(f"exported/{row['artefact']}" for row in report["artefacts"])):
            loaded, near = load_exported(self.folder / artefact), 0.1 if "int8" in artefact else 0.02
            for given, clip in expected.items():
                chosen = {"wind": given} if given == wind else {}
                made = to_float(loaded.predict(to_uint8(frame), **chosen))
                self.assertLess(np.sqrt(np.mean((made - clip) ** 2)), near / 4, artefact)
                self.assertLess(np.abs(made - clip).max(), 4 * near, artefact)
            for wrong in ((1, 2, 3), (np.nan, 0), (2, 0)):
                with self.assertRaisesRegex(UsageError, "wind must be two numbers"):
                    loaded.predict(to_uint8(frame), wind=wrong)
        for row in report["artefacts"]:
            self.assertEqual((row["status"], row["reason"]), ("accepted", None))
        self.assertEqual(self.run_snippets(), 3)

    def test_a_predictor_and_a_format_that_fails_beside_one_that_does_not(self):
        tiny.run_folder(self.folder / "run", "mdgan", 2, residual=True, drift="fused")
        broken = self.folder / "broken" / "tf2onnx"
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text("")
        arguments = ["--run_dir=run", "--output=exported", "--precisions=float32", "--formats=onnx,saved_model"]
        result = self.export(*arguments, "--repeats=1", search=self.folder / "broken")
        self.assertEqual(result.returncode, export_all.FAILED, result.stdout + result.stderr)
        failed, accepted = self.report()["artefacts"]
        self.assertEqual((failed["format"], failed["status"]), ("onnx", "failed"))
        self.assertIn("tf2onnx", failed["reason"])
        self.assertEqual((accepted["format"], accepted["status"]), ("saved_model", "accepted"))
        self.assertEqual({path.name for path in self.output.iterdir()}, {"mdgan", "export_report.json", "README.md"})
        self.assertEqual((self.report()["checked_on"], self.report()["takes_wind"]), ("synthetic:sky:test", True))
        self.assertIn("8 inputs (first frames of `synthetic:sky:test`)", (self.output / "README.md").read_text())
        self.assertEqual(self.run_snippets(), 2)
        again = run("benchmark", f"--dir={self.output}", "--repeats=1", "--rounds=1", package="export")
        self.assertEqual(again.returncode, 0, again.stderr)
        names = {line.split(" | ")[0] for line in again.stdout.splitlines() if line.count(" | ") == 12}
        self.assertEqual(names, {"| artefact", "| ---", f"| {accepted['artefact']}"})
        self.assertIn("export.to_onnx failed:\nTraceback", result.stderr)  # its maintainer needs the traceback
        before = {path: path.stat().st_mtime_ns for path in self.output.rglob("*")}
        self.refused("must not exist yet", *arguments)
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.output.rglob("*")}, before)

    def refused(self, expected: str, *arguments: str, **options) -> None:
        with self.subTest(expected=expected):
            result = self.export(*arguments, **options)
            self.assertEqual(result.returncode, 2, result.stderr)
            (line,) = (line for line in result.stderr.splitlines() if not line.startswith("INFO: "))
            self.assertIn(expected, line)
            self.assertStartsWith(line, "all: error: ")

    def test_wrong_input_ends_in_one_line_and_nothing_half_written(self):
        untrained = tiny.run_folder(self.folder / "untrained", "vgan")
        tf.io.gfile.rmtree(str(untrained / "checkpoints"))
        tiny.run_folder(self.folder / "mdgan", "mdgan")
        tiny.run_folder(self.folder / "vgan", "vgan")
        write_shard(self.folder / "clips.tfrecord", [np.zeros([4, 16, 16, 3], np.uint8)] * 8)
        missing = self.folder / "missing" / "onnxruntime"
        missing.mkdir(parents=True)
        (missing / "__init__.py").write_text("raise ImportError")
        before = {path.name for path in self.folder.iterdir()}
        output, mdgan = "--output=new/exported", "--run_dir=mdgan"
        self.refused("no checkpoint", "--run_dir=untrained", output)
        self.refused("holds no run", "--run_dir=missing", output)
        self.refused("error: --calibration clips.tfrecord holds", mdgan, output, "--calibration=clips.tfrecord")
        self.refused("--calibration is for predictors", "--run_dir=vgan", output, "--calibration=clips.tfrecord")
        self.refused("pip install -c constraints.txt -e '.[export]'", mdgan, output, search=self.folder / "missing")
        self.refused("--formats", mdgan, output, "--formats=onnx,coreml")
        self.refused("do not include int8", mdgan, output, "--formats=saved_model", "--precisions=int8")
        in_float = ["--formats=tflite", "--precisions=int8", "--lowering=off"]
        self.refused("error: --precision=int8 needs --lowering=on", mdgan, output, *in_float)
        self.assertEqual({path.name for path in self.folder.iterdir()}, before)

    def test_sigterm_leaves_no_folder_and_no_process(self):
        tiny.run_folder(self.folder / "run", "vgan")
        process = Command("all", "--run_dir=run", "--output=exported", package="export", folder=self.folder)
        self.addCleanup(process.kill)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        # Imports start short-lived children, too. A converter's process starts when there is a folder for its file.
        while not (list(self.folder.glob(".*.part/made")) and (child := children.read_text().split())):
            self.assertIsNone(process.poll())
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 128 + signal.SIGTERM)
        self.assertFalse(Path(f"/proc/{child[0]}").exists())
        self.assertEqual([path.name for path in self.folder.iterdir()], ["run"])

    def make(self, job: export_all.Job, error: str | None = None) -> Row:
        """Makes an artefact that is rejected, or half an artefact before an error ends its process."""

        def write(_, **options):
            output = Path(options["output"])
            if job.format == "saved_model":
                output.mkdir()
                output /= "1"
            output.write_bytes(b"weights")
            if error:
                raise UsageError(error)

        checked = Row("ignored", job.format, job.precision, status="rejected", reason="differs")
        reference = SimpleNamespace(check=lambda *_: checked)
        args = SimpleNamespace(run_dir="run", calibration=None, repeats=1, threads=1, trust=False)
        with mock.patch.object(processes, "run", write):
            return export_all._make(job, self.folder, reference, 1, args)

    def test_what_is_rejected_is_moved_aside(self):
        for job in (
            export_all.Job("tflite", "int8", True, Path("vgan_int8.tflite")),
            export_all.Job("saved_model", "float32", True, Path("vgan/1")),
        ):
            row = self.make(job)
            expected = ("rejected", "differs", f"rejected/{job.file}", job.lowered)
            self.assertEqual((row.status, row.reason, row.artefact, row.lowered), expected)
            self.assertTrue((self.folder / "rejected" / job.file).exists())
        self.assertEqual([path.name for path in self.folder.iterdir()], ["rejected"])

    def test_of_what_failed_nothing_stays(self):
        for format_, file in (("saved_model", "vgan/1"), ("tflite", "vgan_float32.tflite")):
            row = self.make(export_all.Job(format_, "float32", True, Path(file)), "ended by signal 9")
            self.assertEqual((row.status, row.reason, row.artefact), ("failed", "ended by signal 9", file))
            self.assertEmpty(list(self.folder.iterdir()))

    def test_a_checkpoint_that_moves_is_noticed(self):
        run_dir = tiny.run_folder(self.folder / "run", "vgan")
        run = run_folder.RunFolder(run_dir)

        def make(job, *_):
            run.save(1, 8, state.for_sampling(tiny.model("vgan")), keep=2)
            return Row(str(job.file), job.format, job.precision, job.lowered, status="accepted")

        args = SimpleNamespace(
            run_dir=run_dir, output=self.output, formats=["tflite"], precisions=["float32"], lowering="on",
            stage=None, calibration=None, threads=1, trust=False,
        )  # fmt: skip
        nothing = lambda *_: None  # noqa: E731
        cli = SimpleNamespace(
            flags=SimpleNamespace(FLAGS=args), require_run=nothing, load_tensorflow=nothing, exit_on_sigterm=nothing
        )
        with (
            mock.patch.object(export_all, "cli", cli),
            mock.patch.object(export_all, "_make", make),
            self.assertRaisesRegex(UsageError, "step00000004 was no longer the newest"),
        ):
            export_all.main()
        self.assertEqual([path.name for path in self.folder.iterdir()], ["run"])

    def test_int8_is_left_out_where_it_would_be_float(self):
        chosen = {"formats": [*export_all.FORMATS, "onnx"], "precisions": [*export_all.PRECISIONS]}
        jobs = {
            lowering: export_all._jobs("vgan", SimpleNamespace(lowering=lowering, **chosen))
            for lowering in ("on", "off")
        }
        self.assertLen(jobs["on"], 7)
        self.assertEqual(len(jobs["off"]), 5)
        self.assertEqual({job.precision for job in jobs["off"]}, {"float32", "float16"})
        self.assertFalse(any(job.lowered for job in jobs["off"]))

    def test_formats_that_are_left_out_are_logged(self):
        args = SimpleNamespace(lowering="on", formats=["saved_model", "onnx"], precisions=["int8"])
        with self.assertLogs("tfvideogan.export", "WARNING") as logs:
            (job,) = export_all._jobs("vgan", args)
        self.assertEqual((job.format, job.precision), ("onnx", "int8"))
        self.assertEqual([log.getMessage().split()[0] for log in logs.records], ["saved_model"])

    def test_a_process_that_fails_gives_its_reason(self):
        with self.assertRaisesRegex(UsageError, "^--artefact is required"):
            processes.run("export.measure")
        (self.folder / "killed.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
        with (
            mock.patch.dict(os.environ, {"PYTHONPATH": str(self.folder)}),
            self.assertRaisesRegex(UsageError, "signal 9"),
        ):
            processes.run("killed")

    def test_a_card_without_an_accepted_artefact_has_no_snippet(self):
        row = Row("a.onnx", "onnx", "int8", lowered=True, status="failed", reason="a | b")
        report = {"model": "mdgan", "stage": 2, "step": 3, "weights_sha256": "0", "data": "synthetic:sky", "fps": 12,
                  "predicts": True, "takes_wind": False, "clip": [4, 32, 32, 3], "created": "now",
                  "versions": {"tfvideogan": "1"}, "artefacts": [row],
                  "machine": {"processor": "p", "threads": 2}, "checked_on": "b"}  # fmt: skip
        card = model_card.model_card(report)
        self.assertNotIn("```", card)
        self.assertIn("failed: a / b", card)
        self.assertIn("MD-GAN, both stages", card)


if __name__ == "__main__":
    tf.test.main()
