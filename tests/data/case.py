"""What the tests of data sets share: clips and records, tiny inputs, jobs of them, and what came out."""

import collections
import hashlib
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers.made_files import numbered, numbers, write_strip
from tfvideogan.data import plan, prepare, records
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.layouts import BY_RULE
from tfvideogan.data.worker import Limits
from tfvideogan.files import pictures

SMALL = ["--frame_size=16", "--num_frames=4", "--encoding=png"]
IN_PROCESS = ["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


def marked(index: int, frames: int = 4, size: int = 16) -> np.ndarray:
    """A clip whose every pixel is its index."""
    return np.full([frames, size, size, 3], index, np.uint8)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, [4, 16, 16, 3], np.uint8)


def a_record(clip: np.ndarray, encoding: str = "png", quality: int = 95, **other) -> bytes:
    """The record of a clip, as `prepare_data` writes it."""
    fields = {"frames": len(clip), "source": "a.mp4", "start": 0} | other
    return records.example(pictures.encode_strip(clip, pictures.StripEncoding(encoding, quality)), **fields)


def tiny_inputs(folder: Path, count: int) -> Path:
    """Strips of one clip of 16 x 16 pixels, no two of them alike; each is a video of its own."""
    for i in range(count):
        strip = numbered(range(4)).copy()
        strip[:, :8, :8] = [i % 256, i // 256, 0]
        write_strip(folder / f"strip{i}x.png", strip)
    return folder


def job(output: Path, **options) -> plan.Job:
    """A job for clips of 4 frames of 16 x 16 pixels; attributes of `Job` and `Cutting` can be given."""
    fields = {
        "limits": Limits(600.0, 2048),
        "encoding": pictures.StripEncoding("png"),
        "splits": (("train", 0.5), ("test", 0.5)),
    }
    fields |= {name: options.pop(name) for name in fields if name in options}
    return plan.Job(str(output), Cutting(16, 4, **options), **fields)


def prepared(output: Path, *roots: Path, **options) -> dict:
    """Makes a data set in this process and returns its description."""
    form = options.pop("form", BY_RULE)
    return prepare.prepare(list(map(str, roots)), job(output, **options), IN_PROCESS, form=form)


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clips_by_source(folder: Path) -> dict[str, list[tuple[int, list[int]]]]:
    """(start, the numbers of the frames) of every record in order, by the name of its source."""
    clips = collections.defaultdict(list)
    for shard in sorted(folder.glob("*.tfrecord")):
        for record in records.scan(shard):
            fields = records.describe(record)
            clip = records.decode(tf.constant(record), fields["frames"], fields["size"]).numpy()
            clips[fields["source"]].append((fields["start"], numbers(clip)))
    return clips


class Frames:
    """Clip i: frame t is 40 * i + t, and 100 more in the right half."""

    def __init__(self, size: int, frames: int):
        self.size, self.frames = size, frames

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> np.ndarray:
        clip = np.broadcast_to(np.arange(self.frames)[:, None, None, None] + 40 * index, [self.frames, 4, 4, 3])
        return np.uint8(clip + 100 * (np.arange(4) > 1)[:, None])


class FolderTest(tf.test.TestCase):
    """Each test has a folder of its own."""

    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)


class PrepareTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.output = self.root / "out"

    def assert_same_files(self, one: Path, other: Path) -> None:
        """Both folders hold the same files, byte for byte."""
        actual, expected = files(one), files(other)
        self.assertCountEqual(actual, expected)
        self.assertEmpty([name for name, content in expected.items() if actual[name] != content])
