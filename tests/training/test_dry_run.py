"""What a training would be, told before it is one."""

import re
from pathlib import Path
from unittest import mock

import keras
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan.config import UsageError
from tfvideogan.models.adversarial import AdversarialModel
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


class Dense(AdversarialModel):
    """9 and 4 parameters; of one row, the layers put out 2 + 3 and 3 + 1 numbers."""

    def __init__(self, loss_names: tuple[str, ...] = (), ema: float = 0.0):
        latents, clip = keras.Input([2]), keras.Input([3])
        generator = keras.Model(latents, keras.layers.Dense(3)(latents))
        super().__init__(generator, keras.Model(clip, keras.layers.Dense(1)(clip)), ema=ema)
        self.names = loss_names

    @property
    def loss_names(self) -> tuple[str, ...]:
        return self.names


class MemoryTest(tf.test.TestCase):
    def test_by_hand(self):
        # Four numbers a parameter, of four bytes: 4 * 4 * (9 + 4) = 208. Then 5 + 2 * 4 = 13 activations a row.
        for rows, precision, size in ((1, "float32", 4), (7, "float32", 4), (7, "mixed_bfloat16", 2)):
            with self.subTest(rows=rows, precision=precision):
                expected = 208 + 13 * rows * size * dry_run.WORKSPACE
                self.assertAlmostEqual(dry_run.memory(Dense(), rows, precision), expected)

    def test_a_moving_average_is_one_more_copy_of_the_generator(self):
        self.assertAlmostEqual(
            dry_run.memory(Dense(ema=0.5), 1, "float32") - dry_run.memory(Dense(), 1, "float32"), 9 * 4
        )

    def test_the_ranking_loss_is_one_more_branch_of_the_discriminator(self):
        ranking = dry_run.memory(Dense(("d_ranking",)), 5, "float32")
        self.assertAlmostEqual(ranking - dry_run.memory(Dense(), 5, "float32"), 4 * 5 * 4 * dry_run.WORKSPACE, places=4)

    def test_the_second_stage_holds_the_frozen_base_net_too(self):
        model = tiny.model("mdgan", 2)
        with mock.patch.object(model.base_generator, "count_params", return_value=0):
            alone = dry_run.memory(model, 1, "float32")
        self.assertAlmostEqual(
            dry_run.memory(model, 1, "float32") - alone, 4 * model.base_generator.count_params(), places=2
        )


if __name__ == "__main__":
    tf.test.main()
