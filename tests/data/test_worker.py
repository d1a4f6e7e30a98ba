"""The decoding process: its answers, its limits, and its end by evil files."""

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import ROOT
from tests.helpers.commands import run
from tests.helpers.evil_files import FIRST, SECOND
from tests.helpers.made_files import cut, numbered, numbers, write_pictures, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import worker as worker_module
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.data.worker import EncodedClip, Limits, Worker
from tfvideogan.files import pictures

PNG = pictures.StripEncoding("png")
AMPLE = Limits(seconds=60.0, megabytes=1024)

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


class WorkerTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)
        self.good = self.item(write_video(self.root / "good.mp4", numbered(range(8))))

    def item(self, path: Path) -> Input:
        (item,) = find_inputs(str(path)).inputs
        return item

    def worker(self, limits: Limits = AMPLE, encoding: pictures.StripEncoding = PNG, **cutting) -> Worker:
        worker = Worker(Cutting(16, 4, **cutting), encoding, limits)
        self.addCleanup(worker.close)
        return worker

    def assert_still_works(self, worker: Worker) -> None:
        """The next input's clips, and nothing but those."""
        self.assertEqual(self.answers(worker, self.good), [(0, FIRST), (4, SECOND)])

    def answers(self, worker: Worker, item: Input) -> list:
        """(start, the frames' numbers) of each clip, and the text of each error."""
        return [
            str(answer) if isinstance(answer, UsageError) else (answer.start, numbers(frames_of(answer)))
            for answer in worker.clips(item)
        ]


def frames_of(clip: EncodedClip) -> np.ndarray:
    strip = tf.io.decode_image(clip.strip, 3, expand_animations=False).numpy()
    return strip.reshape(-1, strip.shape[1], strip.shape[1], 3)


def slow(path: Path) -> Path:
    """A video of 400 pictures of 1024 x 1024 pixels: seconds."""
    ramp = np.linspace(0, 255, 1024).astype(np.uint8)
    picture = io.BytesIO()
    Image.fromarray(np.stack(np.broadcast_arrays(ramp, ramp[:, None], np.uint8(99)), axis=-1)).save(picture, "JPEG")
    path.write_bytes(picture.getvalue() * 400)
    return path


class AnswersTest(WorkerTest):
    def test_clips_and_errors_in_their_places(self):
        worker = self.worker()
        self.assert_still_works(worker)
        process = worker._process.pid
        write_pictures(self.root / "frames", numbered(range(10)), "{}.png")
        cut(self.root / "frames" / "4.png", 0)
        first, error, second = self.answers(worker, self.item(self.root / "frames"))
        self.assertEqual((first, second), ((0, FIRST), (5, [5, 6, 7, 8])))
        self.assertRegex(error, "4.png: not a picture")
        self.assertEqual(
            self.answers(worker, self.item(write_strip(self.root / "a.png", numbered(range(4))))), [(0, FIRST)]
        )
        self.assert_still_works(worker)
        self.assertEqual(worker._process.pid, process)  # one process for all of them

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
            process = worker._process
        self.assertEqual(process.returncode, -signal.SIGKILL)
        worker.close()  # once more does no harm
        self.assert_still_works(worker)
        process = worker._process
        process.stdin.close()  # as when the parent is killed
        self.assertEqual(process.wait(timeout=20), 0)
        worker._process = None

    def test_ctrl_c_is_for_the_parent(self):
        worker = self.worker()
        self.assert_still_works(worker)
        worker._process.send_signal(signal.SIGINT)
        self.assert_still_works(worker)


class LimitsTest(WorkerTest):
    def test_an_input_that_takes_too_long(self):
        worker = self.worker(Limits(seconds=0.7, megabytes=1024))
        self.assert_still_works(worker)
        item = self.item(slow(self.root / "slow.mjpeg"))
        for _ in range(2):
            start = time.monotonic()
            *clips, error = self.answers(worker, item)
            self.assertBetween(time.monotonic() - start, 0.6, 3.0)
            self.assertEqual(error, "slow.mjpeg: took longer than the 0.7 s of --time_limit")
            self.assertLess(len(clips), 100)
            self.assertNotIsInstance(next(iter(clips), ()), str)  # no other error
            self.assert_still_works(worker)

    def test_a_decoder_that_hangs(self):
        """A pipe that nobody writes to, which came into the folder's place of a video."""
        worker = self.worker(Limits(seconds=0.5, megabytes=1024))
        video = write_video(self.root / "hangs.mp4", numbered(range(8)))
        item = self.item(video)
        video.unlink()
        os.mkfifo(video)
        (error,) = self.answers(worker, item)
        self.assertEqual(error, "hangs.mp4: took longer than the 0.5 s of --time_limit")
        self.assert_still_works(worker)

    def test_the_time_of_one_input_is_not_that_of_the_next(self):
        threads = threading.active_count()
        worker = self.worker(Limits(seconds=1.0, megabytes=1024))
        for _ in range(3):
            self.assert_still_works(worker)
            time.sleep(0.4)
        self.assertEqual(threading.active_count(), threads)  # no timer is left

    def test_an_input_that_needs_too_much_memory(self):
        """6000 x 6000 pixels are 108 MB as RGB, and the picture is within the 64 million that are allowed."""
        large = np.zeros([6000, 6000, 3], np.uint8)
        (self.root / "frames").mkdir()
        Image.fromarray(large).save(self.root / "frames" / "large.png", compress_level=1)
        video = write_video(self.root / "large.avi", large[None], "mjpeg")
        strip = self.root / "strip.png"
        Image.fromarray(np.zeros([12_000, 3000, 3], np.uint8)).save(strip, compress_level=1)
        worker = self.worker(Limits(seconds=60.0, megabytes=64))
        self.assert_still_works(worker)
        for path, name in ((self.root / "frames", "."), (video, "large.avi"), (strip, str(strip))):
            with self.subTest(path.name):
                answers = self.answers(worker, self.item(path))
                self.assertEqual(answers, [f"{name}: needs more than the 64 MB of --memory_limit"])
                self.assert_still_works(worker)
        enough = self.worker(Limits(seconds=60.0, megabytes=1024))
        (clip,) = enough.clips(self.item(strip))
        self.assertAllEqual(frames_of(clip), np.zeros([4, 16, 16, 3]))
        self.assertEqual(self.answers(enough, self.item(video)), ["large.avi: 1 frame, fewer than 4"])

    def test_memory_is_that_of_one_input_and_not_of_all(self):
        """Twelve strips of 7 MB, decoded, are more than the limit if any is kept."""
        worker = self.worker(Limits(seconds=60.0, megabytes=64))
        item = self.item(write_strip(self.root / "a.png", np.zeros([4, 750, 750, 3], np.uint8)))
        for _ in range(12):
            self.assertEqual([type(answer) for answer in worker.clips(item)], [EncodedClip])


class CrashTest(WorkerTest):
    def test_a_process_that_is_killed_from_outside(self):
        worker = self.worker()
        item = self.item(slow(self.root / "slow.mjpeg"))
        for sent in (signal.SIGKILL, signal.SIGSEGV):
            clips = worker.clips(item)
            self.assertEqual(next(clips).start, 0)
            worker._process.send_signal(sent)
            *more, error = clips
            self.assertLess(len(more), 99)
            self.assertEqual(str(error), f"slow.mjpeg: crashed the decoder ({sent.name})")
            self.assert_still_works(worker)

    def test_what_is_done_to_an_input_is_told(self):
        """An interlaced video is noted once, by the process that decodes, on standard error."""
        path = self.root / "tv.mp4"
        options = {"flags": "+ildct+ilme", "x264opts": "tff=1"}
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
            for frame in numbered(range(6), 64, 64):
                shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                out.mux(stream.encode(shown.reformat(format="yuv420p")))
            out.mux(stream.encode())
        output = self.root / "clip.gif"
        done = run("preview", f"--data={path}", "--num_frames=4", "--frame_size=16", f"--output={output}")
        self.assertEqual(done.stderr.count(f"WARNING: {path} is interlaced"), 1, done.stderr)

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
            process = worker._process.pid
            self.assertEqual(self.answers(worker, items["odd"]), ["odd.mp4: KeyError: 'no such thing'"])
            self.assertEqual(self.answers(worker, items["chatty"]), [(0, FIRST), (4, SECOND)])
            self.assert_still_works(worker)
            self.assertEqual(worker._process.pid, process)

    def test_a_process_that_dies_between_inputs_is_no_fault_of_the_next(self):
        worker = self.worker()
        self.assert_still_works(worker)
        worker._process.kill()
        worker._process.wait()
        self.assert_still_works(worker)


class FramedAnswersTest(tf.test.TestCase):
    def test_what_is_no_answer_is_refused_and_never_run(self):
        """Of pickles, of lengths that nothing has, and of answers that are cut off."""
        canary = Path(self.create_tempdir().full_path) / "canary"

        class Evil:
            def __reduce__(self):
                return Path.touch, (canary,)

        frame = worker_module._FRAME
        for content in (
            pickle.dumps(Evil()),
            frame.pack(b"C", 0, 2**40),
            frame.pack(b"X", 0, 0),
            frame.pack(b"C", 0, 100) + bytes(99),
            b"C",
        ):
            with self.subTest(content[:20]), self.assertRaises((EOFError, ValueError)):
                worker_module._received(io.BytesIO(content))
        self.assertFalse(canary.exists())
        answer = worker_module._received(io.BytesIO(frame.pack(b"C", 7, 3) + b"abc"))
        self.assertEqual(answer, EncodedClip(b"abc", 7))


if __name__ == "__main__":
    tf.test.main()
