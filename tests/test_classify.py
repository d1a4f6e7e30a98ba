"""`tfvideogan.classify` as a user runs it, and that what it says of a discriminator is so."""

import json
import re
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan.data.labelled import LabelledClips, LabelledData
from tfvideogan.models import vgan
from tfvideogan.runs import loading, run_folder, state
from tfvideogan.training import classification


class ClassifyTest(tf.test.TestCase):
    def trained(self) -> Path:
        """A run folder as the training of a Video-GAN leaves it."""
        folder, model = Path(self.create_tempdir().full_path) / "run", tiny.model("vgan")
        model.compile()
        made = run_folder.RunFolder.for_training(folder, tiny.config("vgan"))
        made.write_config(tiny.config("vgan"))
        made.save(1, 4, state.for_training(model), keep=1)
        return folder

    def refuse(self, expected: str, *arguments: str) -> None:
        done = run("classify", *arguments)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO:")]
        self.assertEqual((done.returncode, done.stdout, len(lines)), (2, "", 1), done.stderr)
        self.assertIn(expected, lines[0])

    def test_a_line_for_each_classifier_a_picture_and_what_is_refused(self):
        folder = self.trained()
        run_dir = f"--run_dir={folder}"
        few = ["--steps=1", "--batch_size=4", "--train_clips=32", "--test_clips=8"]
        done = run("classify", run_dir, *few, "--shares=0.5", "--seeds=3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEmpty([x for x in re.split(r"[\r\n]+", done.stderr) if x.strip() and "classifiers:" not in x])
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        methods = ["fine_tuning", "linear_probe", "random_init"]
        self.assertEqual([line["method"] for line in lines], methods)
        self.assertEqual({line["labels"] for line in lines}, {16})
        self.assertEqual({(line["seed"], line["chance"], line["test_clips"]) for line in lines}, {(3, 0.125, 8)})
        self.assertEqual((folder / "classification" / "results.jsonl").read_text(), done.stdout)
        self.assertTrue((folder / "classification" / "curve.png").is_file())
        self.refuse("--shares must be above 0", run_dir, "--shares=0.5,0")
        self.refuse("--methods must be of fine_tuning, linear_probe, random_init", run_dir, "--methods=svm")
        self.refuse("--seeds must be numbers", run_dir, "--seeds=one")
        self.refuse("--test_list is required", run_dir, "--train_list=a.txt")
        self.refuse("--stride is for a folder of videos", run_dir, "--stride=2")
        self.refuse("no such folder", run_dir, "--data=/no/such")
        mdgan = tiny.run_folder(self.create_tempdir().full_path + "/run", "mdgan")
        self.refuse("--run_dir must hold a Video-GAN", f"--run_dir={mdgan}")
        sampling_only = tiny.run_folder(self.create_tempdir().full_path + "/run", "vgan")
        self.refuse("--run_dir holds no discriminator", f"--run_dir={sampling_only}")

    def test_the_discriminator_of_a_run_is_the_one_that_was_saved(self):
        loaded, checkpoint = loading.load_discriminator(self.trained())
        self.assertEqual(checkpoint.step, 4)
        for weight, expected in zip(loaded.get_weights(), tiny.model("vgan").discriminator.get_weights(), strict=True):
            self.assertAllEqual(weight, expected)

    def test_each_method_learns_what_tells_the_classes_apart(self):
        """Dark clips against bright ones: both find that from one label a class."""
        clips = np.repeat(np.uint8([30, 220] * 8)[:, None, None, None, None], 4, axis=1)
        clips = list(np.broadcast_to(clips, [16, 4, 16, 16, 3]))
        parts = (LabelledClips(clips, np.arange(start, start + 8), np.arange(8) % 2) for start in (0, 8))
        data = LabelledData(("dark", "bright"), *parts)
        recipe = classification.Recipe(steps=40, batch_size=4, learning_rate=1e-2, init_stddev=0.1)
        for method in ("fine_tuning", "linear_probe"):
            made = [
                classification.accuracy(method, lambda: vgan.discriminator(2, 16, 4, 0.1), data, 0.25, 1, recipe)
                for _ in range(2 if method == "linear_probe" else 1)
            ]
            with self.subTest(method):
                self.assertEqual(made[-1], {"labels": 2, "train_accuracy": 1.0, "test_accuracy": 1.0})
                self.assertEqual(made[0], made[-1])


if __name__ == "__main__":
    tf.test.main()
