"""Run folders of the first format are read for good: every later version must pass these tests as they are.

`format_1/` was written by commit ecf8092, the last one before formats had numbers, with

    python -m tfvideogan.train --model=vgan --frame_size=16 --steps=4 --ema=0.5 --flip ...
    python -m tfvideogan.train --model=mdgan --frame_size=32 --steps=2 --refine_steps=4 ...

and for both --base_width=1 --num_frames=4 --batch_size=4 --init_stddev=0.1 --learning_rate=0.01 --checkpoint_every=2.
Of the checkpoints only those of step 2 were kept, as if the runs had been killed there. `clips.npz` holds what that
commit then sampled from each stage, and from the end of the whole run, of `inputs`; every second frame, and every third
pixel both ways. `weights_sha256.json` holds the checksums that it gave.

A change that makes these tests fail needs code that reads the old form. Do not make the folder anew.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfvideogan import load_generator
from tfvideogan.runs import loading
from tfvideogan.runs.manifest import Provenance
from tfvideogan.runs.run_folder import RunFolder
from tfvideogan.training import loop

FOLDER = Path(__file__).parent / "format_1"
STAGES = (("vgan", 1), ("mdgan", 1), ("mdgan", 2))


def inputs(model: str) -> np.ndarray:
    """Latents [1, 100], or frames [1, 32, 32, 3], that any language can make anew."""
    shape = {"vgan": (1, 100), "mdgan": (1, 32, 32, 3)}[model]
    return np.sin(np.arange(np.prod(shape), dtype=float)).reshape(shape).astype(np.float32)


class Format1Test(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.clips = np.load(FOLDER / "clips.npz")

    def sample(self, run_dir: Path, name: str, stage: int | None = None) -> np.ndarray:
        return load_generator(run_dir, stage)(inputs(name))["clip"].numpy()[:, ::2, ::3, ::3]

    def test_weights_are_those_that_were_saved(self):
        checksums = json.loads((FOLDER / "weights_sha256.json").read_text())
        self.assertLen(checksums, len(STAGES))
        for name, stage in STAGES:
            with self.subTest(name, stage=stage):
                model = load_generator(FOLDER / name, stage)
                self.assertEqual(loading.weights_sha256(model), checksums[f"{name}/stage{stage}"])

    def test_samples_are_those_that_it_made(self):
        for name, stage in STAGES:
            with self.subTest(name, stage=stage):
                expected = self.clips[f"{name}/stage{stage}"]
                self.assertAllClose(self.sample(FOLDER / name, name, stage), expected, rtol=0, atol=1e-5)

    def test_data_go_on_where_the_batch_size_of_the_run_puts_them(self):
        checkpoint = RunFolder.open(FOLDER / "mdgan").latest()
        self.assertEqual(checkpoint.format, (1, 0))
        self.assertEqual(checkpoint.provenance, Provenance(clips=8, batch_size=4))

    def test_training_goes_on_as_it_would_have_and_saves_in_the_new_format(self):
        """The learning rate is high, and the weights move: half the steps or another optimizer's state would show."""
        for name in ("vgan", "mdgan"):
            with self.subTest(name):
                run_dir = Path(self.create_tempdir().full_path) / name
                shutil.copytree(FOLDER / name, run_dir)
                run = RunFolder.open(run_dir)
                with self.assertLogs("tfvideogan") as logs:
                    self.assertEqual(loop.train(run.config(), run_dir), 0)
                self.assertIn("goes on from step 2 of 4", "\n".join(logs.output))
                self.assertNotIn("WARNING", "\n".join(logs.output))
                newest = run.latest()
                self.assertEqual((newest.step, newest.format, newest.provenance.clips), (4, (2, 0), 16))
                self.assertEqual(json.loads((run_dir / "config.json").read_text())["format"], [2, 0])
                made, expected = self.sample(run_dir, name), self.clips[f"{name}/after_two_more_steps"]
                self.assertAllClose(made, expected, rtol=0, atol=1e-3)
                if name == "mdgan":
                    self.assertEqual(run.latest(stage=1).format, (1, 0))  # which stays, and is still read
                    self.assertAllClose(self.sample(run_dir, name, 1), self.clips["mdgan/stage1"], rtol=0, atol=1e-5)


if __name__ == "__main__":
    tf.test.main()
