"""A run folder: whole checkpoints only, damage found, earlier ones taken, other models refused."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import DamagedError, UsageError
from tfvideogan.files import paths
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import loading, manifest, run_folder, state
from tfvideogan.runs.manifest import Provenance


class RunFolderTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path) / "run"
        self.config = tiny.config("vgan")
        self.run = run_folder.RunFolder.for_training(self.path, self.config)
        self.run.write_config(self.config)
        self.model = tiny.model("vgan")
        self.model.compile()

    def save(self, step: int, keep: int = 9) -> Path:
        return self.run.save(1, step, state.for_training(self.model), keep)

    @staticmethod
    def values(model: AdversarialModel) -> dict[str, bytes]:
        parts = state.for_training(model).items()
        return {f"{part}/{name}": value.numpy().tobytes() for part, named in parts for name, value in named.items()}

    def test_a_restored_model_is_the_saved_one(self):
        self.model.train_step(tiny.clips("vgan", 4))
        self.save(1)
        saved = self.values(self.model)
        other = tiny.model("vgan")
        other.compile()
        loading.restore(self.run.latest(), state.for_training(other))
        self.assertEqual(saved, self.values(other))
        self.assertEqual(int(other.generator_optimizer.iterations), 1)

    def test_the_newest_is_taken_and_the_oldest_are_dropped(self):
        for step in (5, 30, 200):
            self.save(step, keep=2)
        self.assertEqual([c.step for c in self.run.list()], [30, 200])
        self.assertEqual(self.run.latest().step, 200)

    def test_any_damage_to_the_newest_falls_back_to_the_one_before(self):
        self.save(1)
        newest = self.save(2)
        files = sorted(newest.iterdir())
        self.assertEqual([f.name for f in files], ["manifest.json", "variables.data-00000-of-00001", "variables.index"])
        for file in files:
            content = file.read_bytes()
            for damage, damaged in self.damages(content):
                with self.subTest(file=file.name, damage=damage):
                    file.unlink() if damaged is None else file.write_bytes(damaged)
                    with self.assertLogs("tfvideogan", "WARNING") as logs:
                        self.assertEqual(run_folder.RunFolder(self.path).latest().step, 1)
                    self.assertLen(logs.output, 1)
                    said, _, reason = logs.output[0].partition(f"{newest} is passed over: ")
                    self.assertEndsWith(said, "checkpoint ")
                    self.assertNotEmpty(reason)
                    if file.name != "manifest.json":  # whose damage may be told as that of its text
                        self.assertIn(file.name, reason)
                    file.write_bytes(content)
        self.assertEqual(self.run.latest().step, 2)

    @staticmethod
    def damages(content: bytes) -> Iterator[tuple[str, bytes | None]]:
        """A file's content truncated, with one bit flipped at each of 100 random places, and gone."""
        for percent in (0, 50, 99):
            yield f"cut to {percent} %", content[: len(content) * percent // 100]
        for bit in np.random.default_rng(0).choice(8 * len(content), 100, replace=False).tolist():
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            yield f"bit {bit}", bytes(flipped)
        yield "deleted", None

    def test_provenance_comes_back(self):
        provenance = Provenance(clips=40, batch_size=8, restores=2, replicas=8, hosts=4)
        self.run.save(1, 5, state.for_training(self.model), 9, provenance)
        self.assertEqual(self.run.latest().provenance, provenance)
        self.save(6)
        self.assertEqual(
            self.run.latest().provenance, Provenance(clips=0, batch_size=0, restores=0, replicas=1, hosts=1)
        )

    def test_a_save_that_fails_leaves_nothing_behind(self):
        self.save(1)

        def full(_, prefix):  # as a disk that fills up: a part is written
            Path(prefix).parent.mkdir()
            Path(f"{prefix}.data-00000-of-00001").write_bytes(b"a part")
            raise error

        errors = (OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(None, None, "No space left"))
        for error in errors:
            with self.subTest(type(error).__name__):
                full_disk = mock.patch.object(tf.train.Checkpoint, "write", full)
                with full_disk, self.assertRaisesRegex(OSError, "step00000002 cannot be written: .*No space left"):
                    self.save(2, keep=1)
                self.assertEqual([p.name for p in self.run.checkpoints_dir.iterdir()], ["stage1-step00000001"])
        self.assertEqual(self.run.latest().step, 1)

    def test_a_failed_save_of_the_same_step_leaves_the_earlier_one(self):
        self.save(1)
        with mock.patch.object(manifest, "sealed", side_effect=OSError("full")), self.assertRaises(OSError):
            self.save(1)
        self.assertEqual(self.run.latest().step, 1)
        self.assertLen(list(self.run.checkpoints_dir.iterdir()), 1)

    def test_a_file_in_the_way_is_an_error(self):
        self.run.checkpoints_dir.write_bytes(b"")  # permissions would not stop root
        with self.assertRaises(OSError):
            self.save(1)
        self.assertEqual(self.run.checkpoints_dir.read_bytes(), b"")

    def test_a_step_may_be_saved_again(self):
        self.save(1)
        self.model.train_step(tiny.clips("vgan", 4))
        self.save(1)
        self.save(2)
        self.assertEqual([p.name[-1] for p in sorted(self.run.checkpoints_dir.iterdir())], ["1", "2"])

    def test_a_later_checkpoint_that_is_damaged_costs_no_good_one_its_place(self):
        self.save(1)
        (self.save(9) / "variables.index").write_bytes(b"")
        self.save(2, keep=1)
        with self.assertLogs("tfvideogan", "WARNING"):
            self.assertEqual(self.run.latest().step, 2)
        self.assertEqual([c.step for c in self.run.list()], [2, 9])

    def test_nothing_but_damaged_checkpoints_is_an_error(self):
        (self.save(1) / "variables.index").write_bytes(b"")
        with self.assertLogs("tfvideogan", "WARNING"), self.assertRaisesRegex(DamagedError, "damaged"):
            self.run.latest()

    def test_an_unfinished_save_does_not_count(self):
        self.save(1)
        unfinished = self.run.checkpoints_dir / ".stage1-step00000002.part"
        shutil.copytree(self.run.latest().path, unfinished)
        self.assertEqual([c.step for c in self.run.list()], [1])

    def test_an_unfinished_save_does_not_count_on_object_stores(self):
        """They cannot rename: there a save is complete with its manifest."""
        with mock.patch.object(paths, "is_remote", return_value=True):
            (self.save(1) / "manifest.json").unlink()
            self.assertIsNone(self.run.latest())
            self.save(2)
            self.assertEqual([c.step for c in self.run.list()], [2])
            self.save(1)
            self.assertEqual([c.step for c in self.run.list()], [1, 2])

    def test_all_is_on_disk_before_the_folder_gets_its_name(self):
        synced, final = [], self.run.checkpoints_dir / "stage1-step00000001"
        part = self.run.checkpoints_dir / ".stage1-step00000001.part"

        def fsync(descriptor: int) -> None:
            synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), final.exists()))

        with mock.patch.object(os, "fsync", fsync):
            files = [str(part / file.name) for file in self.save(1).iterdir()]
        self.assertLen(files, 3)
        expected = [*[(name, False) for name in [*files, str(part)]], (str(self.run.checkpoints_dir), True)]
        self.assertCountEqual(synced, expected)

    def test_an_old_checkpoint_that_cannot_be_removed_is_told(self):
        self.save(1)
        refused = mock.patch.object(paths, "remove_folder", side_effect=PermissionError("not yours"))
        with refused, self.assertLogs("tfvideogan", "WARNING") as logs:
            self.save(2, keep=1)
        self.assertIn("stage1-step00000001 cannot be removed: not yours", logs.output[0])
        self.assertEqual(self.run.latest().step, 2)

    def test_load_model_gives_what_samples(self):
        for ema in (0.0, 0.9):
            path = Path(self.create_tempdir().full_path) / "run"
            run = run_folder.RunFolder(path)
            run.write_config(tiny.config("vgan", ema=ema))
            model = tiny.model("vgan", ema=ema)
            model.compile()
            model.train_step(tiny.clips("vgan", 4))
            run.save(1, 1, state.for_training(model), 1)
            loaded, checkpoint = loading.load_model(path)
            latents = tf.random.stateless_normal([2, 100], [1, 1])
            self.assertAllEqual(loaded(latents)["clip"], model(latents)["clip"])
            self.assertEqual(checkpoint.step, 1)
            self.assertEqual(loading.weights_sha256(loaded), loading.weights_sha256(model))

    def test_the_weights_checksum_changes_with_a_weight(self):
        before = loading.weights_sha256(self.model)
        self.model.generator.trainable_variables[0].assign_add(
            tf.ones_like(self.model.generator.trainable_variables[0]) * 1e-6
        )
        self.assertNotEqual(loading.weights_sha256(self.model), before)

    def test_a_folder_of_another_model_is_refused(self):
        for option in ({"base_width": 3}, {"frame_size": 32}, {"num_frames": 8}, {"ema": 0.5}):
            with self.subTest(**option), self.assertRaisesRegex(UsageError, next(iter(option))):
                run_folder.RunFolder.for_training(self.path, tiny.config("vgan", **option))
        with self.assertRaisesRegex(UsageError, "--model=vgan"):
            run_folder.RunFolder.for_training(self.path, tiny.config("mdgan"))
        self.assertEqual(self.run.config(), self.config)

    def test_other_options_may_change_and_are_logged(self):
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            run_folder.RunFolder.for_training(self.path, tiny.config("vgan", steps=9))
        self.assertIn("--steps=4", logs.output[0])

    def test_a_folder_with_other_files_is_left_alone(self):
        other = Path(self.create_tempdir().full_path)
        (other / "holiday.txt").write_text("mine")
        with self.assertRaisesRegex(UsageError, "other files"):
            run_folder.RunFolder.for_training(other, self.config)
        self.assertEqual([path.name for path in other.iterdir()], ["holiday.txt"])

    def test_a_run_killed_before_its_options_were_written_can_be_begun_again(self):
        folder = Path(self.create_tempdir().full_path)
        (folder / ".config.json.4711.part").write_text("{")
        run = run_folder.RunFolder.for_training(folder, self.config)
        run.write_config(self.config)
        self.assertEqual(run.config().flat()["model"], "vgan")

    def test_opening_what_is_no_run_says_so(self):
        with self.assertRaisesRegex(UsageError, "tfvideogan.train"):
            loading.load_model(self.create_tempdir().full_path)
        with self.assertRaisesRegex(UsageError, "no checkpoint"):
            loading.load_model(self.path)
        for text in ("", "{", "[]", json.dumps({"model": {}}), '{"model": 1, "data": 2, "train": 3}'):
            (self.path / "config.json").write_text(text)
            with self.subTest(text), self.assertRaisesRegex(UsageError, "config.json"):
                run_folder.RunFolder.open(self.path)

    def test_a_checkpoint_of_another_width_is_refused(self):
        self.save(1)
        text = (self.path / "config.json").read_text()
        (self.path / "config.json").write_text(text.replace('"base_width": 2', '"base_width": 3'))
        with self.assertRaisesRegex(UsageError, "another model"):
            loading.load_model(self.path)


if __name__ == "__main__":
    tf.test.main()
