"""What a training writes for its reader, and that a log that cannot be written ends nothing."""

import json
import resource
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.made_files import process_status
from tfvideogan.runs.journal import LOG, Journal


class JournalTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def journal(self, stage: int = 1, step: int = 0) -> Journal:
        journal = Journal(self.folder, stage, step)
        self.addCleanup(journal.close)
        return journal

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / LOG).read_text().splitlines()]

    def steps(self) -> list[tuple[int, int]]:
        return [(line["stage"], line["step"]) for line in self.lines()]

    def events(self, stage: int = 1) -> EventAccumulator:
        events = EventAccumulator(str(self.folder / "tensorboard" / f"stage{stage}"), {"tensors": 0})
        return events.Reload()

    def test_a_line_holds_the_losses_and_where_the_training_stands(self):
        journal = self.journal(stage=2)
        journal.write_losses(20, {"d_loss": 1.25, "g_loss": 0.5}, clips_per_second=12.5, skipped=3, restores=1)
        (line,) = self.lines()
        self.assertAlmostEqual(line.pop("time"), (self.folder / LOG).stat().st_mtime, delta=60)
        self.assertEqual(line.pop("d_loss"), 1.25)
        self.assertEqual(line.pop("g_loss"), 0.5)
        self.assertEqual(line, {"stage": 2, "step": 20, "clips_per_second": 12.5, "skipped": 3, "restores": 1})

    def test_a_line_is_there_as_soon_as_it_is_written(self):
        journal = self.journal()
        for step in (1, 2, 3):
            journal.write_losses(step, {"d_loss": 1.0}, 1.0, 0, 0)
            self.assertLen(self.lines(), step)

    def test_lines_leave_no_memory_behind(self):
        """TensorFlow keeps a tensor for each of Python's numbers it is given: that was 4 KB a line."""
        journal = self.journal()

        def write(first: int, lines: int) -> None:
            for step in range(first, first + lines):
                journal.write_losses(
                    step, {f"loss{i}": step + i / 8 for i in range(8)}, step / 3, skipped=step, restores=0
                )

        write(0, 300)
        before = process_status()["VmRSS"]
        write(300, 1500)
        self.assertLess(process_status()["VmRSS"] - before, 1500)

    def test_losses_of_no_finite_step_are_null_and_no_scalars(self):
        journal = self.journal()
        journal.write_losses(1, {"d_loss": None}, clips_per_second=2.0, skipped=1, restores=0)
        journal.write_losses(2, {"d_loss": 0.25}, clips_per_second=2.0, skipped=1, restores=0)
        journal.close()
        self.assertEqual([line["d_loss"] for line in self.lines()], [None, 0.25])
        self.assertEqual([event.step for event in self.events().Tensors("losses/d_loss")], [2])
        self.assertEqual([event.step for event in self.events().Tensors("skipped")], [1, 2])

    def test_tensorboard_gets_each_loss_the_rate_and_the_skipped_steps(self):
        journal = self.journal()
        journal.write_losses(40, {"d_loss": 1.5, "g_loss": 0.5}, clips_per_second=12.5, skipped=3, restores=1)
        journal.close()
        events = self.events()
        scalars = {tag: float(tf.make_ndarray(events.Tensors(tag)[0].tensor_proto)) for tag in events.Tags()["tensors"]}
        expected = {
            "losses/d_loss": 1.5,
            "losses/g_loss": 0.5,
            "clips_per_second": 12.5,
            "skipped": 3.0,
            "restores": 1.0,
        }
        self.assertEqual(scalars, expected)

    def test_lines_of_later_steps_go_when_a_run_goes_on(self):
        journal = self.journal()
        for step in (10, 20, 30):
            journal.write_losses(step, {"d_loss": 1.0}, 1.0, 0, 0)
        self.journal(step=20).write_losses(30, {"d_loss": 2.0}, 1.0, 0, 0)
        self.assertEqual([(line["step"], line["d_loss"]) for line in self.lines()], [(10, 1.0), (20, 1.0), (30, 2.0)])

    def test_lines_of_the_earlier_stage_stay(self):
        self.journal().write_losses(500, {"d_loss": 1.0}, 1.0, 0, 0)
        second = self.journal(stage=2)
        for step in (10, 20):
            second.write_losses(step, {"d_loss": 1.0}, 1.0, 0, 0)
        self.journal(stage=2, step=10)
        self.assertEqual(self.steps(), [(1, 500), (2, 10)])

    def test_a_line_that_was_cut_short_goes(self):
        journal = self.journal()
        for step in (10, 20):
            journal.write_losses(step, {"d_loss": 1.0}, 1.0, 0, 0)
        log = self.folder / LOG
        log.write_bytes(log.read_bytes()[:-9])
        self.journal(step=20).write_losses(20, {"d_loss": 1.0}, 1.0, 0, 0)
        self.assertEqual(self.steps(), [(1, 10), (1, 20)])

    def test_a_line_that_a_full_disk_cuts_short_spoils_no_other(self):
        journal = self.journal()
        journal.write_losses(1, {"d_loss": 1.0}, 1.0, 0, 0)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((self.folder / LOG).stat().st_size + 20, limits[1]))
        try:
            with self.assertLogs("tfvideogan", "ERROR") as logs:
                journal.write_losses(2, {"d_loss": 1.0}, 1.0, 0, 0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        self.assertIn(f"{LOG} could not be written, the run goes on: ", logs.output[0])
        journal.write_losses(3, {"d_loss": 1.0}, 1.0, 0, 0)
        self.assertEqual(self.steps(), [(1, 1), (1, 3)])

    def test_a_sample_is_a_moving_picture_and_tensorboards(self):
        journal = self.journal(stage=2)
        picture = np.random.default_rng(0).integers(0, 256, [4, 8, 16, 3], np.uint8)
        journal.write_sample(7, picture)
        path = self.folder / "samples" / "stage2-step00000007.gif"
        with Image.open(path) as gif:
            self.assertEqual((gif.n_frames, gif.size), (4, (16, 8)))
        (event,) = self.events(2).Tensors("samples")
        self.assertEqual(event.step, 7)
        width, height, data = tf.make_ndarray(event.tensor_proto)
        self.assertEqual((width, height), (b"16", b"8"))
        self.assertEqual(data, path.read_bytes())

    def test_what_cannot_be_written_is_told_and_the_run_goes_on(self):
        (self.folder / LOG).mkdir()  # in the way; permissions would not stop root
        (self.folder / "samples").write_bytes(b"")
        with self.assertLogs("tfvideogan", "ERROR") as logs:
            journal = self.journal()
            journal.write_losses(1, {"d_loss": 1.0}, 1.0, 0, 0)
            journal.write_sample(1, np.zeros([2, 8, 8, 3], np.uint8))
            journal.close()
        self.assertLen(logs.output, 3)  # as it begins, the line, the sample
        for said, what in zip(logs.output, (LOG, LOG, "the sample of step 1"), strict=True):
            self.assertIn(f"{what} could not be written, the run goes on: ", said)
        self.assertEqual([event.step for event in self.events().Tensors("losses/d_loss")], [1])

    def test_a_profile_is_written_where_tensorboard_looks(self):
        journal = self.journal()
        journal.start_profile()
        tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
        with self.assertLogs("tfvideogan", "INFO") as logs:
            journal.stop_profile()
        self.assertIn(str(self.folder / "tensorboard" / "stage1"), logs.output[0])
        (profile,) = self.folder.glob("tensorboard/stage1/plugins/profile/*/*.xplane.pb")
        self.assertGreater(profile.stat().st_size, 0)

    def test_a_profile_of_a_run_that_ends_early_is_written_too(self):
        journal = self.journal()
        journal.start_profile()
        journal.close()
        self.assertLen(list(self.folder.glob("tensorboard/stage1/plugins/profile/*/*.xplane.pb")), 1)
        journal.start_profile()  # the profiler is free again
        journal.stop_profile()


if __name__ == "__main__":
    tf.test.main()
