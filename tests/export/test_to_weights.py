"""`export.to_weights`: a run packed into a small run folder that gives the same clips."""

import json
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan import load_exported, load_generator
from tfvideogan.config import UsageError
from tfvideogan.runs import packed, run_folder, state
from tfvideogan.weights import shipped


class ToWeightsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def test_both_stages_of_a_run_with_an_average(self):
        config = tiny.config("mdgan", ema=0.9)
        made = run_folder.RunFolder.for_training(self.folder / "run", config)
        made.write_config(config)
        model = tiny.model("mdgan", 2)
        variables = state.for_sampling(model)
        variables["ema_generator"] = variables.pop("generator")
        made.save(2, 7, variables, keep=1)
        (made.path / "log.jsonl").write_text('{"time": 0.0}\n{"time": 360.0}\n{"time": 5000.0}\n{"time": 5360.0}\n')
        arguments = ["--run_dir=run", "--name=small-one", "--description=what it does", "--output=weights"]
        result = run("to_weights", *arguments, "--limits=none", "--num_clips=2", package="export", folder=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        frames = tiny.clips("mdgan", 2)[:, 0]
        with mock.patch.object(shipped, "FOLDER", self.folder / "weights"):
            self.assertEqual(shipped.listing(), "small-one  what it does")
            card = shipped.card("small-one")
            for stage, output in ((None, "clip"), (1, "base")):  # Stage 1 is the Base-Net that stage 2 stands on.
                clip = load_generator("small-one", stage)(frames)["clip"]
                self.assertAllClose(clip, model(frames)[output], atol=2e-3)
        self.assertEqual((card["hours"], card["limits"], card["scores"][0]["step"]), (0.2, ["none"], 7))
        self.assertIn("--ema=0.9", card["command"])
        packed_folder = self.folder / "weights" / "small-one"
        self.assertIn("| stage_2 |", (packed_folder / "card.md").read_text())
        self.assertLen(load_exported(packed_folder).predict(np.zeros([9, 9, 3], np.uint8)), 1)

        (made.path / "log.jsonl").unlink()  # Weights that were imported, or trained elsewhere, have none.
        arguments[1], machine = "--name=other", "--machine=on a toaster"
        result = run("to_weights", *arguments, machine, "--num_clips=2", package="export", folder=self.folder)
        self.assertEqual(result.returncode, 0, result.stderr)
        told = (self.folder / "weights" / "other" / "card.md").read_text()
        self.assertIn("It was trained on a toaster, by the code", told)

        again = run("to_weights", *arguments, package="export", folder=self.folder)
        self.assertEqual(again.returncode, 2)
        self.assertIn("--name must be new", again.stderr)

    def test_kernels_are_halved_and_statistics_are_exact(self):
        model = tiny.model("vgan")
        for variable in model.generator.variables:
            variable.assign(tf.random.stateless_uniform(variable.shape, [1, 2], 1e-3, 2.0))
        path = self.folder / packed.NAME
        path.write_bytes(packed.content(state.for_sampling(model)))
        arrays = packed.read(path, most=2**20)
        for name, variable in state.for_sampling(model)["generator"].items():
            error = np.abs(arrays[f"generator/{name}"].astype(np.float64) / variable.numpy() - 1).max()
            self.assertLess(error, 2.0**-11 + 1e-7 if variable.shape.rank > 1 else 1e-12, name)

    def test_damage_and_other_networks_are_refused(self):
        tiny.run_folder(self.folder / "run", "vgan")
        made = run_folder.RunFolder(self.folder / "run")
        checkpoint = made.latest()
        patched = bytearray(packed.content(state.for_sampling(tiny.model("vgan"))))
        patched[patched.rindex(b"PK\x01\x02") + 8] |= 1 << 5  # a flag of compressed patches
        for content, message in (
            (bytes(patched), "cannot be read"),
            (b"PK\x03\x04 and no more", "another model|cannot be read"),
            (packed.content(state.for_sampling(tiny.model("mdgan"))), "it lacks"),
        ):
            (checkpoint.path / packed.NAME).write_bytes(content)
            manifest = json.loads((checkpoint.path / "manifest.json").read_text())
            self.assertNotIn(packed.NAME, manifest["files"])
            with self.assertRaisesRegex(UsageError, message):
                load_generator(made.path)


if __name__ == "__main__":
    tf.test.main()
