"""The command `train`, interrupted and damaged."""

import signal
import time

import tensorflow as tf

from tests.helpers.command_case import TINY, CommandCase
from tests.helpers.commands import Command, run


class TrainTest(CommandCase):
    def test_training_again_goes_on_and_ctrl_c_leaves_a_checkpoint(self):
        run_dir = self.runs / "interrupted"
        arguments = [f"--run_dir={run_dir}", "--steps=100000", "--frame_size=16", "--sample_every=100000",
                     "--checkpoint_every=10", *TINY]  # fmt: skip
        process = Command("train", *arguments)
        early = run_dir / "checkpoints" / "stage1-step00000010"
        deadline = time.monotonic() + 120
        while not early.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertTrue(early.exists())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(60), 130, process.err)
        self.assertNotIn("Traceback", process.err)
        newest = max(int(path.name[-8:]) for path in (run_dir / "checkpoints").iterdir())
        self.assertGreater(newest, 10)
        result = run("train", *[*arguments[:1], f"--steps={newest + 2}", *arguments[2:]])
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"goes on from step {newest}", result.stderr)

    def test_a_corrupt_checkpoint_is_refused_and_left_as_it_is(self):
        run_dir = self.runs / "corrupt"
        result = run("train", f"--run_dir={run_dir}", "--steps=2", "--frame_size=16", *TINY)
        self.assertEqual(result.returncode, 0, result.stderr)
        damaged = list(run_dir.glob("checkpoints/*/variables.data*"))
        self.assertLen(damaged, 2)  # of before the first step, and of the last
        for data in damaged:
            content = bytearray(data.read_bytes())
            content[len(content) // 2] ^= 1
            data.write_bytes(content)
        before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
        for command, more in (("generate", []), ("evaluate", []), ("train", ["--steps=4", "--frame_size=16", *TINY])):
            result = run(command, f"--run_dir={run_dir}", *more)
            self.assertEqual(result.returncode, 3, result.stderr)
            self.assertNotIn("Traceback", result.stderr)
            self.assertIn("does not match its SHA-256", result.stderr)
            self.assertIn("damaged", result.stderr.splitlines()[-1])
        self.assertEqual(before, {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()})


if __name__ == "__main__":
    tf.test.main()
