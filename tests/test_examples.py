"""The examples that are programs, run as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.helpers.commands import run

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "step_without_tensorflow.py"
TINY = ["--frame_size=16", "--num_frames=2", "--base_width=2", "--batch_size=2", "--steps=3"]


class StepWithoutTensorflowTest(tf.test.TestCase):
    def test_a_step_trains_in_jax_and_comes_back(self):
        pytest.importorskip("jax", reason="JAX is not installed")
        pytest.importorskip("jaxlib", reason="JAX is not installed")
        self.run_example("export", "vgan_scenes", "step.pkl", "--num_clips=3", *TINY)
        self.assertIn("step 3: d_real", self.run_example("train", "step.pkl", "weights.npz", "--steps=3"))
        self.assertIn("step 3", self.run_example("take", "vgan_scenes", "weights.npz", "run", *TINY))

    def test_what_it_cannot_train_is_refused(self):
        for arguments, reason in (
            (["mdgan_demo"], "no --adversarial_from, no --lr_schedule"),
            (["vgan_sprites", "--zoom=1.5", *TINY], "no --reverse, --zoom"),
            (["x"], "--config must be help, or one of"),
        ):
            arguments = ["export", arguments[0], "step.pkl", *arguments[1:]]
            done = run(EXAMPLE.stem, *arguments, package="examples", folder=self.get_temp_dir())
            self.assertEqual(done.returncode, 1)
            self.assertIn(reason, done.stderr.splitlines()[-1])

    def run_example(self, *arguments: str) -> str:
        command = [sys.executable, str(EXAMPLE), *arguments]
        done = subprocess.run(command, cwd=self.get_temp_dir(), capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout


if __name__ == "__main__":
    tf.test.main()
