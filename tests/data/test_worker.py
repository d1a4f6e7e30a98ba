"""The decoding process: its answers, and its end by its parent, by a signal and by evil files."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from tests.data.worker_case import WorkerTest, frames_of, process_of, slow
from tests.helpers import ROOT
from tests.helpers.evil_files import FIRST, SECOND
from tests.helpers.made_files import cut, numbered, write_pictures, write_strip, write_video
from tfvideogan.files import pictures

# Stands for a decoder with a bug: the process ends on inputs of these names.
BUGGY = """
import os, signal, tfvideogan.files.videos
honest = tfvideogan.files.videos.read_past_damage
def read_past_damage(path, fit):
    for number, frame in enumerate(honest(path, fit)):
        if "segv" in path and number == 5:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "exit" in path:
            os._exit(3)
        if "odd" in path:
            raise KeyError("no such thing")
        if "chatty" in path:
            os.write(1, b"a library that prints")
            print("another", flush=True)
        yield frame
tfvideogan.files.videos.read_past_damage = read_past_damage
"""


class AnswersTest(WorkerTest):
    def test_clips_and_errors_in_their_places(self):
        worker = self.worker()
        self.assert_still_works(worker)
        process = process_of(worker).pid
        write_pictures(self.root / "frames", numbered(range(10)), "{}.png")
        cut(self.root / "frames" / "4.png", 0)
        first, error, second = self.answers(worker, self.item(self.root / "frames"))
        self.assertEqual((first, second), ((0, FIRST), (5, [5, 6, 7, 8])))
        self.assertRegex(error, "4.png: not a picture")
        self.assertEqual(
            self.answers(worker, self.item(write_strip(self.root / "a.png", numbered(range(4))))), [(0, FIRST)]
        )
        self.assert_still_works(worker)
        self.assertEqual(process_of(worker).pid, process)  # one process for all of them

    def test_encodings(self):
        noise = np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3], np.uint8)
        item = self.item(write_pictures(self.root / "frames", noise))
        (exact,) = self.worker().clips(item)
        self.assertAllEqual(frames_of(exact), noise)
        sizes = []
        for quality in (50, 100):
            (clip,) = self.worker(encoding=pictures.StripEncoding("jpeg", quality)).clips(item)
            self.assertStartsWith(clip.strip, b"\xff\xd8\xff")
            sizes.append(len(clip.strip))
        self.assertLess(sizes[0], sizes[1])

    def test_the_decoder_starts_without_tensorflow(self):
        code = "import sys, tfvideogan.data.worker; sys.exit('tensorflow' in sys.modules)"
        self.assertEqual(subprocess.run([sys.executable, "-c", code], check=False).returncode, 0)

    def test_an_input_that_is_gone_by_now(self):
        worker = self.worker()
        Path(self.good.files[0]).rename(self.root / "moved.mp4")
        (error,) = self.answers(worker, self.good)
        self.assertRegex(error, "good.mp4: no such file")

    def test_a_caller_that_wants_no_more(self):
        """What is left of the answers does not get among the next input's."""
        worker = self.worker()
        for _ in range(2):
            clips = worker.clips(self.good)
            self.assertEqual(next(clips).start, 0)
            clips.close()
            self.assert_still_works(worker)

    def test_ends_with_its_parent(self):
        with self.worker() as worker:
            self.assert_still_works(worker)
            process = process_of(worker)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        worker.close()  # once more does no harm
        self.assert_still_works(worker)
        process = process_of(worker)
        process.stdin.close()  # as when the parent is killed
        self.assertEqual(process.wait(timeout=20), 0)
        worker._process._process = None

    def test_ctrl_c_is_for_the_parent(self):
        worker = self.worker()
        self.assert_still_works(worker)
        process_of(worker).send_signal(signal.SIGINT)
        self.assert_still_works(worker)


class CrashTest(WorkerTest):
    def test_a_process_that_is_killed_from_outside(self):
        worker = self.worker()
        item = self.item(slow(self.root / "slow.mjpeg"))
        for sent in (signal.SIGKILL, signal.SIGSEGV):
            clips = worker.clips(item)
            self.assertEqual(next(clips).start, 0)
            process_of(worker).send_signal(sent)
            *more, error = clips
            self.assertLess(len(more), 99)
            self.assertEqual(str(error), f"slow.mjpeg: crashed the decoder ({sent.name})")
            self.assert_still_works(worker)

    def test_modules_of_the_current_folder_are_not_imported(self):
        (self.root / "numpy.py").write_text(f"open({str(self.root / 'canary')!r}, 'w')")
        with contextlib.chdir(self.root):
            self.assert_still_works(self.worker())
        self.assertFalse((self.root / "canary").exists())

    def test_inputs_that_end_the_process(self):
        (self.root / "sitecustomize.py").write_text(BUGGY)
        path = os.pathsep.join([str(self.root), str(ROOT), os.environ.get("PYTHONPATH", "")])
        items = {name: self.item(write_video(self.root / f"{name}.mp4", numbered(range(8))))
                 for name in ("segv", "exit", "odd", "chatty")}  # fmt: skip
        with mock.patch.dict(os.environ, PYTHONPATH=path):
            worker = self.worker()
            self.assertEqual(
                self.answers(worker, items["segv"]), [(0, FIRST), "segv.mp4: crashed the decoder (SIGSEGV)"]
            )
            self.assert_still_works(worker)
            self.assertEqual(self.answers(worker, items["exit"]), ["exit.mp4: crashed the decoder (exit status 3)"])
            self.assert_still_works(worker)
            process = process_of(worker).pid
            self.assertEqual(self.answers(worker, items["odd"]), ["odd.mp4: KeyError: 'no such thing'"])
            self.assertEqual(self.answers(worker, items["chatty"]), [(0, FIRST), (4, SECOND)])
            self.assert_still_works(worker)
            self.assertEqual(process_of(worker).pid, process)

    def test_a_process_that_dies_between_inputs_is_no_fault_of_the_next(self):
        worker = self.worker()
        self.assert_still_works(worker)
        process_of(worker).kill()
        process_of(worker).wait()
        self.assert_still_works(worker)
