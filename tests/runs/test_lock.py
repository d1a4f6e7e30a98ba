"""One training at a time in a run folder: a second one is refused, and the lock of a killed one is no hindrance."""

import contextlib
import errno
import fcntl
import os
import re
import signal
import time
from pathlib import Path
from unittest import mock

import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.commands import Command
from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.runs import lock
from tfvideogan.runs.run_folder import RunFolder

TINY = ["--model=vgan", "--base_width=2", "--frame_size=16", "--num_frames=4", "--batch_size=2", "--log_every=1000"]


class LockTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.run = self.folder / "new" / "run"
        self.file = self.run / ".lock"

    def held(self) -> contextlib.AbstractContextManager[None]:
        return lock.held(paths.path(self.run))

    def test_it_is_there_while_it_is_held_and_tells_by_whom(self):
        with self.held():
            self.assertEqual(self.file.read_text(), f"process {os.getpid()} on {os.uname().nodename}\n")
        self.assertEmpty(list(self.folder.iterdir()))  # The folders that were made for it have gone, too.

    def test_it_goes_on_errors_as_well_and_what_was_written_stays(self):
        with self.assertRaises(KeyError), self.held():
            (self.run / "config.json").write_text("{}")
            raise KeyError
        self.assertEqual([path.name for path in self.run.iterdir()], ["config.json"])

    def test_another_holder_is_named_and_keeps_it(self):
        with self.held():
            said = f"--run_dir {self.run} is being trained in by process {os.getpid()} on "
            for _ in range(2):
                with self.assertRaisesRegex(UsageError, re.escape(said)), self.held():
                    self.fail("it was held twice")
            self.assertTrue(self.file.exists())
        with self.held():
            pass

    def test_a_file_without_a_lock_is_taken_over_whatever_process_it_names(self):
        self.run.mkdir(parents=True)
        self.file.write_text(f"process {os.getppid()} on here\n")  # A number that another program has now.
        with self.assertLogs("tfvideogan", "INFO") as logs, self.held():
            self.assertIn(f"process {os.getpid()} on ", self.file.read_text())
        self.assertLen(logs.output, 1)
        self.assertIn(f"process {os.getppid()} on here has ended without removing its lock", logs.output[0])

    def test_a_file_that_its_holder_removes_meanwhile_is_no_lock(self):
        with contextlib.ExitStack() as first:
            first.enter_context(self.held())
            flock = fcntl.flock

            def ends_just_before(file, operation: int) -> None:
                first.close()
                flock(file, operation)

            (self.run / "config.json").write_text("{}")
            first.enter_context(mock.patch.object(fcntl, "flock", ends_just_before))
            with self.held(), self.assertRaises(UsageError), self.held():
                self.fail("it was held twice")

    def test_a_file_system_without_locks_is_told(self):
        refused = mock.patch.object(fcntl, "flock", side_effect=OSError(errno.ENOTSUP, "Operation not supported"))
        with refused, self.assertLogs("tfvideogan", "WARNING") as logs, self.held():
            pass
        self.assertIn(f"nothing keeps a second training out of {self.run}", logs.output[0])

    def test_remote_folders_have_none(self):
        with mock.patch.object(paths, "is_remote", return_value=True), self.held():
            self.assertFalse(self.run.exists())

    def test_a_folder_that_cannot_be_written_is_told_by_its_flag(self):
        for where in ("/dev/null/run", "/proc/run"):
            with self.assertRaisesRegex(UsageError, "--run_dir cannot be written"), lock.held(paths.path(where)):
                self.fail("it was held")

    def test_a_folder_with_nothing_but_a_lock_counts_as_empty(self):
        self.run.mkdir(parents=True)
        self.file.write_text("process 1 on here\n")
        run = RunFolder.for_training(self.run, tiny.config("vgan"))
        self.assertIsNone(run.latest())
        (self.run / "other").touch()
        with self.assertRaisesRegex(UsageError, "other files"):
            RunFolder.for_training(self.run, tiny.config("vgan"))


class TrainingTest(tf.test.TestCase):
    """Real commands on one run folder."""

    def start(self, *flags: str) -> Command:
        training = Command("train", f"--run_dir={self.run}", *TINY, *flags, together=True)
        self.addCleanup(training.kill)
        return training

    def end(self, training: Command) -> tuple[int, str]:
        return training.wait(), training.err

    def test_a_second_training_is_refused_until_the_first_is_killed(self):
        self.run = Path(self.create_tempdir().full_path) / "run"
        first = self.start("--steps=1000000")
        while not (self.run / "checkpoints" / "stage1-step00000000").exists() and first.poll() is None:
            time.sleep(0.05)
        status, said = self.end(self.start("--steps=1000000"))
        self.assertEqual(status, 2, said)
        self.assertIn(f"--run_dir {self.run} is being trained in by process {first.pid} on ", said.splitlines()[-1])
        self.assertStartsWith(said.splitlines()[-1], "train: error: ")
        self.assertIsNone(first.poll())

        first.send_signal(signal.SIGKILL)
        self.end(first)
        self.assertTrue((self.run / ".lock").exists())
        status, said = self.end(self.start("--steps=2"))
        self.assertEqual(status, 0, said)
        self.assertIn(f"process {first.pid} on ", said)
        self.assertFalse((self.run / ".lock").exists())


if __name__ == "__main__":
    tf.test.main()
