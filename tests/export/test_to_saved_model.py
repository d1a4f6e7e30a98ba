"""`export.to_saved_model` as a user runs it: the layout of TF Serving, and what it refuses."""

import signal
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.commands import Command, run
from tests.helpers.made_files import picture
from tests.inference import test_signatures
from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.runs import loading


class ToSavedModelTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def export(self, *arguments: str):
        return run("to_saved_model", *arguments, package="export")

    def test_versions_stand_beside_each_other_and_are_never_overwritten(self):
        run_dir = tiny.run_folder(self.folder / "run", "mdgan", 2)
        arguments = [f"--run_dir={run_dir}", f"--output={self.folder / 'served'}"]
        for more in ([], ["--version=12", "--stage=1", "--max_batch=2", "--lowering=on"]):
            result = self.export(*arguments, *more)
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual({path.name for path in (self.folder / "served").iterdir()}, {"1", "12"})
        signatures = tf.saved_model.load(str(self.folder / "served" / "12")).signatures
        self.assertEqual(set(signatures), {"serving_default", "predict", "predict_video", "predict_jpeg"})
        frames = tf.zeros([2, 32, 32, 3], tf.uint8)
        expected = loading.load_generator(run_dir, stage=1)(tf.cast(frames, tf.float32) - 1.0)["clip"]
        self.assertAllClose(signatures["predict_video"](frame=frames)["video"], expected, atol=1e-4)
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "1 to 2 rows"):
            signatures["predict"](frame=tf.zeros([3, 32, 32, 3], tf.uint8))
        before = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        self.refused("which exists", *arguments)
        self.assertEqual(before, {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()})

    def test_saved_model_cli_runs_every_signature_of_a_lowered_predictor_with_streams(self):
        run_dir = tiny.run_folder(self.folder / "run", "vgan_conditional")
        result = self.export(f"--run_dir={run_dir}", f"--output={self.folder / 'served'}")
        self.assertEqual(result.returncode, 0, result.stderr)
        served = self.folder / "served" / "1"
        self.assertFalse(b"Conv3D" in (served / "saved_model.pb").read_bytes(), "not lowered")
        requests = {
            "frame": np.random.default_rng(1).integers(0, 256, [2, 16, 16, 3], np.uint8),
            "image_bytes": np.array([picture(), picture(kind="PNG")]),
        }
        for name, value in requests.items():
            np.save(self.folder / f"{name}.npy", value)
        arguments = []
        signatures = tf.saved_model.load(str(served)).signatures
        for signature, function in signatures.items():
            (name,) = function.structured_input_signature[1]
            arguments += [signature, f"{name}={self.folder / name}.npy"]
        test_signatures.process("saved_model_cli.py", str(served), str(self.folder / "answers"), *arguments)
        answers = {
            name: {file.stem: np.load(file, allow_pickle=True) for file in (self.folder / "answers" / name).iterdir()}
            for name in signatures
        }
        self.assertEqual(set(answers), {"serving_default", "predict", "predict_video", "predict_jpeg", "streams"})
        expected = loading.load_generator(run_dir)(to_float(requests["frame"]))
        self.assertAllClose(answers["streams"], {name: value.numpy() for name, value in expected.items()}, atol=1e-4)
        self.assertAllClose(answers["predict_video"]["video"], expected["clip"], atol=1e-4)
        for name in ("serving_default", "predict"):
            self.assertAllClose(answers[name]["frames"], to_uint8(expected["clip"]).numpy().astype(int), atol=1)
        self.assertEqual({name: len(value) for name, value in answers["predict_jpeg"].items()}, {"filmstrip_bytes": 2})

    def test_sigterm_leaves_nothing_half_written(self):
        run_dir = tiny.run_folder(self.folder / "run", "vgan")
        process = Command(
            "to_saved_model", f"--run_dir={run_dir}", f"--output={self.folder / 'served'}", package="export"
        )
        while not list(self.folder.glob("served/.*.part")):
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 143)
        self.assertEmpty(list((self.folder / "served").iterdir()))

    def refused(self, expected: str, *arguments: str) -> None:
        result = self.export(*arguments)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertLen(result.stderr.splitlines(), 1)
        self.assertIn(expected, result.stderr)

    def test_wrong_input_ends_in_one_line_and_nothing_half_written(self):
        untrained = tiny.run_folder(self.folder / "run", "vgan")
        tf.io.gfile.rmtree(str(untrained / "checkpoints"))
        output = f"--output={self.folder / 'served'}"
        self.refused("--run_dir or --weights (--weights=help lists them) is required", output)
        self.refused("no checkpoint", f"--run_dir={untrained}", output)
        self.refused("which holds no run", f"--run_dir={self.folder}", output)
        self.refused("cannot be written", f"--run_dir={untrained}", "--output=/dev/null/served")
        self.refused("max_batch", f"--run_dir={untrained}", output, "--max_batch=0")
        self.assertEqual([path.name for path in self.folder.iterdir()], ["run"])


if __name__ == "__main__":
    tf.test.main()
