"""Run folders that are meant to harm: pipes in place of files, nesting, weights that unpack without end."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.data.case import FolderTest
from tests.helpers import tiny
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.runs import loading, manifest, packed, run_folder, state


class HostileRunsTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = tiny.run_folder(self.root / "run", "vgan")
        self.checkpoint = Path(run_folder.RunFolder(self.path).latest().path)

    def in_place_of(self, path: Path) -> None:
        path.unlink()
        os.mkfifo(path)

    def test_pipes_in_place_of_files_are_not_read(self):
        """Whoever opened one would wait for ever."""
        for name in ("variables.index", manifest.MANIFEST):
            self.in_place_of(self.checkpoint / name)
            with self.subTest(name), self.assertRaisesRegex(UsageError, "all 1 checkpoints in .* are damaged"):
                loading.load_model(self.path)
        self.in_place_of(self.path / "config.json")
        with self.assertRaisesRegex(UsageError, "holds no run"):
            loading.load_model(self.path)
        with self.assertRaisesRegex(UsageError, "neither a run folder"):
            load_exported(self.path)
        for name in ("a.tflite", "a.onnx", "saved_model.pb", records.DATASET):
            os.mkfifo(self.root / name)
        for name in ("a.tflite", "a.onnx", "."):
            with self.subTest(name), self.assertRaisesRegex(UsageError, "neither a run folder"):
                load_exported(self.root / name, trust=True)
        self.assertIsNone(records.find_shards(str(self.root)))

    def test_a_pipe_beside_a_good_checkpoint_is_passed_over(self):
        os.mkfifo(self.checkpoint / packed.NAME)
        self.assertEqual(loading.load_model(self.path)[1].step, 4)

    def test_weights_that_unpack_without_end_are_not_unpacked(self):
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("generator/a.npy", bytes(2**26))
        path = self.checkpoint / packed.NAME
        path.write_bytes(bomb.getvalue())
        variables = state.for_sampling(tiny.model("vgan"))
        checkpoint = run_folder.RunFolder(self.path).list()[0]
        with self.assertRaisesRegex(UsageError, "weights.npz cannot be read: it unpacks to 67,108,864 bytes"):
            loading.restore(checkpoint, variables)

    def test_an_array_that_tells_more_values_than_there_are_is_damaged(self):
        header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"
        weights = io.BytesIO()
        with zipfile.ZipFile(weights, "w") as file:
            file.writestr("generator/a.npy", header.ljust(127) + b"\n")
        (self.checkpoint / packed.NAME).write_bytes(weights.getvalue())
        with self.assertRaisesRegex(UsageError, "weights.npz cannot be read"):
            loading.restore(run_folder.RunFolder(self.path).list()[0], state.for_sampling(tiny.model("vgan")))

    def test_manifests_that_are_nested_without_end_are_damaged(self):
        deep = "[" * 400 + "]" * 400
        content = {"stage": 1, "step": 4, "files": deep}
        checksum = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        for text in (deep, "[" * 100_000, '{"a":' * 100_000, f'{{"files": {deep}, "checksum": "{checksum}"}}'):
            (self.checkpoint / manifest.MANIFEST).write_text(text)
            with self.subTest(text[:20]), self.assertRaisesRegex(UsageError, "are damaged"):
                loading.load_model(self.path)

    def test_the_largest_config_is_not_read(self):
        with (self.path / "config.json").open("ab") as file:
            file.truncate(2**40)  # The file has holes, and takes no room.
        with self.assertRaisesRegex(UsageError, "it has more than 1,048,576 bytes"):
            loading.load_model(self.path)


class StatesTest(tf.test.TestCase):
    def test_good_packed_weights_are_within_the_limit(self):
        variables = state.for_sampling(tiny.shaken("vgan"))
        path = Path(self.create_tempdir().full_path) / packed.NAME
        path.write_bytes(packed.content(variables))
        checkpoint = run_folder.Checkpoint(1, 4, path.parent)
        fresh = state.for_sampling(tiny.model("vgan"))
        loading.restore(checkpoint, fresh)
        name = next(iter(fresh["generator"]))
        self.assertAllClose(fresh["generator"][name], np.float16(variables["generator"][name]), atol=1e-3)


if __name__ == "__main__":
    tf.test.main()
