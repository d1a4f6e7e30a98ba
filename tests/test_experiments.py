"""The runner of the papers' experiments: its plan, a first stage that runs share, and that nothing is done twice."""

import json
from pathlib import Path
from unittest import mock

import tensorflow as tf

from tests.helpers.commands import run
from tfvideogan import experiments
from tfvideogan.config import Config
from tfvideogan.experiments import Run
from tfvideogan.files import flag_files

TINY = {"frame_size": 32, "num_frames": 4, "base_width": 2, "batch_size": 2}
SCORED = {"num_clips": 2, "rollout_frames": 9}


class PlanTest(tf.test.TestCase):
    def test_every_run_is_one_that_train_takes_and_folders_differ(self):
        runs = list(experiments.plan("/some/scenes", "/some/skies"))
        self.assertLen({run.name for run in runs}, len(runs))
        self.assertEqual({run.name[0] for run in runs}, {"a", "b", "c", "d"})
        for planned in runs:
            with self.subTest(planned.name):
                lines = flag_files.read(flag_files.find(planned.config))
                model = dict(line[2:].split("=", 1) for line in lines)["model"]
                Config.create(model=model, **planned.options)
                if planned.stage1:
                    (first,) = [other for other in runs if other.name == planned.stage1]
                    self.assertEqual(first.options["data"], planned.options["data"])
                    self.assertLess(runs.index(first), runs.index(planned))

    def test_real_clips_are_taken_where_they_are_named_only(self):
        self.assertEmpty([run for run in experiments.plan() if "real" in run.name])
        (stage1,) = [run for run in experiments.plan(real_skies="/skies") if run.name == "c-stage1-real"]
        self.assertEqual(stage1.options["data"], "/skies")

    def test_steps_are_capped_where_a_run_has_more(self):
        of_config = Run("c", "", "mdgan_small", {"refine_steps": 0, "data": "x"})
        self.assertEqual(experiments._capped(of_config, None), of_config.options)
        self.assertEqual(experiments._capped(of_config, 7), {"refine_steps": 0, "data": "x", "steps": 7})
        self.assertEqual(experiments._capped(Run("a", "", "vgan_small"), 10**6), {"steps": 8000})


class RunnerTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.output, self.calls = Path(self.create_tempdir().full_path), []
        self.enterContext(mock.patch.object(experiments, "_call", self.call))  # A fresh interpreter takes seconds.

    def call(self, command: str, **options) -> str:
        self.calls.append(command)
        done = run(command, *(f"--{name}={value}" for name, value in options.items()))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def perform(self, planned: Run, steps: int = 1) -> tuple[dict | None, list[dict]]:
        return experiments._perform(planned, self.output, steps, "float32")

    def test_a_stage_that_runs_share_is_trained_once_and_scores_are_remembered(self):
        first = Run("c-stage1", "", "mdgan_small", {**TINY, "refine_steps": 0})
        skips = Run("c-all", "", "mdgan_small", {**TINY, "refine_skips": "all"}, stage1="c-stage1", evaluate=SCORED)
        self.assertEqual(self.perform(first), (None, []))
        refined, _ = self.perform(skips)
        self.assertEqual(set(refined["scores"]), {"persistence", "stage_1", "stage_2"})
        weights = "checkpoints/stage1-step00000001/variables.data-00000-of-00001"
        one, other = (self.output / name / weights for name in ("c-stage1", "c-all"))
        self.assertEqual(one.read_bytes(), other.read_bytes())
        self.assertEqual(refined["rollout"]["frames"], 9)
        options = json.loads((self.output / "c-all" / "config.json").read_text())
        self.assertEqual((options["model"]["refine_skips"], options["train"]["refine_steps"]), ("all", 1))
        self.assertEqual(self.calls, ["train", "train", "evaluate"])
        self.assertEqual(self.perform(skips)[0], refined)
        self.assertEqual(self.calls[3:], ["train"])  # It finds that all is done.

    def test_the_discriminator_is_classified_with(self):
        few = {
            "steps": 9,
            "batch_size": 4,
            "train_clips": 16,
            "test_clips": 8,
            "shares": "1",
            "methods": "linear_probe",
        }
        scores, lines = self.perform(Run("d", "", "vgan_small", {**TINY, "data": "synthetic:moves"}, classify=few))
        self.assertIsNone(scores)
        self.assertEqual([(line["method"], line["steps"], line["labels"]) for line in lines], [("linear_probe", 1, 16)])


class CallTest(tf.test.TestCase):
    def test_a_command_that_fails_ends_the_runner_with_its_status(self):
        with self.assertRaises(SystemExit) as ended:
            experiments._call("train", run_dir=self.create_tempdir().full_path, steps=0)
        self.assertEqual(ended.exception.code, 2)

    def test_bad_input_is_told_in_one_line(self):
        for arguments, message in (
            ([], "--output is required"),
            (["--output=/dev/null/x"], "--output cannot be written"),
            (["--output=x", "--only=a,z"], "--only must be letters of a, b, c, d. Received: 'a,z'"),
        ):
            done = run("experiments", *arguments)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    tf.test.main()
