"""Damaged copies of each kind of file, eighty and as many more as time allows: a good answer, or an error.

Published weights have the same test in `tests/weights/test_hostile_files.py`.
"""

import contextlib
import itertools
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from export import to_saved_model
from tests.data.case import FolderTest, a_record, marked
from tests.helpers import converted, fuzzing, tiny
from tests.helpers.fuzzing import fuzz
from tests.helpers.made_files import numbered, one_transparent, write_dataset, write_shard, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import record_source, records
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.data.worker import Worker
from tfvideogan.files import flag_files, paths, picture_reader, pictures
from tfvideogan.files.confined import Limits
from tfvideogan.inference import openers, scan
from tfvideogan.inference.trial import Trial
from tfvideogan.runs import loading, manifest, packed, run_folder, state

DECODER = Limits(seconds=5, megabytes=512)


class FuzzTest(FolderTest, parameterized.TestCase):
    def fuzz(self, read, path, **options) -> None:
        self.assertGreaterEqual(fuzz(read, Path(path), **options), 80)

    def decoded(self, kind: str, path: Path, kinds: int) -> None:
        """Fuzzes what decodes inputs of this kind: its process may refuse a file, and neither crash nor hang."""
        with Worker(Cutting(16, 4), None, DECODER) as worker:

            def read(path: Path) -> None:
                for clip in itertools.islice(worker.clips(Input(path.name, kind, (str(path),), path.name)), 100):
                    if isinstance(clip, UsageError):
                        self.assertNotRegex(str(clip), "crashed the decoder|took longer")

            self.fuzz(read, path, kinds=kinds)

    @parameterized.parameters(("mp4", "libx264"), ("avi", "mjpeg"), ("mkv", "ffv1"), ("gif", "gif"))
    def test_videos(self, suffix, codec):
        self.decoded("video", write_video(self.root / f"a.{suffix}", numbered(range(6)), codec), kinds=4)

    @parameterized.parameters("png", "jpg", "webp", "bmp", "tif", "gif", "ppm", "tga", "jp2")
    def test_pictures(self, suffix):
        path = self.root / f"a.{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, [32, 16, 3], np.uint8)).save(path)

        def read(path: Path) -> None:
            pictures.count_pages(path)
            pictures.is_strip(path)
            pictures.read_image(path, pictures.squash(16))

        self.fuzz(read, path, kinds=17)

    @parameterized.parameters("png", "jpg", "tif")
    def test_pictures_in_the_process_that_reads_them(self, suffix):
        """It may refuse a file, for a reason of its own, and neither crash nor hang."""
        path = self.root / f"a.{suffix}"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, [32, 16, 3], np.uint8)).save(path)

        def read(path: Path) -> None:
            try:
                picture_reader.count_pages(path)
                picture_reader.read_image(path, pictures.squash(16))
            except UsageError as error:
                self.assertNotRegex(str(error), "crashed the decoder|took longer|Error: ")

        self.fuzz(read, path, kinds=3)

    def test_pictures_with_one_transparent_colour(self):
        colours = np.random.default_rng(0).integers(0, 65_536, [16, 16, 3])
        path = one_transparent(self.root / "a.png", colours, colours[3, 3].tolist())
        self.fuzz(lambda path: pictures.read_image(path, pictures.squash(16)), path, kinds=3)

    @parameterized.parameters("png", "webp", "tif", "gif")
    def test_pictures_of_several_pages(self, suffix):
        frames = [Image.fromarray(frame) for frame in numbered(range(5))]
        frames[0].save(self.root / f"a.{suffix}", save_all=True, append_images=frames[1:])
        with self.subTest("counted"):
            self.fuzz(pictures.count_pages, self.root / f"a.{suffix}", kinds=17)
        with self.subTest("decoded"):
            self.decoded("pages", self.root / f"a.{suffix}", kinds=17)

    def test_records(self):
        def read(path: Path) -> None:
            source = record_source.Records("a", [str(path)], 16, 4)
            for record in source.in_order():
                source.load(record)

        path = write_shard(self.root / "a.tfrecord", [marked(1), marked(2)])
        self.fuzz(read, path, refused=(UsageError, tf.errors.OpError), kinds=4)

    def test_what_a_record_says(self):
        (self.root / "a").write_bytes(a_record(marked(1)))
        self.fuzz(lambda path: records.describe(path.read_bytes()), self.root / "a", refused=(ValueError,), kinds=4)

    @parameterized.parameters("png", "jpeg")
    def test_strips_of_records(self, encoding):
        def read(path: Path) -> None:
            record = records.example(path.read_bytes(), 4, "a", 0)
            with contextlib.suppress(ValueError):
                records.describe(record)
            decode(record)

        record = tf.TensorSpec([], tf.string)
        decode = tf.function(lambda record: records.decode(record, 4, 16), input_signature=[record])
        (self.root / "a").write_bytes(pictures.encode_strip(marked(1), pictures.StripEncoding(encoding)))
        self.fuzz(read, self.root / "a", refused=(tf.errors.InvalidArgumentError,), kinds=4)

    def test_descriptions_of_data_sets(self):
        write_dataset(self.root, {"train": [[marked(1)]], "test": [[marked(2)]]})
        self.fuzz(lambda path: records.find_shards(str(path.parent)), self.root / records.DATASET, kinds=3)

    def test_configs(self):
        folder = tiny.run_folder(self.root / "run", "vgan")
        self.fuzz(lambda path: run_folder.RunFolder.open(path.parent), folder / "config.json")

    def test_manifests(self):
        checkpoint = run_folder.RunFolder(tiny.run_folder(self.root / "run", "vgan")).latest()
        refused = (UsageError, ValueError, OSError)

        def read(path: Path) -> None:
            manifest.verified(paths.path(path.parent), 1, 4)

        self.fuzz(read, Path(checkpoint.path / manifest.MANIFEST), refused=refused, kinds=3)

    @parameterized.parameters("variables.index", "variables.data-00000-of-00001")
    def test_checkpoints_whose_manifest_fits(self, name):
        checkpoint = run_folder.RunFolder(tiny.run_folder(self.root / "run", "vgan")).latest()
        variables = state.for_sampling(tiny.model("vgan"))
        self.fuzz(lambda _: loading.restore(checkpoint, variables), checkpoint.path / name, kinds=3)

    def test_packed_weights(self):
        checkpoint = run_folder.RunFolder(tiny.run_folder(self.root / "run", "vgan")).latest()
        variables = state.for_sampling(tiny.model("vgan"))
        path = Path(checkpoint.path / packed.NAME)
        path.write_bytes(packed.content(variables))
        self.fuzz(lambda _: loading.restore(checkpoint, variables), path)

    def test_flag_files(self):
        path = self.root / "a.flags"
        path.write_text("# a comment\n--model=mdgan\n--flagfile=b.flags\n--steps=4\n--data=Größe\n")
        self.fuzz(lambda path: flag_files.expand([f"--flagfile={path}"]), path)

    def test_lists(self):
        for name in ("0.png", "1.png"):
            Image.fromarray(np.concatenate(numbered(range(4)))).save(self.root / name)
        (self.root / "list.txt").write_text("0.png 3\n1.png 4\n../outside.png\n/etc/passwd.png\n")
        self.fuzz(lambda path: find_inputs(str(path)), self.root / "list.txt")

    def test_saved_models(self):
        to_saved_model.save(tiny.model("vgan"), paths.path(self.root / "1"), True, 4)
        self.fuzz(lambda path: scan.check(paths.path(path.parent)), self.root / "1" / "saved_model.pb")

    def test_tflite_files(self):
        """Those that take the process down do so in the one that tries them."""
        path = self.root / "a.tflite"
        path.write_bytes(converted.tflite("vgan"))
        with Trial() as trial:
            trial.check(str(path))
            self.fuzz(lambda path: trial.check(str(path)), path, kinds=2)

    def test_onnx_files(self):
        path = self.root / "a.onnx"
        path.write_bytes(converted.onnx("vgan"))
        self.fuzz(lambda path: openers.open_onnx(str(path), 1), path, kinds=2)


class FuzzingTest(FolderTest):
    """What must not pass for a reader that is safe."""

    def fails(self, message: str, read) -> None:
        path = self.root / "a.bin"
        path.write_bytes(bytes(range(64)))
        with mock.patch.object(fuzzing, "KEPT", self.root / "kept"), self.assertRaisesRegex(AssertionError, message):
            fuzz(read, path)
        self.assertNotEmpty(list(self.root.glob("kept/*.bin")))

    def test_other_errors_fail(self):
        self.fails("KeyError", lambda path: {}[path])

    def test_slow_readers_fail(self):
        with mock.patch.object(fuzzing, "LONGEST", 0.01):
            self.fails("took 0.0", lambda path: time.sleep(0.02))  # noqa: ARG005

    def test_endless_messages_fail(self):
        def read(path: Path) -> None:
            raise UsageError(str(path) * 5000)

        self.fails("letters", read)

    def test_readers_that_take_memory_fail(self):
        path = self.root / "a.bin"
        path.write_bytes(b"0123456789")
        with mock.patch.multiple(fuzzing, MOST=32, SECONDS=0), self.assertRaisesRegex(AssertionError, "MB more"):
            fuzz(lambda path: np.ones(2**23).sum(), path)  # noqa: ARG005


if __name__ == "__main__":
    tf.test.main()
