"""Data sets made of folders: jobs that are killed go on, and leave no trace in the records."""

import collections
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

from tests.data.case import SMALL, PrepareTest, files, prepared, tiny_inputs
from tests.helpers import ROOT, evil_makers, made_files
from tests.helpers.made_files import numbered, write_pictures, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import description, plan, prepare, progress, records
from tfvideogan.data.inputs import find_inputs


class KilledTest(PrepareTest):
    def test_workers_and_kills_leave_no_trace_in_the_records(self):
        """Two workers are killed half-way, one goes on, and one that was left alone has made the same files."""
        folder = self.root / "in"
        for i in range(28):
            write_video(folder / f"video{i}.mp4", evil_makers.textured(12, 192))
        cut = made_files.cut(write_video(folder / "cut.mkv", evil_makers.textured(12)), 0.7).name
        alone, killed = self.root / "alone", self.root / "killed"
        undisturbed = prepared(alone, folder, stride=4)
        self.assertLen(undisturbed["sources"], 29)
        self.assertEqual([s["name"] for s in undisturbed["sources"] if s["problems"]], [cut])
        shards = sum(len(of_split) for of_split in undisturbed["shards"].values())
        self.assertGreater(shards, 3)

        done = self.kill_two_workers(folder, killed)
        self.assertEqual([path.name for path in killed.iterdir()], [records.UNFINISHED])
        self.assertBetween(len(done), 2, shards - 1)
        before = [path.stat() for path in done]
        with self.assertLogs("tfvideogan.data.prepare", "INFO") as logs:
            prepared(killed, folder, stride=4)
        self.assertIn("going on with the unfinished job", logs.output[0])
        self.assert_same_files(killed, alone)
        times = {path.stat().st_ino: path.stat().st_mtime_ns for path in killed.glob("*.tfrecord")}
        for stat in before:  # what was finished is not made again
            self.assertEqual(times.get(stat.st_ino), stat.st_mtime_ns)

    def kill_two_workers(self, folder: Path, output: Path) -> list[Path]:
        """Kills the command and its workers when two shards are done; returns all shards that are done."""
        arguments = [f"--input={folder}", f"--output={output}", "--split=train:0.5,test:0.5", "--workers=2", *SMALL]
        temporary = self.root / "tmp"
        temporary.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "tfvideogan.prepare_data", *arguments], cwd=ROOT, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(temporary)},
        )  # fmt: skip
        unfinished = output / records.UNFINISHED
        deadline = time.monotonic() + 120
        while len(list(unfinished.glob("t*.json"))) < 2 and time.monotonic() < deadline:
            self.assertIsNone(process.poll(), "it ended before it was killed")
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.assertEqual(files(temporary), {})
        return [path.with_suffix(".tfrecord") for path in unfinished.glob("t*.json")]

    def test_killed_while_the_final_names_are_given(self):
        folder, alone = tiny_inputs(self.root / "in", 12), self.root / "alone"
        prepared(alone, folder)
        whole = files(alone)
        self.assertGreater(len(whole), 2)
        for renamed in range(len(whole)):  # so many shards have their names; with the last dataset.json is written
            output = self.root / f"renamed {renamed}"
            with self.subTest(renamed), self.assertRaises(SystemExit), self.killed_after(output, renamed):
                prepared(output, folder)
            names = {path.name for path in output.iterdir()} - {records.UNFINISHED}
            self.assertLen(names, renamed)
            self.assertNotIn(records.DATASET, names)
            with self.assertRaisesRegex(UsageError, "not finished"):
                records.find_shards(str(output))
            prepared(output, folder)
            self.assert_same_files(output, alone)
        output = self.root / "not tidied"
        with mock.patch.object(prepare.paths, "remove_folder", side_effect=SystemExit), self.assertRaises(SystemExit):
            prepared(output, folder)
        self.assertTrue((output / records.DATASET).exists() and (output / records.UNFINISHED).exists())
        prepared(output, folder)
        self.assert_same_files(output, alone)

    @contextlib.contextmanager
    def killed_after(self, output: Path, renamed: int):
        """Ends the process, as a kill would, once so many shards have their final names."""
        move, write = prepare.paths.move, prepare.atomic.write_bytes

        def moved(source, target):
            if str(Path(target).parent) == str(output) and len(list(output.glob("*.tfrecord"))) == renamed:
                raise SystemExit
            move(source, target)

        def written(path, content):
            if Path(path).name == records.DATASET:
                raise SystemExit
            write(path, content)

        with mock.patch.object(prepare.paths, "move", moved), mock.patch.object(prepare.atomic, "write_bytes", written):
            yield

    def test_another_folder_does_not_go_on_with_a_job(self):
        one, other = tiny_inputs(self.root / "one", 3), tiny_inputs(self.root / "other", 3)
        with mock.patch.object(prepare, "_publish", side_effect=SystemExit), self.assertRaises(SystemExit):
            prepared(self.output, one)
        with self.assertRaisesRegex(UsageError, "other options or inputs"):
            prepared(self.output, other)
        prepared(self.output, one)

    def test_a_complete_set_is_not_overwritten_whatever_a_kill_left_beside_it(self):
        folder = tiny_inputs(self.root / "in", 3)
        prepared(self.output, folder)
        (self.output / records.UNFINISHED).mkdir()
        before = files(self.output)
        with self.assertRaisesRegex(UsageError, "already holds a data set"):
            prepared(self.output, folder, stride=2)
        self.assertEqual(files(self.output), before)

    def test_what_a_killed_writer_left_is_written_anew(self):
        folder, alone = tiny_inputs(self.root / "in", 12), self.root / "alone"
        prepared(alone, folder)
        with mock.patch.object(prepare, "_run", side_effect=SystemExit), self.assertRaises(SystemExit):
            prepared(self.output, folder)
        half = self.output / records.UNFINISHED
        (half / "train-00000.tfrecord.part").write_bytes(b"half of it")
        (half / "train-00001.tfrecord").write_bytes(b"a shard without its report")
        prepared(self.output, folder)
        self.assert_same_files(self.output, alone)


class StabilizeTest(PrepareTest):
    def test_segments_that_cannot_be_held_still_are_dropped_and_counted(self):
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, [8, 64, 64, 3], np.uint8)  # no frame has anything to do with the next
        still = np.repeat(noise[:1], 8, axis=0)
        write_pictures(self.root / "in" / "noise", noise)
        write_pictures(self.root / "in" / "still", still)
        dataset = prepared(self.output, self.root / "in", stabilize=True)
        self.assertEqual([source["name"] for source in dataset["sources"]], ["still"])
        self.assertEqual([entry["name"] for entry in dataset["rejected"]], ["noise"])
        self.assertEqual(sum(dataset["not_stabilised"].values()), 2)  # windows of 4 frames
        self.assertIn("dropped   ", description.report(dataset, 1.0))


class FoldersTest(PrepareTest):
    def test_several_folders_are_told_apart_by_their_names(self):
        one, other = tiny_inputs(self.root / "one", 2), tiny_inputs(self.root / "other", 1)
        (other / "notes.md").touch()
        (other / "link.mp4").symlink_to("gone")
        dataset = prepared(self.output, one, other)
        self.assertEqual(
            [s["name"] for s in dataset["sources"]], ["one/strip0x.png", "one/strip1x.png", "other/strip0x.png"]
        )
        self.assertEqual(dataset["rejected"], [{"name": "other/link.mp4", "reason": "a link to nothing"}])
        self.assertEqual(dataset["ignored"], ["other/notes.md"])

    def test_windows_and_parts_of_one_video_stay_together(self):
        folder = self.root / "in"
        for i in range(6):
            write_video(folder / f"long{i}.mp4", numbered(range(12)))
            for part in range(2):  # the layout of the Sky Time-lapse data, and strips that were cut from one video
                write_pictures(folder / f"sky{i}" / f"sky{i}_{part}", numbered(range(4)))
                write_strip(folder / "strips" / f"walk{i}_{part}.png", numbered(range(4)))
        dataset = prepared(self.output, folder)
        self.assertEqual((dataset["inputs"], dataset["used"]), (30, 30))
        of_video = collections.defaultdict(set)
        for source in dataset["sources"]:
            of_video[source["name"].replace("strips/", "").split("_")[0].split("/")[0]].add(source["split"])
        self.assertLen(of_video, 18)
        self.assertEqual({len(splits) for splits in of_video.values()}, {1})
        self.assertEqual(set.union(*of_video.values()), {"train", "test"})
        for path in self.output.glob("*.tfrecord"):  # the records are where their source says
            for record in records.scan(path):
                source = records.describe(record)["source"]
                (split,) = [s["split"] for s in dataset["sources"] if s["name"] == source]
                self.assertStartsWith(path.name, split)

    def test_a_shard_of_rejected_inputs_only_leaves_no_file(self):
        """Nine inputs are two shards; all of one of them are bad."""
        folder = tiny_inputs(self.root / "in", 9)
        first, second = plan.plan(find_inputs(str(folder)).inputs, (("all", 1.0),))
        for item in first.inputs:
            made_files.cut(Path(item.files[0]), 0.5)
        dataset = prepared(self.output, folder, splits=(("all", 1.0),))
        self.assertEqual([s["records"] for s in dataset["shards"]["all"]], [len(second.inputs)])
        self.assertEqual({p.name for p in self.output.iterdir()}, {records.DATASET, "all-00000-of-00001.tfrecord"})
        self.assertLen(dataset["rejected"], len(first.inputs))

    def test_a_worker_that_fails_ends_the_job_in_one_line_and_it_goes_on(self):
        folder, log = tiny_inputs(self.root / "in", 3), self.output / records.UNFINISHED / progress.LOG
        message = f"^the pipeline ended .*disk full.*; the same command goes on; see {log}$"
        full = mock.patch.object(records, "example", side_effect=OSError("disk full"))
        with full, self.assertRaisesRegex(UsageError, message):
            prepared(self.output, folder)
        self.assertIn("disk full", log.read_text())
        self.assertEqual([path.name for path in self.output.iterdir()], [records.UNFINISHED])
        self.assertEqual(prepared(self.output, folder)["used"], 3)
        self.assertFalse(log.exists())

    def test_a_full_disk_takes_no_log_either(self):
        full = OSError("disk full")
        no_log = mock.patch.object(progress.atomic, "write_bytes", side_effect=full)
        with no_log, self.assertRaisesRegex(UsageError, "the same command goes on$"), progress.quiet(self.output):
            raise full

    def test_nothing_is_left_outside_of_the_output_folder(self):
        temporary = self.root / "tmp"
        temporary.mkdir()
        with mock.patch.object(tempfile, "tempdir", str(temporary)):
            prepared(self.output, tiny_inputs(self.root / "in", 3))
            with self.assertRaises(KeyboardInterrupt), progress.quiet(self.root):
                raise KeyboardInterrupt
        self.assertEqual(files(temporary), {})
