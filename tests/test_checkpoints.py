"""A run folder: whole checkpoints only, damage found, earlier ones taken, other models refused."""

import json
import shutil
from pathlib import Path

import tensorflow as tf
import tiny

from tfvideogan import checkpoints
from tfvideogan.config import DamagedError, UsageError


class RunFolderTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path) / "run"
        self.config = tiny.config("vgan")
        self.run = checkpoints.RunFolder.for_training(self.path, self.config)
        self.run.write_config(self.config)
        self.model = tiny.model("vgan")
        self.model.compile()

    def save(self, step: int, keep: int = 9) -> Path:
        return self.run.save(1, step, self.model.training_state(), keep)

    def test_a_restored_model_is_the_saved_one(self):
        self.model.train_step(tiny.clips("vgan", 4))
        self.save(1)
        saved = [v.numpy() for part in self.model.training_state().values() for v in part]
        other = tiny.model("vgan")
        other.compile()
        checkpoints.restore(self.run.latest(), other.training_state())
        restored = [v.numpy() for part in other.training_state().values() for v in part]
        self.assertAllEqual(len(saved), len(restored))
        for a, b in zip(saved, restored, strict=True):
            self.assertAllEqual(a, b)
        self.assertEqual(int(other.generator_optimizer.iterations), 1)

    def test_the_newest_is_taken_and_the_oldest_are_dropped(self):
        for step in (5, 30, 200):
            self.save(step, keep=2)
        self.assertEqual([c.step for c in self.run.list()], [30, 200])
        self.assertEqual(self.run.latest().step, 200)

    def test_any_damage_to_the_newest_falls_back_to_the_one_before(self):
        self.save(1)
        newest = self.save(2)
        for file in sorted(newest.iterdir()):
            content = file.read_bytes()
            middle = len(content) // 2
            flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            for name, damaged in (("emptied", b""), ("cut", content[:middle]), ("one bit", flipped), ("deleted", None)):
                with self.subTest(file=file.name, damage=name):
                    file.unlink() if damaged is None else file.write_bytes(damaged)
                    with self.assertLogs("tfvideogan", "WARNING") as logs:
                        self.assertEqual(self.run.latest().step, 1)
                    self.assertIn("step00000002", logs.output[0])
                    file.write_bytes(content)
        self.assertEqual(self.run.latest().step, 2)

    def test_nothing_but_damaged_checkpoints_is_an_error(self):
        (self.save(1) / "variables.index").write_bytes(b"")
        with self.assertLogs("tfvideogan", "WARNING"), self.assertRaisesRegex(DamagedError, "damaged"):
            self.run.latest()

    def test_an_unfinished_save_does_not_count(self):
        self.save(1)
        unfinished = self.run.checkpoints_dir / ".stage1-step00000002.part"
        shutil.copytree(self.run.latest().path, unfinished)
        self.assertEqual([c.step for c in self.run.list()], [1])

    def test_load_model_gives_what_samples(self):
        for ema in (0.0, 0.9):
            path = Path(self.create_tempdir().full_path) / "run"
            run = checkpoints.RunFolder(path)
            run.write_config(tiny.config("vgan", ema=ema))
            model = tiny.model("vgan", ema=ema)
            model.compile()
            model.train_step(tiny.clips("vgan", 4))
            run.save(1, 1, model.training_state(), 1)
            loaded, checkpoint = checkpoints.load_model(path)
            latents = tf.random.stateless_normal([2, 100], [1, 1])
            self.assertAllEqual(loaded(latents)["clip"], model(latents)["clip"])
            self.assertEqual(checkpoint.step, 1)
            self.assertEqual(checkpoints.weights_sha256(loaded), checkpoints.weights_sha256(model))

    def test_the_weights_checksum_changes_with_a_weight(self):
        before = checkpoints.weights_sha256(self.model)
        self.model.generator.trainable_variables[0].assign_add(
            tf.ones_like(self.model.generator.trainable_variables[0]) * 1e-6
        )
        self.assertNotEqual(checkpoints.weights_sha256(self.model), before)

    def test_a_folder_of_another_model_is_refused(self):
        for option in ({"base_width": 3}, {"frame_size": 32}, {"num_frames": 8}, {"ema": 0.5}):
            with self.subTest(**option), self.assertRaisesRegex(UsageError, next(iter(option))):
                checkpoints.RunFolder.for_training(self.path, tiny.config("vgan", **option))
        with self.assertRaisesRegex(UsageError, "--model=vgan"):
            checkpoints.RunFolder.for_training(self.path, tiny.config("mdgan"))
        self.assertEqual(self.run.config(), self.config)

    def test_other_options_may_change_and_are_logged(self):
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            checkpoints.RunFolder.for_training(self.path, tiny.config("vgan", steps=9))
        self.assertIn("--steps=4", logs.output[0])

    def test_a_folder_with_other_files_is_left_alone(self):
        other = Path(self.create_tempdir().full_path)
        (other / "holiday.txt").write_text("mine")
        with self.assertRaisesRegex(UsageError, "other files"):
            checkpoints.RunFolder.for_training(other, self.config)
        self.assertEqual([path.name for path in other.iterdir()], ["holiday.txt"])

    def test_opening_what_is_no_run_says_so(self):
        with self.assertRaisesRegex(UsageError, "tfvideogan.train"):
            checkpoints.load_model(self.create_tempdir().full_path)
        with self.assertRaisesRegex(UsageError, "no checkpoint"):
            checkpoints.load_model(self.path)
        for text in ("", "{", "[]", json.dumps({"model": {}}), '{"model": 1, "data": 2, "train": 3}'):
            (self.path / "config.json").write_text(text)
            with self.subTest(text), self.assertRaisesRegex(UsageError, "config.json"):
                checkpoints.RunFolder.open(self.path)

    def test_a_checkpoint_of_another_width_is_refused(self):
        self.save(1)
        text = (self.path / "config.json").read_text()
        (self.path / "config.json").write_text(text.replace('"base_width": 2', '"base_width": 3'))
        with self.assertRaisesRegex(UsageError, "another model"):
            checkpoints.load_model(self.path)


if __name__ == "__main__":
    tf.test.main()
