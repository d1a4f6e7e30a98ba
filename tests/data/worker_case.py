"""What the tests of the decoding process share: a worker, a good input, a slow one, and what a worker answers."""

import io
import subprocess
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.data.case import FolderTest
from tests.helpers.evil_files import FIRST, SECOND
from tests.helpers.made_files import numbered, numbers, write_video
from tfvideogan.config import UsageError
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.data.worker import EncodedClip, Worker
from tfvideogan.files import pictures
from tfvideogan.files.confined import Limits

PNG = pictures.StripEncoding("png")
AMPLE = Limits(seconds=60.0, megabytes=1024)


class WorkerTest(FolderTest):
    def setUp(self):
        super().setUp()
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


def process_of(worker: Worker) -> subprocess.Popen:
    return worker._process._process


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
