"""A test case that trains tiny runs in a folder of its own."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.data import clips
from tfvideogan.runs import loading
from tfvideogan.training import assembly, loop


class TrainingTest(tf.test.TestCase):
    _trained_once: dict[str, tempfile.TemporaryDirectory] = {}  # noqa: RUF012 - all classes share it

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def copy_of_a_run(self, name: str, **options) -> Path:
        """A run folder as `train` leaves it with these options, which are trained once for all tests of a process."""
        key = repr(sorted(options.items()))
        if key not in self._trained_once:
            self._trained_once[key] = tempfile.TemporaryDirectory()
            shutil.copytree(self.train(name, **options), Path(self._trained_once[key].name) / "run")
            return self.folder / name
        return shutil.copytree(Path(self._trained_once[key].name) / "run", self.folder / name)

    def train(self, name: str, **options) -> Path:
        run_dir = self.folder / name
        # The smallest of the models: what a run does is the same with all of them.
        defaults = {"model": "vgan_one_stream", "steps": 4, "log_every": 2, "sample_every": 99, "checkpoint_every": 2}
        self.assertEqual(loop.train(tiny.config(**(defaults | options)), run_dir), 0)
        return run_dir

    def digest(self, run_dir: Path) -> str:
        return loading.weights_sha256(loading.load_model(run_dir)[0])

    def not_finite_at(self, *steps: int, seed: int = 0):
        """Makes the training's batches of these steps NaN, in the data order of one seed."""
        make = assembly.batches

        def spoiled(config, sources, order, first=0, *host):
            batches = make(config, sources, order, first, *host)
            if not host or order != seed:  # batches to estimate statistics over have no host
                return batches
            bad = tf.constant(steps, tf.int64)
            return batches.enumerate(first // config.data.batch_size).map(
                lambda number, clips: tf.where(tf.reduce_any(number == bad), tf.zeros_like(clips), clips)
            )

        @contextlib.contextmanager
        def patched():
            to_float = clips.to_float

            def black_is_nan(batch):
                return tf.where(tf.reduce_any(batch != 0), to_float(batch), float("nan"))

            with mock.patch.object(assembly, "batches", spoiled), mock.patch.object(clips, "to_float", black_is_nan):
                yield

        return patched()

    def trained(self, model) -> list[bytes]:
        """The weights and optimizers, without the statistics, which are re-estimated as a run ends."""
        players = (model.generator, model.discriminator)
        values = [v.value for player in players for v in player.trainable_variables]
        values += [v.value for optimizer in model.optimizers for v in optimizer.variables]
        return [value.numpy().tobytes() for value in values]
