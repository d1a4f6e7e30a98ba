"""A manifest that lacks something, or names what it should not, is damage; one of a newer format is refused."""

import json
import math
from pathlib import Path

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import DamagedError, UsageError
from tfvideogan.files import checksums
from tfvideogan.runs import manifest
from tfvideogan.runs.run_folder import RunFolder


class ManifestTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.run = RunFolder(tiny.run_folder(Path(self.create_tempdir().full_path) / "run", "vgan"))
        self.file = self.run.latest().path / "manifest.json"
        self.content = {k: v for k, v in json.loads(self.file.read_text()).items() if k != "checksum"}

    def passed_over(self, reason: str, content: dict) -> None:
        """The checkpoint, which is the only one, is told to be damaged in one line."""
        self.file.write_text(manifest.sealed(content))
        with (
            self.subTest(reason),
            self.assertLogs("tfvideogan", "WARNING") as logs,
            self.assertRaisesRegex(DamagedError, "all 1 checkpoints"),
        ):
            RunFolder(self.run.path).latest()
        self.assertLen(logs.output, 1)
        self.assertIn(f"{self.file.parent} is passed over: {reason}", logs.output[0])
        self.assertNotIn("\n", logs.output[0])

    def test_it_says_by_whom_it_was_written_in_which_format(self):
        self.assertEqual(next(iter(self.content.items())), ("format", [2, 0]))
        self.assertStartsWith(self.content["written_by"], "tfvideogan ")

    def test_a_field_that_is_missing_or_no_count(self):
        for name in ("stage", "step", "clips", "batch_size", "restores", "replicas", "hosts"):
            for value in (None, "1", 1.0, True, -1):
                self.passed_over(f"manifest.json must tell {name!r}, a count", self.content | {name: value})
            self.passed_over(f"manifest.json must tell {name!r}", {k: v for k, v in self.content.items() if k != name})

    def test_no_files(self):
        for files in ({}, [], None, "variables.index"):
            self.passed_over("manifest.json names no files", self.content | {"files": files})
        self.passed_over("manifest.json names no files", {k: v for k, v in self.content.items() if k != "files"})

    def test_files_that_are_none_of_the_checkpoint(self):
        digest = checksums.sha256(self.run.path / "config.json")
        for name in ("../../config.json", str(self.run.path / "config.json"), "..", ".", "", "a/b", "~", "a\n"):
            self.passed_over(
                f"manifest.json names {name!r}, which is no file", self.content | {"files": {name: digest}}
            )
        for digest in (None, 7, ["a"]):
            self.passed_over("variables.index does not", self.content | {"files": {"variables.index": digest}})

    def test_a_checkpoint_under_another_name(self):
        self.passed_over("manifest.json is of stage 1, step 9", self.content | {"step": 9})
        self.passed_over("manifest.json is of stage 2, step 4", self.content | {"stage": 2})

    def test_a_format_that_is_none(self):
        for mark in (2, [2], [2, 0, 0], ["2", 0], [2, math.inf]):
            self.passed_over("its format must be [major, minor]", self.content | {"format": mark})

    def test_a_newer_minor_format_is_read(self):
        self.file.write_text(manifest.sealed(self.content | {"format": [2, 7], "weather": "fine"}))
        self.assertEqual(self.run.latest().format, (2, 7))

    def test_a_newer_major_format_is_refused_and_not_passed_over(self):
        self.file.write_text(manifest.sealed({"format": [3, 1], "written_by": "tfvideogan 7.1.0"}))
        with self.assertNoLogs("tfvideogan"), self.assertRaises(UsageError) as caught:
            self.run.latest()
        said = str(caught.exception)
        self.assertStartsWith(said, f"--run_dir: {self.file}: written by tfvideogan 7.1.0 in format 3.1; tfvideogan ")
        self.assertNotIn("\n", said)


if __name__ == "__main__":
    tf.test.main()
