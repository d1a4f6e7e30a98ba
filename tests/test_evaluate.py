"""Which clips a run is scored on, and what its line of JSON says where there is no number."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.made_files import numbered, write_dataset
from tfvideogan import evaluate
from tfvideogan.config import UsageError
from tfvideogan.data import sources
from tfvideogan.runs import journal


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
            (str(bare), str(bare)),
            ("/no/such/folder", "/no/such/folder"),
        ):
            with self.subTest(data):
                self.assertEqual(sources.held_out(data), expected)
        config = tiny.config("vgan", data="synthetic:sky,synthetic:sprites")
        with self.assertRaisesRegex(UsageError, "several sources: name one to score it on with --data"):
            evaluate.open_data(config, None, 8)

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
                source, described = evaluate.open_data(config, data, num_clips=2)
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
                self.assertEqual(evaluate.open_data(config, data, num_clips=2)[1]["split"], split, (trained_on, data))

    def test_clips_of_the_training_are_scored_with_a_warning(self):
        config = tiny.config("vgan", data=str(self.dataset("train")))
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            evaluate.open_data(config, None, num_clips=2)
        self.assertIn("no test split", logs.output[0])

    def test_an_error_says_whose_data_it_is_about(self):
        config = tiny.config("vgan", data="/no/such/folder")
        with self.assertRaisesRegex(UsageError, r"^--data \(not given: the run's own clips\).*/no/such/folder"):
            evaluate.open_data(config, None, num_clips=2)
        with self.assertRaisesRegex(UsageError, "^--data[^(]*/no/such/other"):
            evaluate.open_data(config, "/no/such/other", num_clips=2)


class LineTest(tf.test.TestCase):
    def test_numbers_that_json_does_not_have_are_null(self):
        line = {"a": np.nan, "b": {"c": np.inf, "d": -np.inf, "e": 0.5}, "f": None, "g": "nan", "h": 3}
        text = json.dumps(journal.without_nan(line), allow_nan=False)
        self.assertEqual(
            json.loads(text), {"a": None, "b": {"c": None, "d": None, "e": 0.5}, "f": None, "g": "nan", "h": 3}
        )


if __name__ == "__main__":
    tf.test.main()
