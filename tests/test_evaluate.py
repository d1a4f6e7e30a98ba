"""Which clips a run is scored on, and what its line of JSON says where there is no number."""

import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import tiny
from tests.helpers.commands import run
from tests.helpers.made_files import numbered, write_dataset, write_pictures
from tfvideogan.config import UsageError
from tfvideogan.data import sources
from tfvideogan.inference import real_clips
from tfvideogan.runs import journal, run_folder, state


class DataTest(tf.test.TestCase):
    def dataset(self, *splits: str) -> Path:
        folder = Path(self.create_tempdir().full_path)
        write_dataset(folder, {split: [[numbered(range(4))] * 3] for split in splits})
        return folder

    def test_held_out_data_are_the_test_split_where_there_is_one(self):
        folder, bare = self.dataset("train", "test"), self.dataset("train")
        for data, expected in (
            ("synthetic:sky", "synthetic:sky:test"),
            ("synthetic:sky:train", "synthetic:sky:test"),
            ("synthetic:sky:test", "synthetic:sky:test"),
            (str(folder), f"{folder}/test"),
            (f"{folder}/", f"{folder}/test"),
            (f"{folder}@0.5", f"{folder}/test"),
            (f"{folder}/train", f"{folder}/test"),
            (f"{folder}/test", f"{folder}/test"),
            (str(bare), str(bare)),
            (f"{bare}/train", f"{bare}/train"),
            ("/no/such/folder", "/no/such/folder"),
        ):
            with self.subTest(data):
                self.assertEqual(sources.held_out(data), expected)
        config = tiny.config("vgan", data="synthetic:sky,synthetic:sprites")
        with self.assertRaisesRegex(UsageError, "several sources: name one to score it on with --data"):
            real_clips.open_for(config, None, 8)

    def test_data_are_described_by_where_they_come_from(self):
        folder = self.dataset("train", "test")
        config = tiny.config("vgan", data=str(folder), seed=5)
        for data, split, name in (
            (None, "test", f"{folder}/test"),
            (str(folder), "train", str(folder)),
            (f"{folder}/test", "test", f"{folder}/test"),
            ("synthetic:sprites", "other data", "synthetic:sprites"),
        ):
            with self.subTest(data):
                source, described = real_clips.open_for(config, data, num_clips=2)
                made = name.startswith("synthetic:")
                self.assertLen(source, 2000 if made else 3)
                resize = "squash, antialiased" if made else "as prepared"
                self.assertEqual(described, {
                    "data": name, "split": split, "data_seed": 5, "frame_size": 16, "num_frames": 4, "resize": resize,
                })  # fmt: skip

    def test_the_split_of_built_in_clips_is_told_whether_or_not_it_is_named(self):
        for trained_on in ("synthetic:sky", "synthetic:sky:train"):
            config = tiny.config("vgan", data=trained_on)
            for data, split in (("synthetic:sky", "train"), ("synthetic:sky:train", "train"), (None, "test"),
                                ("synthetic:sky:test", "test"), ("synthetic:sprites:train", "other data")):  # fmt: skip
                self.assertEqual(real_clips.open_for(config, data, num_clips=2)[1]["split"], split, (trained_on, data))

    def test_clips_of_the_training_are_scored_with_a_warning(self):
        config = tiny.config("vgan", data=str(self.dataset("train")))
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            real_clips.open_for(config, None, num_clips=2)
        self.assertIn("no test split", logs.output[0])

    def test_the_data_of_the_training_are_told_also_where_they_are_named(self):
        data = str(self.dataset("train", "test"))
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            real_clips.open_for(tiny.config("vgan", data=data), data, num_clips=2)
        self.assertIn("is what the run was trained on: scored on clips of the training", logs.output[0])

    def test_a_split_of_training_and_test_is_told_by_whatever_name(self):
        folder, link = self.dataset("train", "test"), Path(self.create_tempdir().full_path) / "link"
        link.symlink_to(folder)
        pictures = write_pictures(Path(self.create_tempdir().full_path) / "clips" / "a", numbered(range(8)))
        shard = f"{folder}/train-00000-of-00001.tfrecord"
        for trained_on, data in (
            ("synthetic:sky:test", None),
            ("synthetic:sky:test", "synthetic:sky:test"),
            (f"{folder}/test", None),
            (f"{folder}/test", f"{folder}/test"),
            (f"{folder}/train", str(folder)),
            (str(folder), f"{folder}/train"),
            (str(folder), shard),
            (shard, f"{folder}/"),
            (f"{folder}/train-*.tfrecord", str(folder)),
            (str(folder), str(link)),
            (f"{folder}@0.5,synthetic:sky@0.5", str(folder)),
            (f"{folder}@0.5,synthetic:sky@0.5", "synthetic:sky:train"),
            (str(pictures.parent), str(pictures)),
            (str(pictures), str(pictures.parent)),
        ):
            with self.subTest(trained_on=trained_on, data=data), self.assertLogs("tfvideogan", "WARNING") as logs:
                _, described = real_clips.open_for(tiny.config("vgan", data=trained_on), data, num_clips=2)
                self.assertIn("is what the run was trained on: scored on clips of the training", logs.output[0])
                self.assertEqual(described["split"], "train")
        for trained_on, data, split in (
            (str(folder), f"{folder}/test", "test"),
            (f"{folder}/train", f"{folder}/test", "test"),
            (f"{folder}/train", None, "test"),
            (shard, f"{folder}/test", "test"),
            (f"{folder}/test", str(folder), "other data"),
            ("synthetic:sky", "synthetic:skies:train", "other data"),
            (str(pictures), str(folder), "other data"),
        ):
            with self.subTest(trained_on=trained_on, data=data), self.assertNoLogs("tfvideogan", "WARNING"):
                _, described = real_clips.open_for(tiny.config("vgan", data=trained_on), data, num_clips=2)
                self.assertEqual(described["split"], split)

    def test_what_another_config_names_is_not_opened(self):
        """A pipe in place of a description would be waited for, if it was."""
        folder = Path(self.create_tempdir().full_path)
        os.mkfifo(folder / "dataset.json")
        _, described = real_clips.open_for(tiny.config("vgan", data=str(folder)), "synthetic:sky", num_clips=2)
        self.assertEqual(described["split"], "other data")

    def test_an_error_says_whose_data_it_is_about(self):
        config = tiny.config("vgan", data="/no/such/folder")
        with self.assertRaisesRegex(UsageError, r"^--data \(not given: the run's own clips\).*/no/such/folder"):
            real_clips.open_for(config, None, num_clips=2)
        with self.assertRaisesRegex(UsageError, "^--data[^(]*/no/such/other"):
            real_clips.open_for(config, "/no/such/other", num_clips=2)


class CommandTest(tf.test.TestCase):
    """The command as a user calls it, on a predictor that ships and on folders."""

    def refuse(self, expected: str, *arguments: str) -> None:
        with self.subTest(expected):
            result = run("evaluate", *arguments)
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertLen(result.stderr.splitlines(), 1, result.stderr)
            self.assertIn(expected, result.stderr)
            self.assertEqual(result.stdout, "")

    def test_metrics_are_chosen_and_drawn_over_the_frames(self):
        folder = Path(self.create_tempdir().full_path)
        run_dir = tiny.run_folder(folder / "run", "vgan_conditional")
        line = self.line(f"--run_dir={run_dir}", "--num_clips=2", "--metrics=psnr,flow,flicker",
                         f"--curves={folder / 'curves.png'}")  # fmt: skip
        self.assertEqual(set(line["scores"]), {"persistence", "stage_1"})
        for scores in line["scores"].values():
            self.assertEqual(set(scores) - {"psnr_capped_frames"}, {"psnr_db", "flow_difference_px", "flicker"})
        self.assertIn("Farneback", line["protocol"]["flow"])
        with Image.open(folder / "curves.png") as picture:
            self.assertGreater(len(picture.getcolors(1 << 20)), 20)

    def test_two_folders_without_a_run(self):
        folder = Path(self.create_tempdir().full_path)
        for name, order in (("a", range(12)), ("b", [0] * 6 + [1] * 6)):
            write_pictures(folder / name, numbered([*order, *order]))
        folders = [f"--generated={folder / 'a'}", f"--real={folder / 'b'}"]
        line = self.line(*folders, "--frame_size=16", "--metrics=motion")
        self.assertEqual((line["num_clips"], line["num_frames"], line["frame_size"]), (1, 16, 16))
        # Of 15 steps of `a` one goes back by eleven greys, the others forth by one; `b` has three steps by one.
        self.assertAllClose(line["scores"]["generated"]["motion_ratio"], (14 + 11) / 2, rtol=1e-5)
        self.refuse("--frame_size is required", *folders)
        bright = numbered([*range(12), *range(12)]).astype(np.float32) / 255
        np.save(folder / "a.npy", bright)
        of_arrays = [f"--generated={folder / 'a.npy'}", f"--real={folder / 'b'}", "--frame_size=16", "--metrics=motion"]
        self.assertAllClose(self.line(*of_arrays, "--array_range=0:1")["scores"], line["scores"], rtol=1e-3)

    def test_flags_that_need_or_exclude_each_other(self):
        weights = "--weights=mdgan-skies-64"
        self.refuse("--metrics=fvd2048_16f needs --i3d", weights, "--metrics=fvd2048_16f")
        self.refuse("--selfcheck needs --i3d", "--selfcheck")
        self.refuse("10 frames or more. Received: fvd2048_4f", weights, "--metrics=fvd2048_4f")
        self.refuse("--i3d: /no/such.npz: no such file", weights, "--metrics=fvd8_16f", "--i3d=/no/such.npz")
        self.refuse("--i3d is for FVD", weights, "--i3d=/no/such.npz")
        self.refuse("--generated and --real go together", "--generated=a", "--frame_size=8")
        self.refuse("exclude each other", "--generated=a", "--real=b", weights)
        for flag in ("metrics=psnr", "num_clips=2", "feature_cache=", "array_layout=TCHW", "array_range=0:1"):
            self.refuse(f"takes no --{flag.partition('=')[0]}", "--selfcheck", "--i3d=x", f"--{flag}")
        self.refuse("--seed is for --run_dir", "--generated=a", "--real=b", "--frame_size=8", "--seed=0")
        self.refuse("--trust is for --run_dir", "--generated=a", "--real=b", "--frame_size=8", "--trust")
        self.refuse("--data is for --run_dir", "--selfcheck", "--i3d=x", "--data=synthetic:sky")
        self.refuse("--frame_size is for --generated", weights, "--frame_size=8")
        self.refuse("--feature_cache keeps I3D's features", weights, "--metrics=psnr", "--feature_cache=a")
        self.refuse("--num_clips is of other metrics: fvd8_16f says how many", weights, "--metrics=fvd8_16f", "--i3d=x",
                    "--num_clips=8")  # fmt: skip
        self.refuse("takes no --batch_statistics", weights, "--rollout_frames=40", "--batch_statistics")
        self.refuse("this run's model has no mask. Received: 'mask'", weights, "--metrics=psnr,mask")
        self.refuse("--curves must end in .png", weights, "--curves=a.gif")
        self.refuse("--metrics of predictors are mse, psnr", weights, "--metrics=moving")

    def test_clips_that_are_no_numbers_are_refused_and_not_left_out(self):
        """The weights are finite, and what they make is not: one weight is so large that products overflow."""
        run_dir = Path(self.create_tempdir().full_path) / "run"
        config = tiny.config("vgan_one_stream")
        folder = run_folder.RunFolder.for_training(run_dir, config)
        folder.write_config(config)
        model = tiny.shaken("vgan_one_stream")
        model.generator.get_layer("f_head").bias.assign([np.nan, 0, 0])
        folder.save(1, 4, state.for_sampling(model), keep=1)
        self.refuse("holds weights that are no finite numbers: generator/f_head/bias", f"--run_dir={run_dir}")
        model.generator.get_layer("f_head").bias.assign([0, 0, 0])
        kernel = model.generator.get_layer("f_conv1").kernel
        kernel.assign(tf.fill(kernel.shape, 3e38))
        folder.save(1, 5, state.for_sampling(model), keep=1)
        self.refuse("of 2 clips of generated hold values that are no finite numbers",
                    f"--run_dir={run_dir}", "--num_clips=2", "--data=synthetic:sprites:test")  # fmt: skip

    def line(self, *arguments: str) -> dict:
        result = run("evaluate", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertLen(result.stdout.splitlines(), 1)
        return json.loads(result.stdout)


class LineTest(tf.test.TestCase):
    def test_numbers_that_json_does_not_have_are_null(self):
        line = {"a": np.nan, "b": {"c": np.inf, "d": -np.inf, "e": 0.5}, "f": None, "g": "nan", "h": 3}
        text = json.dumps(journal.without_nan(line), allow_nan=False)
        self.assertEqual(
            json.loads(text), {"a": None, "b": {"c": None, "d": None, "e": 0.5}, "f": None, "g": "nan", "h": 3}
        )


if __name__ == "__main__":
    tf.test.main()
