"""What a training would be, told before it is one."""

import re
from pathlib import Path

import keras
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan.config import UsageError
from tfvideogan.runs import run_folder, state
from tfvideogan.training import dry_run

TINY = ("--base_width=2", "--frame_size=16", "--num_frames=4", "--batch_size=4", "--init_stddev=0.1")


class CommandTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.run_dir = Path(self.create_tempdir().full_path) / "run"

    def test_it_prints_what_the_run_would_be_and_writes_nothing(self):
        result = run(
            "train", f"--run_dir={self.run_dir}", "--dry_run", "--precision=mixed_bfloat16", "--ema=0.5", *TINY
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        self.assertFalse(self.run_dir.exists())
        model = tiny.model("vgan")
        for line in (
            "--model=vgan",
            "--precision=mixed_bfloat16",
            "--learning_rate=0.0002",
            f"run folder      {self.run_dir}: a new run",
            "replicas        1 on 1 host(s), 4 of 4 clips each",
            "precision       mixed_bfloat16; losses are float32",
            f"stage 1         two_stream_generator {model.generator.count_params():,}, "
            f"discriminator {model.discriminator.count_params():,} parameters",
            "data            synthetic:sprites: 2,000 clips",
        ):
            self.assertIn(line, result.stdout.splitlines())
        self.assertRegex(result.stdout, r"(?m)^XLA             (on|off) \(the log above says why\)$")
        self.assertRegex(result.stdout, r"(?m)^  its memory    about \d+ MiB a replica")
        low, high = re.search(
            r"(?m)^first batch     \(4, 4, 16, 16, 3\) uint8 in \[(\d+), (\d+)\]$", result.stdout
        ).groups()
        self.assertBetween(int(low), 0, 127)
        self.assertBetween(int(high), 128, 255)

    def test_profiles_that_are_no_steps_are_refused(self):
        for profile in ("5:3", "3:3", "x"):
            with self.subTest(profile):
                result = run("train", f"--run_dir={self.run_dir}", f"--profile={profile}")
                self.assertEqual(result.returncode, 2, result.stderr)
                said = f"train: error: --profile must be start:stop, two steps. Received: {profile!r}"
                self.assertEqual((result.stdout, result.stderr.splitlines()), ("", [said]))
        self.assertFalse(self.run_dir.exists())


class ReportTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.run_dir = Path(self.create_tempdir().full_path) / "run"
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")

    def test_it_tells_where_an_existing_run_would_go_on(self):
        config = tiny.config("vgan", steps=9)
        run = run_folder.RunFolder.for_training(self.run_dir, config)
        run.write_config(config)
        model = tiny.model("vgan")
        model.compile()
        run.save(1, 7, state.for_training(model), keep=1)
        before = {path: path.read_bytes() for path in self.run_dir.rglob("*") if path.is_file()}
        self.assertIn(f"{self.run_dir}: would go on from stage 1, step 7\n", dry_run.describe(config, self.run_dir))
        self.assertEqual(before, {path: path.read_bytes() for path in self.run_dir.rglob("*") if path.is_file()})

    def test_every_stage_and_the_rows_of_every_replica_are_told(self):
        report = dry_run.describe(tiny.config("mdgan", strategy="mirrored", batch_size=6), self.run_dir)
        self.assertIn("replicas        2 on 1 host(s), 3 of 6 clips each\n", report)
        self.assertIn("\nstage 1         base_generator ", report)
        self.assertIn("\nstage 2         refine_generator ", report)
        self.assertEqual(report.count(" MiB a replica"), 2)

    def test_it_refuses_what_the_training_would(self):
        for message, options in {
            "--batch_size must be a multiple": {"strategy": "mirrored", "batch_size": 5},
            "exclude each other": {"xla": "on", "deterministic": True},
            "no such folder": {"data": "/no/such/folder"},
            "--eval_every needs one source": {"data": "synthetic:sprites@1,synthetic:scenes@1", "eval_every": 5},
        }.items():
            with self.subTest(message), self.assertRaisesRegex(UsageError, message):
                dry_run.describe(tiny.config("vgan", **options), self.run_dir)
        self.assertFalse(self.run_dir.exists())


if __name__ == "__main__":
    tf.test.main()
