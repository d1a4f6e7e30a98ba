"""A run folder of others neither fills the memory nor opens what its options name, unless it is trusted."""

import json
import os
import shutil
import time
from unittest import mock

import tensorflow as tf

from tests.data.case import FolderTest
from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.models import memory
from tfvideogan.runs import config_file, home, loading, run_folder


class HomeTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = tiny.run_folder(self.root / "run", "mdgan")
        self.run = run_folder.RunFolder.open(self.path)

    def change(self, section: str, **options) -> None:
        file = self.path / config_file.NAME
        content = json.loads(file.read_text())
        content[section] |= options
        file.write_text(json.dumps(content))

    def test_a_folder_that_moves_stays_ones_own_and_a_copy_is_not(self):
        self.change("data", data="/a/stranger's/choice")
        self.assertEqual(self.run.own_data("--data"), "/a/stranger's/choice")
        moved = run_folder.RunFolder(self.path.rename(self.root / "moved").parent / "moved")
        self.assertEqual(moved.own_data("--data"), "/a/stranger's/choice")
        copy = run_folder.RunFolder(shutil.copytree(moved.path, self.root / "copy"))
        with self.assertRaisesRegex(UsageError, "--clips must be given, or --trust: .*copy was made elsewhere"):
            copy.own_data("--clips")
        self.assertEqual(copy.own_data("--data", trust=True), "/a/stranger's/choice")
        copy.write_config(tiny.config("mdgan", data="/one's/own"))  # as a training that goes on from it does
        self.assertEqual(copy.own_data("--data"), "/one's/own")

    def test_built_in_clips_are_anybodys(self):
        (self.path / home.NAME).unlink()
        self.change("data", data="synthetic:sky@0.5,synthetic:skies")
        self.assertEqual(self.run.own_data("--data"), "synthetic:sky@0.5,synthetic:skies")
        self.change("data", data="synthetic:sky,/etc")
        with self.assertRaises(UsageError):
            self.run.own_data("--data")

    def test_marks_that_are_no_files_are_none(self):
        for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir):
            (self.path / home.NAME).unlink(missing_ok=True)
            make(self.path / home.NAME)
            self.assertFalse(home.is_home(self.run.path))

    def test_evaluate_and_export_do_not_open_a_strangers_data(self):
        opened = self.root / "opened"
        os.mkfifo(opened)  # Whoever opened it would wait for ever.
        self.change("data", data=str(opened))
        (self.path / home.NAME).unlink()
        done = run("evaluate", f"--run_dir={self.path}")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"^evaluate: error: --data must be given, or --trust: [^\n]*\n$")
        exported = f"--output={self.root / 'exported'}"
        for command, flag, more in (
            ("all", "--calibration", [exported]),
            ("to_tflite", "--calibration", [f"--output={self.root / 'a.tflite'}", "--precision=int8"]),
            ("check_parity", "--clips", [f"--artefact={self.path / 'config.json'}"]),
        ):
            done = run(command, f"--run_dir={self.path}", *more, package="export")
            with self.subTest(command):
                self.assertEqual(done.returncode, 2)
                self.assertIn(f"error: {flag} must be given, or --trust: ", done.stderr)
        self.assertCountEqual([path.name for path in self.root.iterdir()], ["run", "opened"])

    def test_options_that_ask_for_terabytes_are_refused_before_anything_is_built(self):
        self.change("model", base_width=1024, frame_size=512, num_frames=128)
        begin = time.monotonic()
        for load in (loading.load_model, loading.load_generator, load_exported):
            with self.assertRaisesRegex(UsageError, "--run_dir asks for about [0-9,]+ GiB"):
                load(self.path)
        self.assertLess(time.monotonic() - begin, 5)

    def test_what_is_trusted_may_ask_for_more_than_there_is(self):
        with mock.patch.object(memory, "of_machine", return_value=1000):
            with self.assertRaisesRegex(UsageError, "--trust loads it nevertheless"):
                loading.load_model(self.path)
            loading.load_model(self.path, trust=True)
            self.assertTrue(load_exported(self.path, trust=True).predicts)


if __name__ == "__main__":
    tf.test.main()
