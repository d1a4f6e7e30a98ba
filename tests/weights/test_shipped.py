"""The weights that come with the package: all there, as they were made, small, and ready to sample."""

import re
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.helpers.commands import run
from tfvideogan import load_generator
from tfvideogan.config import UsageError
from tfvideogan.models import vgan
from tfvideogan.weights import shipped

LIMIT = 20_000_000  # bytes, of all together


class ShippedTest(tf.test.TestCase):
    def test_each_samples_clips_that_move(self):
        self.assertNotEmpty(shipped.names())
        for name in shipped.names():
            with self.subTest(name=name):
                model = load_generator(name)
                inputs = vgan.latents(0, 2)
                if model.predicts:
                    inputs = tf.fill([2, model.frame_size, model.frame_size, 3], 0.2)
                    inputs = (inputs, np.float32([[0.01, 0]] * 2)) if model.takes_wind else inputs
                clip = model(inputs)["clip"].numpy()
                self.assertGreater(np.abs(np.diff(clip, axis=1)).mean(), 1e-3)
                self.assertEqual(clip.shape, (2, model.num_frames, model.frame_size, model.frame_size, 3))
                self.assertTrue(np.isfinite(clip).all())

    def test_a_card_says_what_each_is(self):
        for name in shipped.names():
            card = shipped.card(name)
            self.assertEqual(card["name"], name)
            self.assertRegex(card["trained_on"], "^synthetic:")
            self.assertTrue(card["limits"] and card["scores"] and card["hours"], card)
            text = (shipped.FOLDER / name / "card.md").read_text()
            self.assertIn(card["command"], text)

    def test_all_together_are_small(self):
        sizes = [file.stat().st_size for file in shipped.FOLDER.rglob("*") if file.is_file() and file.suffix != ".py"]
        self.assertLess(sum(sizes), LIMIT)

    def test_help_lists_them_and_wrong_names_are_refused(self):
        listed = run("generate", "--weights=help")
        self.assertEqual((listed.returncode, listed.stdout), (0, shipped.listing() + "\n"))
        for arguments, message in (
            (["--weights=nothing"], r"--weights must be one of: .*Received: 'nothing'"),
            (
                ["--weights=nothing", "--run_dir=run"],
                "--weights stands in place of --run_dir. .* run, nothing",
            ),
            ([], r"--run_dir or --weights .*is required"),
        ):
            refused = run("generate", *arguments)
            self.assertEqual(refused.returncode, 2)
            self.assertRegex(refused.stderr, f"^generate: error: {message}.*\n$")

    def test_damage_is_told(self):
        name = shipped.names()[0]
        folder = Path(self.create_tempdir().full_path)
        shutil.copytree(shipped.FOLDER / name, folder / name)
        (weights,) = folder.rglob("weights.npz")
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        with mock.patch.object(shipped, "FOLDER", folder):
            shipped.path_of(name)
            weights.write_bytes(content)
            with self.assertRaisesRegex(UsageError, re.escape(f"--weights={name} is damaged: checkpoints/")):
                load_generator(name)
            (folder / name / "config.json").unlink()
            with self.assertRaisesRegex(UsageError, "install the package again"):
                shipped.path_of(name)


if __name__ == "__main__":
    tf.test.main()
