"""A run folder works from any directory, its data too, and `~` is the home folder in every path."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.helpers import ROOT, tiny
from tests.helpers.commands import run
from tests.helpers.made_files import numbered, write_video
from tfvideogan import load_exported, load_generator
from tfvideogan.files import atomic, paths, pictures
from tfvideogan.runs.run_folder import RunFolder

TINY = ["--model=vgan", "--base_width=2", "--frame_size=16", "--num_frames=4", "--batch_size=2", "--steps=1"]


class AnywhereTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.home = Path(self.create_tempdir().full_path)

    def command(self, folder: Path, command: str, *arguments: str) -> subprocess.CompletedProcess:
        return run(command, *arguments, folder=folder, environment={"HOME": str(self.home)})

    def code(self, folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *arguments], cwd=folder, capture_output=True, text=True,
            check=False, env=os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(self.home)},
        )  # fmt: skip

    def test_a_run_finds_its_data_from_another_directory_or_says_that_they_are_gone(self):
        clips = self.home / "work" / "clips"
        write_video(clips / "a.mp4", numbered(range(8)))
        trained = self.command(clips.parent, "train", "--run_dir=~/run", "--data=clips", *TINY)
        self.assertEqual(trained.returncode, 0, trained.stderr)
        self.assertEqual(RunFolder.open(self.home / "run").config().data.data, str(clips))

        evaluate = [self.home, "evaluate", "--run_dir=~/run", "--num_clips=2"]
        scored = self.command(*evaluate)
        self.assertEqual(scored.returncode, 0, scored.stderr)
        self.assertEqual(json.loads(scored.stdout)["data"], str(clips))

        shutil.rmtree(clips)
        gone = self.command(*evaluate)
        self.assertEqual((gone.returncode, gone.stdout), (2, ""), gone.stderr)
        said = f"evaluate: error: --data (not given: the run's own clips): '{clips}': no such folder"
        self.assertEqual(gone.stderr.strip(), said)

    def test_the_home_folder_in_flags_and_in_their_lists(self):
        shown = self.code(self.home, """
            from tfvideogan import cli, prepare_data
            def main():
                args = cli.flags.FLAGS
                print(args.input, args.output, args.split)
            cli.run(prepare_data.define_flags, main)
        """, "--input=~/a,/b,~/c d,e~", "--output=~/set", "--split=train:1")  # fmt: skip
        self.assertEqual(shown.stderr, "")
        home = self.home
        self.assertEqual(shown.stdout, f"{home}/a,/b,{home}/c d,e~ {home}/set train:1\n")

    def test_the_home_folder_in_the_python_api(self):
        tiny.run_folder(self.home / "run", "vgan")
        pictures.write_image(self.home / "still.png", np.zeros([8, 8, 3], np.uint8))
        with mock.patch.dict(os.environ, HOME=str(self.home)):
            expected = load_generator(self.home / "run")(tf.ones([1, 100]))["clip"]
            self.assertAllEqual(load_generator("~/run")(tf.ones([1, 100]))["clip"], expected)
            self.assertAllEqual(load_exported("~/run").run(np.ones([1, 100])), expected)
            self.assertEqual(RunFolder.open(Path("~/run")).latest().step, 4)
            self.assertEqual(pictures.read_image("~/still.png", pictures.squash(8)).shape, (8, 8, 3))
            atomic.check_output("output", "~/run/new.png", (".png",))
            self.assertEqual(str(paths.path("a~/b")), "a~/b")

    def test_the_home_folder_of_a_user_that_there_is_not(self):
        for flag in ("--data", "--flagfile"):
            done = run("preview", f"{flag}=~nobody-of-this-name/a", f"--output={self.home / 'a.gif'}")
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, rf"^preview: error: {flag}: .*'~nobody-of-this-name/a'.*\n$")
        self.assertEqual(paths.absolute("~nobody-of-this-name/a"), str(Path("~nobody-of-this-name/a").absolute()))


if __name__ == "__main__":
    tf.test.main()
