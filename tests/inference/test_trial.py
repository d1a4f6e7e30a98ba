"""A TFLite file that takes its process down, or is none, is an error."""

import contextlib
import time

import numpy as np
import tensorflow as tf

from tests.data.case import FolderTest
from tests.helpers import converted
from tfvideogan import load_exported
from tfvideogan.config import UsageError
from tfvideogan.inference import openers
from tfvideogan.inference.trial import Trial


class TrialTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = self.root / "a model.tflite"
        self.path.write_bytes(converted.tflite("vgan"))

    def test_one_process_tries_many_and_another_follows_one_that_has_ended(self):
        with Trial() as trial:
            trial.check(str(self.path))
            process = trial._process
            (self.root / "text.tflite").write_text("no model")
            with self.assertRaisesRegex(UsageError, "text.tflite: not a TFLite model that can be run"):
                trial.check(str(self.root / "text.tflite"))
            trial.check(str(self.path))
            self.assertIs(trial._process, process)
            process.kill()
            process.wait()
            with self.assertRaisesRegex(UsageError, "ends a process that tries it, SIGKILL"):
                trial.check(str(self.path))
            trial.check(str(self.path))
        self.assertIsNone(trial._process)
        self.assertEqual(load_exported(self.path).generate(1).shape, (1, 4, 16, 16, 3))

    def test_a_tensor_out_of_all_proportion_is_refused_before_there_is_memory_for_it(self):
        content = bytearray(self.path.read_bytes())
        shape = np.array([1, 4, 16, 16, 3], np.int32).tobytes()
        at, count = content.find(shape), 0
        while at >= 0:
            content[at : at + 4] = np.int32(2**28).tobytes()
            at, count = content.find(shape, at + 1), count + 1
        self.assertGreater(count, 0)
        self.path.write_bytes(content)
        begin = time.monotonic()
        for trust in (False, True):
            with self.assertRaises(UsageError):
                openers.open_tflite(str(self.path), 1, trust)
        self.assertLess(time.monotonic() - begin, 10)

    def test_modules_of_the_current_folder_are_not_imported(self):
        (self.root / "numpy.py").write_text(f"open({str(self.root / 'canary')!r}, 'w')")
        with contextlib.chdir(self.root), Trial() as trial:
            trial.check(self.path.name)
        self.assertFalse((self.root / "canary").exists())


if __name__ == "__main__":
    tf.test.main()
