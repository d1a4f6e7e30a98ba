"""The loop: what it writes, and that it stops when asked."""

import json
import logging
import os
import signal
import threading
import time
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers import tiny
from tests.helpers.made_files import write_dataset
from tests.training.case import TrainingTest
from tfvideogan.config import UsageError
from tfvideogan.data import clips, records
from tfvideogan.files import pictures
from tfvideogan.runs import loading, run_folder, state
from tfvideogan.training import assembly, estimation, loop, runtime

SAMPLED = {"model": "vgan", "sample_every": 2}  # of the run that most tests here look at


class LoopTest(TrainingTest):
    def test_every_model_trains_all_its_stages(self):
        for name, stages in tiny.STAGES.items():
            options = {"vgan": SAMPLED, "mdgan": {"model": "mdgan", "refine_steps": 3}}.get(name, {"model": name})
            run_dir = self.copy_of_a_run(name, **options)
            model, checkpoint = loading.load_model(run_dir)
            self.assertEqual((checkpoint.stage, checkpoint.step), (stages[-1], 3 if name == "mdgan" else 4))
            for variable in model.generator.variables:
                self.assertAllEqual(tf.math.is_finite(variable.value), tf.ones(variable.shape, bool))

    def test_a_signal_while_steps_are_skipped_waits_for_one_that_is_finite(self):
        skip = logging.getLogger("tfvideogan.training.stage")

        def ask(record: logging.LogRecord) -> bool:
            if "the update is skipped" in record.getMessage():
                os.kill(os.getpid(), signal.SIGTERM)
            return True

        skip.addFilter(ask)
        self.addCleanup(skip.removeFilter, ask)
        config = tiny.config("vgan_one_stream", steps=99, checkpoint_every=99)
        with self.not_finite_at(3, 4, 5), self.assertLogs("tfvideogan", "WARNING"):
            self.assertEqual(loop.train(config, self.folder / "asked"), 128 + signal.SIGTERM)
        self.assertEqual(run_folder.RunFolder(self.folder / "asked").latest().step, 7)

    def test_a_profile_is_of_the_steps_that_were_asked_for(self):
        run_dir, config = self.folder / "profile", tiny.config("vgan_one_stream", steps=4)
        self.assertEqual(loop.train(config, run_dir, profile=range(1, 3)), 0)
        self.assertLen(list(run_dir.rglob("*.xplane.pb")), 1)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            loop.train(tiny.config("vgan_one_stream", steps=5), run_dir, profile=range(1, 3))
        self.assertIn("no profile: steps 4 to 5 do not begin in this run", logs.output[-1])
        self.assertLen(list(run_dir.rglob("*.xplane.pb")), 1)

    def test_a_checkpoint_waits_until_a_step_is_finite(self):
        with self.not_finite_at(3, 4), self.assertLogs("tfvideogan", "WARNING") as logs:  # the 4th and 5th step
            run_dir = self.train("waits", steps=10, checkpoint_every=4, keep=9, sample_every=99, log_every=1)
        self.assertEqual([c.step for c in run_folder.RunFolder(run_dir).list()], [0, 6, 8, 10])
        self.assertEqual(["in a row" in line for line in logs.output], [True, True])
        lines = [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]
        self.assertEqual([line["skipped"] for line in lines], [0, 0, 0, 1, 2, 2, 2, 2, 2, 2])
        self.assertEqual([line["step"] for line in lines if line["d_loss"] is None], [4, 5])

    def test_fit_and_the_loop_give_the_same_weights_and_optimizers(self):
        for name in ("vgan", "mdgan"):
            with self.subTest(name):
                config = tiny.config(name, steps=4, **({"refine_steps": 0} if name == "mdgan" else {}))
                run_dir = self.folder / name
                self.assertEqual(loop.train(config, run_dir), 0)
                setup = runtime.open_runtime(config.train, config.data.batch_size)
                looped, fitted = (assembly.new_model(config, setup, 1) for _ in range(2))
                untrained = self.trained(looped)
                loading.restore(run_folder.RunFolder(run_dir).latest(), state.for_training(looped))
                batches = assembly.batches(config, assembly.open_data(config), config.train.seed).take(4)
                # TensorFlow multiplies by the reciprocal in a graph, as the loop's, where it divides elsewhere.
                to_float = tf.function(clips.to_float)
                given = tf.concat([to_float(batch) for batch in batches], axis=0)
                fitted.fit(given, batch_size=config.data.batch_size, shuffle=False, verbose=0)
                self.assertEqual(int(fitted.step), 4)
                by_loop, by_fit = self.trained(looped), self.trained(fitted)
                self.assertTrue(by_loop == by_fit)  # assertEqual would look for the differing bytes for minutes.
                moved = [was != now for was, now in zip(untrained, by_loop, strict=True)]
                self.assertGreater(sum(moved), len(moved) // 2)

    def test_a_report_is_read_after_the_next_step_has_begun_unless_something_is_due(self):
        begun, read = [], []

        def step_function(*parts):
            step = assembly_step_function(*parts)

            def counted(batch, number, *more):
                begun.append(number)
                return step(batch, number, *more)

            return counted

        def skipped_in_a_row(report):
            read.append((report.step, begun[-1]))
            return 0

        assembly_step_function = assembly.step_function
        with (
            mock.patch.object(assembly, "step_function", step_function),
            mock.patch.object(assembly.StepReport, "skipped_in_a_row", property(skipped_in_a_row)),
        ):
            self.train("late", steps=8, log_every=4, sample_every=99, checkpoint_every=99)
        late = [(1, 2), (2, 3), (3, 4), (4, 4)]
        self.assertEqual(read, late + [(step + 4, number + 4) for step, number in late])

    def test_it_writes_pictures_that_move_and_scalars(self):
        run_dir = self.copy_of_a_run("pictures", **SAMPLED)
        gifs = sorted((run_dir / "samples").glob("*.gif"))
        self.assertEqual([g.name for g in gifs], ["stage1-step00000002.gif", "stage1-step00000004.gif"])
        with Image.open(gifs[-1]) as gif:
            self.assertEqual(gif.n_frames, tiny.FRAMES)
        events = EventAccumulator(str(run_dir / "tensorboard" / "stage1"), {"tensors": 0, "images": 0})
        events.Reload()
        losses = {tag for tag in events.Tags()["tensors"] if tag.startswith("losses/")}
        self.assertEqual(losses, {f"losses/{n}" for n in (
            "d_loss", "g_loss", "d_real", "d_fake", "g_adversarial", "g_mask_prior")})  # fmt: skip
        self.assertEqual([e.step for e in events.Tensors("losses/d_loss")], [2, 4])
        self.assertContainsSubset(
            {"d_score_real", "d_score_fake", "g_learning_rate", "d_learning_rate"}, events.Tags()["tensors"]
        )
        picture = tf.make_ndarray(events.Tensors("samples")[-1].tensor_proto)
        self.assertEqual(picture[2], gifs[-1].read_bytes())
        with Image.open(gifs[-1]) as gif:
            self.assertEqual((int(picture[0]), int(picture[1])), gif.size)

    def test_a_checkpoint_before_the_first_step_then_regular_ones(self):
        run_dir = self.train("regular", steps=25, checkpoint_every=20, keep=9, sample_every=99)
        self.assertEqual([c.step for c in run_folder.RunFolder(run_dir).list()], [0, 20, 25])

    def test_inference_statistics_are_re_estimated_at_the_end(self):
        run_dir = self.copy_of_a_run("statistics", **SAMPLED)
        model, _ = loading.load_model(run_dir)
        before = [w.copy() for w in model.generator.get_weights()]
        config = tiny.config("vgan")
        batches = assembly.batches(config, assembly.open_data(config), seed=0)
        model.estimate_batch_statistics(batches.take(estimation.FINAL_BATCHES).map(clips.to_float))
        for a, b in zip(before, model.generator.get_weights(), strict=True):
            self.assertAllClose(a, b, atol=1e-6)

    def test_a_signal_leaves_a_checkpoint_of_the_step_it_came_at(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            run_dir = self.folder / f"signal{number}"
            config = tiny.config("vgan_one_stream", steps=10**6, checkpoint_every=10)

            def interrupt(run_dir=run_dir, number=number):
                for _ in range(600):
                    if (run_dir / "checkpoints" / "stage1-step00000010").exists():
                        os.kill(os.getpid(), number)
                        return
                    time.sleep(0.1)

            thread = threading.Thread(target=interrupt)
            thread.start()
            with self.assertLogs("tfvideogan", "WARNING"):
                self.assertEqual(loop.train(config, run_dir), 128 + number)
            thread.join()
            self.assertGreaterEqual(run_folder.RunFolder(run_dir).latest().step, 10)

    def test_the_first_batches_differ_with_the_seed_only(self):
        runs = [
            self.copy_of_a_run("seed0", **SAMPLED),
            *(self.train(f"again{seed}", model="vgan", seed=seed) for seed in (0, 1)),
        ]
        digests = [self.digest(run_dir) for run_dir in runs]
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_a_record_that_does_not_decode_is_told_in_one_line(self):
        shard = self.folder / "train-00000-of-00001.tfrecord"
        with tf.io.TFRecordWriter(str(shard)) as writer:
            noise = np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3], np.uint8)
            whole = pictures.encode_strip(noise, pictures.StripEncoding("png"))
            for strip in (whole, whole[:-400]):
                writer.write(records.example(strip, 4, "made", 0))
        said = rf"^--data {shard} cannot be read on \({shard}: record 1: .* Invalid PNG.*\); .*verify_data"
        with self.assertRaisesRegex(UsageError, said):
            self.train("damaged", data=str(shard))

    def test_a_shard_that_vanishes_after_the_start_is_told_in_one_line(self):
        noise = np.random.default_rng(0).integers(0, 256, [2, 3, 4, 16, 16, 3], np.uint8)
        shards = write_dataset(self.folder / "set", {"train": list(noise)})
        open_data = assembly.open_data

        def opened(config):
            sources = open_data(config)
            shards[0].unlink()
            return sources

        said = rf"^--data {self.folder}/set cannot be read on \({shards[0]}: .*No such file.*\); .*verify_data"
        with mock.patch.object(assembly, "open_data", opened), self.assertRaisesRegex(UsageError, said):
            self.train("vanished", data=str(self.folder / "set"))

    def test_samples_show_every_stream(self):
        run_dir = self.copy_of_a_run("streams", **SAMPLED)
        with Image.open(next((run_dir / "samples").glob("*.gif"))) as gif:
            frame = np.asarray(gif.convert("RGB"))
        rows = 5  # clip, foreground, mask, masked foreground, background
        self.assertEqual(frame.shape[0] % rows, 0)
        self.assertGreater(frame.shape[0] // rows, 90)


if __name__ == "__main__":
    tf.test.main()
