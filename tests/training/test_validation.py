"""Scores on held-out clips while a run trains: the same as `evaluate` gives, drawn, and the best step kept."""

import json
import shutil
from pathlib import Path

import tensorflow as tf
from PIL import Image

from tests.helpers import tiny
from tfvideogan.config import Config, UsageError
from tfvideogan.data.sources import open_source
from tfvideogan.inference import scoring
from tfvideogan.runs import loading, run_folder
from tfvideogan.training import loop, validation

OPTIONS = {"log_every": 1, "sample_every": 100, "checkpoint_every": 100, "keep": 1}


class ValidationTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def lines(self) -> list[dict]:
        lines = [json.loads(line) for line in (self.folder / "run" / "log.jsonl").read_text().splitlines()]
        return [line for line in lines if "held_out" in line]

    def test_a_predictors_scores_are_those_of_evaluate_and_the_best_step_is_kept(self):
        config = tiny.config("mdgan", steps=5, refine_steps=2, ema=0.5, eval_every=2, eval_clips=3, keep_best="psnr",
                             learning_rate=0.01, **OPTIONS)  # fmt: skip
        self.assertEqual(loop.train(config, self.folder / "run"), 0)
        lines = self.lines()
        self.assertEqual([(line["stage"], line["step"]) for line in lines], [(1, 2), (1, 4), (1, 5), (2, 2)])
        source = open_source("synthetic:sky:test", 32, 4)
        for stage in (1, 2):
            model = loading.load_generator(self.folder / "run", stage)
            scores = scoring.score_predictions(model, source, 3)["scores"]
            last = next(line for line in reversed(lines) if line["stage"] == stage)
            self.assertAllClose(last["held_out"]["psnr"], scores[f"stage_{stage}"]["psnr_db"], rtol=1e-5)
            self.assertAllClose(last["beside"]["ssim"], scores["persistence"]["ssim"], rtol=1e-5)
            self.assertEqual((last["data"], last["num_clips"]), ("synthetic:sky:test", 3))

            best = max((line for line in lines if line["stage"] == stage), key=lambda line: line["held_out"]["psnr"])
            kept = json.loads((self.folder / "run" / "best" / "best.json").read_text())[str(stage)]
            self.assertEqual((kept["step"], kept["value"]), (best["step"], best["held_out"]["psnr"]))
            model, checkpoint = loading.load_model(self.folder / "run" / "best", stage)
            self.assertEqual(checkpoint.step, best["step"])
            again = scoring.score_predictions(model, source, 3)["scores"][f"stage_{stage}"]["psnr_db"]
            self.assertAllClose(again, kept["value"], rtol=1e-5)
        with Image.open(self.folder / "run" / "curves-stage1.png") as picture:
            self.assertGreater(len(picture.getcolors(1 << 20)), 20)

    def test_a_generators_scores_stand_beside_real_clips(self):
        config = tiny.config("vgan", steps=2, eval_every=1, eval_clips=3, keep_best="motion", **OPTIONS)
        self.assertEqual(loop.train(config, self.folder / "run"), 0)
        model = loading.load_generator(self.folder / "run")
        expected = scoring.score_generation(model, open_source("synthetic:sprites:test", 16, 4), 3, 0)["scores"]
        last = self.lines()[-1]
        self.assertAllClose(last["held_out"]["flicker"], expected["generated"]["flicker"], rtol=1e-4)
        self.assertAllClose(last["beside"]["flicker"], expected["real"]["flicker"], rtol=1e-5)
        self.assertIn("motion", last["held_out"])

    def test_a_resumed_run_has_the_scores_and_the_best_step_of_an_undisturbed_one(self):
        options = OPTIONS | {"checkpoint_every": 2, "keep": 9, "ema": 0.5, "learning_rate": 0.01}
        config = tiny.config("vgan", steps=4, eval_every=1, eval_clips=3, keep_best="flicker", **options)
        self.assertEqual(loop.train(config, self.folder / "run"), 0)
        scores, best = [line["held_out"] for line in self.lines()], self.folder / "run" / "best" / "best.json"
        self.assertLen(scores, 4)
        kept = best.read_bytes()
        for checkpoint in run_folder.RunFolder(self.folder / "run").list():
            if checkpoint.step > 2:  # as if killed before the last one was written
                shutil.rmtree(checkpoint.path)
        self.assertEqual(loop.train(config, self.folder / "run"), 0)
        self.assertEqual([line["held_out"] for line in self.lines()], scores)
        self.assertEqual(best.read_bytes(), kept)

    def test_the_best_stays_when_worse_ones_come_and_another_metric_begins_anew(self):
        model, config = tiny.model("mdgan"), tiny.config("mdgan", eval_every=1, keep_best="motion")
        run = run_folder.RunFolder(self.folder)
        best = validation.Best(run, config)
        kept = []
        for step, value in enumerate((0.5, 1.9, 2.1, 1.0, float("nan"), 0.99), 1):
            best.offer(1, step, {"motion": value}, model)
            kept.append(json.loads((self.folder / "best" / "best.json").read_text())["1"]["step"])
        self.assertEqual(kept, [1, 2, 2, 4, 4, 4])  # log 2, log 1.9, 0
        other = validation.Best(run, tiny.config("mdgan", eval_every=1, keep_best="mse"))
        other.offer(1, 3, {"mse": 7.0}, model)
        other.offer(1, 5, {"mse": 8.0}, model)
        other.offer(1, 6, {"mse": 1.0, "clips_not_finite": 1}, model)  # The mean is over the clips that are numbers.
        self.assertEqual([c.step for c in run_folder.RunFolder(self.folder / "best").list()], [3])

    def test_what_is_not_measured_is_refused(self):
        for options, message in (
            ({"model": "vgan", "keep_best": "flicker"}, "--keep_best has no meaning without --eval_every"),
            (
                {"model": "vgan", "keep_best": "psnr", "eval_every": 5},
                "one of motion, flicker, mask_iou for",
            ),
            ({"model": "mdgan", "keep_best": "flicker", "eval_every": 5}, "one of psnr, ssim, mse, motion for"),
            ({"model": "mdgan", "keep_best": "beauty", "eval_every": 5}, "--keep_best must be one of none, psnr"),
        ):
            with self.assertRaisesRegex(UsageError, message):
                Config.create(**options)
        two = tiny.config("mdgan", data="synthetic:sky@1,synthetic:skies@1", eval_every=1)
        with self.assertRaisesRegex(UsageError, "--eval_every needs one source"):
            loop.train(two, self.folder / "two")
        self.assertFalse((self.folder / "two").exists())

    def test_clips_of_the_training_are_told(self):
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            config = tiny.config("mdgan", data="synthetic:sky:test", eval_every=1)
            validation.Validation(config, tiny.model("mdgan"), run_folder.RunFolder(self.folder))
        self.assertIn("synthetic:sky:test is what the run trains on", logs.output[0])


if __name__ == "__main__":
    tf.test.main()
