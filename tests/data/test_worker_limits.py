"""The limits of the decoding process on time and memory."""

import os
import threading
import time

import numpy as np
from PIL import Image

from tests.data.worker_case import WorkerTest, frames_of, slow
from tests.helpers.made_files import numbered, write_strip, write_video
from tfvideogan.data.worker import EncodedClip
from tfvideogan.files.confined import Limits


class LimitsTest(WorkerTest):
    def test_an_input_that_takes_too_long(self):
        worker = self.worker(Limits(seconds=0.7, megabytes=1024, by_flags=True))
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
        self.assertEqual(error, "hangs.mp4: took longer than 0.5 s")
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
        worker = self.worker(Limits(seconds=60.0, megabytes=64, by_flags=True))
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
