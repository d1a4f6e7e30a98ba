"""`demo` as a user calls it: when its page is there, what it opens, and how it ends."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import tensorflow as tf

from tests.helpers import ROOT
from tests.helpers.commands import Command, run


class DemoTest(tf.test.TestCase):
    def test_it_answers_at_once_and_ends_with_the_reason_if_the_model_cannot_be_loaded(self):
        folder = Path(self.create_tempdir().full_path)
        (folder / "broken.tflite").write_bytes(b"nothing")
        command = Command("demo", f"--model={folder / 'broken.tflite'}", "--port=0")
        self.assertEqual(command.wait(), 2)
        self.assertStartsWith(command.out, "http://localhost:")
        self.assertIn("broken.tflite: not a TFLite model", command.err)
        self.assertEqual(command.err.count("\n"), 1)

    def test_the_page_is_there_in_two_seconds(self):
        """Of processor time, which whatever else the machine does leaves alone."""
        command = [sys.executable, "-m", "tfvideogan.demo", "--weights=mdgan-skies-64", "--port=0"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
            self.addCleanup(demo.kill)
            with urllib.request.urlopen(demo.stdout.readline().split()[0], timeout=120) as answer:
                self.assertIn(b"A moment, please", answer.read())
            ticks = Path(f"/proc/{demo.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            demo.kill()
        self.assertLess(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), 2)

    def test_what_lies_at_an_object_store_is_looked_for_while_the_page_is_there(self):
        for flag in ("run_dir", "model"):
            command = Command("demo", f"--{flag}=gs://bucket/runs/vgan", "--port=0")  # TensorFlow asks for minutes.
            self.addCleanup(command.kill)
            end = time.monotonic() + 60
            while not command.out and command.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            self.assertStartsWith(command.out, "http://localhost:")

    def test_a_saved_model_that_is_refused_can_be_trusted(self):
        class Clock(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.uint8, "frame")], autograph=False)
            def predict_video(self, frame):
                return {"video": tf.cast(frame, tf.float32)[:, tf.newaxis] + tf.cast(tf.timestamp(), tf.float32) * 0}

        module, path = Clock(), str(Path(self.create_tempdir().full_path, "clock"))
        tf.saved_model.save(module, path, signatures={"predict_video": module.predict_video})
        command = Command("demo", f"--model={path}", "--port=0")
        self.assertEqual(command.wait(), 2)
        self.assertIn("not loaded, since it has the operation Timestamp", command.err)
        trusting = Command("demo", f"--model={path}", "--trust", "--port=0")
        self.addCleanup(trusting.kill)
        end, about = time.monotonic() + 120, None
        while not trusting.out and trusting.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        while about is None and time.monotonic() < end and trusting.poll() is None:
            with urllib.request.urlopen(f"{trusting.out.split()[0]}api/model") as answer:
                about = json.load(answer).get("about")
            time.sleep(0.05)
        self.assertIsNotNone(about)
        self.assertEqual((about["name"], about["predicts"], about["size"]), ("clock", True, 8))

    def test_wrong_flags_end_in_one_line(self):
        for flags, told in (
            (["--model=nowhere.onnx"], "--model: no such file"),
            (["--model=a.onnx", "--weights=mdgan-skies-64"], "--model stands in place of"),
            (["--weights=none"], "--weights must be one of"),
            (["--run_dir=nowhere"], "--run_dir must be the folder of a trained run"),
        ):
            done = run("demo", *flags)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn(told, done.stderr)


if __name__ == "__main__":
    tf.test.main()
