"""A test case that trains tiny runs in a folder of its own."""

from pathlib import Path

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.runs import loading
from tfvideogan.training import loop


class TrainingTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def train(self, name: str, **options) -> Path:
        run_dir = self.folder / name
        defaults = {"model": "vgan", "steps": 4, "log_every": 2, "sample_every": 2, "checkpoint_every": 2}
        self.assertEqual(loop.train(tiny.config(**(defaults | options)), run_dir), 0)
        return run_dir

    def digest(self, run_dir: Path) -> str:
        return loading.weights_sha256(loading.load_model(run_dir)[0])
