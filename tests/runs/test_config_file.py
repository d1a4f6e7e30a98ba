"""`config.json`: what is written is read, by later versions too; data are found from any directory."""

import contextlib
import json
import logging
from pathlib import Path

import tensorflow as tf

import tfvideogan
from tests.helpers import tiny
from tfvideogan.config import MODELS, Config, UsageError
from tfvideogan.runs import config_file, run_folder


class ConfigFileTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.file = self.folder / "config.json"

    def write(self, config: Config) -> dict:
        config_file.write(self.folder, config)
        return json.loads(self.file.read_text())

    def refused(self, message: str, text: str) -> None:
        self.file.write_text(text)
        with self.subTest(text[:40]), self.assertRaisesRegex(UsageError, message) as caught:
            config_file.read(self.folder)
        self.assertStartsWith(str(caught.exception), f"--run_dir: {self.file}: ")
        self.assertNotIn("\n", str(caught.exception))

    def test_round_trip(self):
        for model in MODELS:
            with self.subTest(model):
                before = Config.create(model=model, seed=3, ema=0.99, data="/a folder/Größe", batch_size=8)
                self.write(before)
                self.assertEqual(config_file.read(self.folder), before)

    def test_the_file_says_by_whom_it_was_written_in_which_format(self):
        content = self.write(Config.create())
        self.assertEqual(next(iter(content.items())), ("format", [2, 0]))
        self.assertEqual(content["written_by"], f"tfvideogan {tfvideogan.__version__}")

    def test_what_is_no_config(self):
        self.write(Config.create())
        good = self.file.read_text()
        for text in ("", "{}", "[]", "null", "7", good[:-10], '{"model": 1, "data": {}, "train": {}}'):
            self.refused("not a run's config.json", text)
        for mark in ("2", "[2]", '["2", 0]', "[2, -1]", "[true, 0]", "null"):
            self.refused(r"its format must be \[major, minor\]", f'{{"format": {mark}}}')

    def test_a_changed_file_is_checked_as_flags_are(self):
        self.write(Config.create())
        good = self.file.read_text()
        self.refused("--seed must be at least 0", good.replace('"seed": 0', '"seed": -1'))
        self.refused("unknown options: sead", good.replace('"seed"', '"sead"'))
        self.refused("unknown options: plan", good.replace('"model": {', '"plan": {}, "model": {'))
        self.refused("--beta1", good.replace('"beta1": 0.5', '"beta1": NaN'))

    def test_a_file_without_a_format_is_of_the_first(self):
        content = self.write(Config.create(seed=4))
        del content["format"], content["written_by"]
        self.file.write_text(json.dumps(content))
        self.assertEqual(config_file.read(self.folder).train.seed, 4)
        content["train"]["sead"] = 1
        self.refused("unknown options: sead", json.dumps(content))

    def test_unknown_options_of_a_newer_minor_version_are_named_once_and_ignored(self):
        content = self.write(Config.create(seed=4))
        content |= {"format": [2, 1], "plan": {"of": "battle"}}
        content["train"]["warm_up"] = 7
        self.file.write_text(json.dumps(content))
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            for _ in range(2):
                self.assertEqual(config_file.read(self.folder), Config.create(seed=4))
        self.assertLen(logs.output, 1)
        self.assertIn(f"{self.file}: options of a newer tfvideogan are ignored: plan, warm_up", logs.output[0])

    def test_a_newer_major_version_is_refused_by_its_name(self):
        content = self.write(Config.create()) | {"format": [3, 0], "written_by": "tfvideogan 7.1.0"}
        said = (
            rf"written by tfvideogan 7\.1\.0 in format 3\.0; tfvideogan {tfvideogan.__version__} reads formats up to 2"
        )
        self.refused(said, json.dumps(content))

    def test_data_are_recorded_by_absolute_paths(self):
        here = Path(self.create_tempdir().full_path)
        (here / "a,b").mkdir()
        for given, recorded in {
            "set": f"{here}/set", "./set/test/": f"{here}/set/test", "../set": f"{here}/../set",
            "set/train-*": f"{here}/set/train-*", "A@0.7,B@0.3": f"{here}/A@0.7,{here}/B@0.3", "a,b": f"{here}/a,b",
            "synthetic:sky": "synthetic:sky", "synthetic:sky@2,C": f"synthetic:sky@2,{here}/C", "/set": "/set",
            "gs://bucket/set": "gs://bucket/set", "s3://b/c@2,d@1": f"s3://b/c@2,{here}/d@1",
            "~/set": f"{Path.home()}/set",
        }.items():  # fmt: skip
            with self.subTest(given), contextlib.chdir(here):
                self.assertEqual(self.write(Config.create(data=given))["data"]["data"], recorded)

    def test_another_spelling_of_the_same_data_is_no_change(self):
        here = Path(self.create_tempdir().full_path)
        self.write(tiny.config("vgan", data=str(here / "set")))
        with contextlib.chdir(here), self.assertNoLogs("tfvideogan", logging.WARNING):
            run_folder.RunFolder.for_training(self.folder, tiny.config("vgan", data="set"))
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            run_folder.RunFolder.for_training(self.folder, tiny.config("vgan", data=str(here / "other")))
        self.assertIn(f"this run had --data={here}/set, now it has {here}/other", logs.output[0])


if __name__ == "__main__":
    tf.test.main()
