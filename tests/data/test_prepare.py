"""Folders to data sets: evil files, splits, killed jobs, refusals; the command in processes of its own."""

import collections
import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.helpers import ROOT, evil_files, made_files
from tests.helpers.made_files import numbered, numbers, write_pictures, write_strip, write_video
from tfvideogan.config import UsageError
from tfvideogan.data import description, plan, prepare, records
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.data.worker import Limits
from tfvideogan.files import pictures

SMALL = ["--frame_size=16", "--num_frames=4", "--encoding=png"]
IN_PROCESS = ["--runner=DirectRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


def start(command: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"tfvideogan.{command}", *map(str, arguments)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def run(command: str, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    process = start(command, *arguments)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def job(output: Path, **options) -> plan.Job:
    """One of clips of 4 frames of 16 x 16 pixels; `Job`'s and `Cutting`'s attributes can be given."""
    fields = {
        "limits": Limits(600.0, 2048),
        "encoding": pictures.StripEncoding("png"),
        "splits": (("train", 0.5), ("test", 0.5)),
    }
    fields |= {name: options.pop(name) for name in fields if name in options}
    return plan.Job(str(output), Cutting(16, 4, **options), **fields)


def prepared(output: Path, *roots: Path, **options) -> dict:
    return prepare.prepare(list(map(str, roots)), job(output, **options), IN_PROCESS)


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def clips_by_source(folder: Path) -> dict[str, list[tuple[int, list[int]]]]:
    """(start, the frames' numbers) of every record in order, by the name of its source."""
    found = collections.defaultdict(list)
    for shard in sorted(folder.glob("*.tfrecord")):
        for record in records.scan(shard):
            said = records.describe(record)
            clip = records.decode(tf.constant(record), said["frames"], said["size"]).numpy()
            found[said["source"]].append((said["start"], numbers(clip)))
    return found


def tiny_inputs(folder: Path, count: int) -> Path:
    """Strips of one clip of 16 x 16 pixels, no two of them alike; each is a video of its own."""
    for i in range(count):
        strip = numbered(range(4)).copy()
        strip[:, :8, :8] = [i % 256, i // 256, 0]
        write_strip(folder / f"strip{i}x.png", strip)
    return folder


class PrepareTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)
        self.output = self.root / "out"

    def assert_same_files(self, one: Path, other: Path) -> None:
        """Byte for byte."""
        found, expected = files(one), files(other)
        self.assertCountEqual(found, expected)
        self.assertEmpty([name for name, content in expected.items() if found[name] != content])


class EvilFilesTest(tf.test.TestCase):
    """All of them in one folder, beside good ones, in one run of the command."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        temporary = tempfile.TemporaryDirectory(prefix="tfvideogan evil é ")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder, cls.output = Path(temporary.name, "in"), Path(temporary.name, "out")
        cls.all = evil_files.GOOD | evil_files.EVIL
        evil_files.make(cls.folder, cls.all)
        cls.status, cls.out, cls.err = run(
            "prepare_data", f"--input={cls.folder}", f"--output={cls.output}", "--workers=1", *SMALL
        )
        if cls.status:
            raise AssertionError(cls.err)
        cls.dataset = json.loads((cls.output / records.DATASET).read_text(encoding="ascii"))
        cls.sources = {source["name"]: source for source in cls.dataset["sources"]}
        cls.rejected = {entry["name"]: entry["reason"] for entry in cls.dataset["rejected"]}

    def test_there_are_enough_of_them(self):
        evil = [entry for entry in evil_files.EVIL.values() if entry.reason is not None]
        self.assertGreater(len(evil), 30)

    def test_each_has_its_own_clear_outcome(self):
        clips = clips_by_source(self.output)
        for name, entry in self.all.items():
            with self.subTest(ascii(name)):
                self.assertEqual(name in self.dataset["ignored"], entry.ignored)
                if entry.ignored:
                    continue
                self.assertEqual(name in self.sources, bool(entry.clips), self.rejected.get(name))
                self.assertEqual(name in self.rejected, not entry.clips)
                problems = self.sources[name]["problems"] if entry.clips else [self.rejected[name]]
                self.assertLen(problems, 0 if entry.reason is None else 1, problems)
                if problems:
                    self.assertRegex(problems[0], entry.reason)
                    self.assertNotIn("Traceback", problems[0])
                    self.assertNotIn(str(self.folder), problems[0])
                self.assertEqual([frames for _, frames in clips.get(name, [])], entry.clips or [])
                self.assertEqual([start for start, _ in clips.get(name, [])], [c[0] for c in entry.clips or []])
                if entry.clips:
                    self.assertEqual(self.sources[name]["clips"], len(entry.clips))

    def test_no_input_is_lost_and_the_counts_add_up(self):
        expected = {name for name, entry in self.all.items() if not entry.ignored}
        expected |= {f"strips_{kind}/0.png" for kind in ("uneven", "cut", "square")}  # the good ones beside
        self.assertEqual(self.sources.keys() | self.rejected.keys(), expected)
        self.assertEmpty(self.sources.keys() & self.rejected.keys())
        self.assertLen(self.dataset["sources"], self.dataset["used"])
        self.assertEqual(self.dataset["used"] + len(self.dataset["rejected"]), self.dataset["inputs"])
        self.assertEqual(self.dataset["inputs"], len(expected))
        self.assertEqual(sum(self.dataset["clips"].values()), sum(s["clips"] for s in self.dataset["sources"]))
        for split, shards in self.dataset["shards"].items():
            self.assertEqual(sum(shard["records"] for shard in shards), self.dataset["clips"][split])
        names = {shard["name"] for shards in self.dataset["shards"].values() for shard in shards}
        self.assertEqual({path.name for path in self.output.iterdir()}, {records.DATASET, *names})

    def test_the_report_names_each_on_one_line(self):
        lines = self.out.splitlines()
        self.assertIn(
            f"{self.dataset['inputs']} inputs in 00:00:",
            lines[0],
        )
        self.assertIn(
            f"{len(self.sources)} used, {len(self.rejected)} rejected, {len(self.dataset['ignored'])} other", lines[0]
        )
        self.assertIn(f"train: {self.dataset['clips']['train']} clips, test:", lines[1])
        shown = {name: " ".join(name.encode("utf-8", "backslashreplace").decode().split()) for name in self.all}
        for name in self.rejected:
            self.assertLen([line for line in lines if line.startswith(f"rejected  {shown[name]}: ")], 1, name)
        in_part = [name for name, source in self.sources.items() if source["problems"]]
        for name in in_part:
            self.assertLen([line for line in lines if line.startswith(f"in part   {shown[name]}: ")], 1, name)
        self.assertLen(lines, 2 + len(self.rejected) + len(in_part))
        self.assertNotIn("Traceback", self.err)

    def test_the_progress_bar_reaches_every_input(self):
        decoded = self.dataset["inputs"] - len(
            [r for r in self.rejected.values() if r.startswith(("a link", "no file"))]
        )
        self.assertIn(f"{decoded}/{decoded}", self.err.splitlines()[-1].split("\r")[-1])

    def test_sources_have_their_checksums(self):
        good = self.sources["good0.mp4"]
        path = self.folder / "good0.mp4"
        self.assertEqual((good["sha256"], good["bytes"]), (sha256(path), path.stat().st_size))
        frames = [source["sha256"] for source in self.sources.values() if source["kind"] == "frames"]
        self.assertGreater(len(frames), 5)
        self.assertLen(set(frames), len(frames))  # of their content, and no two are alike

    def test_the_data_set_verifies(self):
        status, out, err = run("verify_data", f"--data={self.output}")
        self.assertEqual(status, 0, out + err)
        self.assertIn(", 0 problems", out)


class ManyInputsTest(PrepareTest):
    def test_three_bad_inputs_of_three_hundred_are_named(self):
        folder = tiny_inputs(self.root / "in", 300)
        bad = ["strip17x.png", "strip140x.png", "strip299x.png"]
        made_files.cut(folder / bad[0], 0)
        made_files.cut(folder / bad[1], 0.5)
        write_strip(folder / bad[2], numbered(range(1)))
        dataset = prepared(self.output, folder)
        self.assertEqual({entry["name"] for entry in dataset["rejected"]}, set(bad))
        self.assertEqual((dataset["inputs"], dataset["used"], sum(dataset["clips"].values())), (300, 297, 297))
        self.assertEqual(dataset, json.loads((self.output / records.DATASET).read_text()))
        told = description.report(dataset, seconds=3661.0).splitlines()
        self.assertStartsWith(told[0], "read      300 inputs in 01:01:01: 297 used, 3 rejected, 0 other files")
        self.assertEqual([line.split(": ")[0] for line in told[2:]], [f"rejected  {name}" for name in sorted(bad)])
        found = [name for name, clips in clips_by_source(self.output).items() for _ in clips]
        self.assertCountEqual(found, {f"strip{i}x.png" for i in range(300)} - set(bad))


class KilledTest(PrepareTest):
    def test_workers_and_kills_leave_no_trace_in_the_records(self):
        folder = self.root / "in"
        for i in range(28):
            write_video(folder / f"video{i}.mp4", evil_files.textured(12, 192))
        cut = made_files.cut(write_video(folder / "cut.mkv", evil_files.textured(12)), 0.7).name
        arguments = [f"--input={folder}", "--split=train:0.5,test:0.5", "--workers=2", *SMALL]
        alone, killed = self.root / "one worker", self.root / "killed"
        undisturbed = prepared(alone, folder, stride=4)
        self.assertLen(undisturbed["sources"], 29)
        self.assertEqual([s["name"] for s in undisturbed["sources"] if s["problems"]], [cut])
        shards = sum(len(of_split) for of_split in undisturbed["shards"].values())
        self.assertGreater(shards, 3)

        process = start("prepare_data", *arguments, f"--output={killed}")
        unfinished = killed / records.UNFINISHED
        deadline = time.monotonic() + 120
        while not (done := list(unfinished.glob("t*.json"))) and time.monotonic() < deadline:
            self.assertIsNone(process.poll(), "it ended before it was killed")
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        self.assertEqual([path.name for path in killed.iterdir()], [records.UNFINISHED])
        done = {path.stem for path in unfinished.glob("t*.json")}
        self.assertBetween(len(done), 1, shards - 1)
        before = {name: (unfinished / f"{name}.tfrecord").stat() for name in done}

        status, _, err = run("prepare_data", *arguments, f"--output={killed}")
        self.assertEqual(status, 0, err)
        self.assertIn("going on", err)
        self.assert_same_files(killed, alone)
        finals = {path.stat().st_ino: path.stat().st_mtime_ns for path in killed.glob("*.tfrecord")}
        for stat in before.values():  # what was finished is not made again
            self.assertEqual(finals.get(stat.st_ino), stat.st_mtime_ns)

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


ZYGOTE = """
import json, os, sys
from tfvideogan import cli, prepare_data
cli.load_tensorflow()
from tfvideogan.data import plan, prepare
for number, line in enumerate(sys.stdin):
    child = os.fork()
    if not child:
        for target, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{sys.argv[1]}/{number}.{name}", os.O_CREAT | os.O_WRONLY), target)
        sys.argv[:] = ["prepare_data", *json.loads(line)]
        status = 99
        try:
            cli.run(prepare_data.define_flags, prepare_data.main)
        except SystemExit as end:
            status = end.code or 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.__stdout__, flush=True)
"""


class RefusalTest(PrepareTest):
    """The command's answers; the slow start of Beam and TensorFlow is shared, each run is a process of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        told = tempfile.TemporaryDirectory()
        cls.addClassCleanup(told.cleanup)
        cls.told = Path(told.name)
        cls.zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE, told.name], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        cls.addClassCleanup(cls.zygote.communicate)
        cls.runs = 0

    def command(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        self.zygote.stdin.write(json.dumps(list(arguments)) + "\n")
        self.zygote.stdin.flush()
        status = int(self.zygote.stdout.readline())
        out, err = ((self.told / f"{type(self).runs}.{name}").read_text() for name in ("out", "err"))
        type(self).runs += 1
        return status, out, err

    def setUp(self):
        super().setUp()
        self.folder = tiny_inputs(self.root / "in", 3)

    def refuse(self, expected: str, *arguments: str, output: Path | str | None = None, works: bool = False) -> None:
        """Status 2, one line (behind a progress bar if it `works`), and nothing is written."""
        output = self.output if output is None else output
        with self.subTest(arguments=arguments):
            before = files(self.root)
            status, out, err = self.command("--workers=1", *SMALL, *arguments, f"--output={output}")
            lines = [line for line in err.splitlines() if line and not (works and line.startswith("preparing: "))]
            self.assertEqual((status, out), (2, ""), err)
            self.assertLen(lines, 1, err)
            self.assertStartsWith(lines[0], "prepare_data: error: ")
            self.assertRegex(lines[0], expected)
            self.assertEqual(files(self.root), before)

    def test_a_run_that_is_not_refused(self):
        """So that the refusals are known to come from what is wrong with them."""
        status, out, err = self.command(f"--input={self.folder}", f"--output={self.output}", "--workers=1", *SMALL)
        self.assertEqual(status, 0, err)
        self.assertStartsWith(out, "read      3 inputs")
        self.assertTrue((self.output / records.DATASET).exists())

    def test_flags(self):
        given = f"--input={self.folder}"
        self.refuse("--input is required", "--frame_size=16")
        self.refuse("--output is required", given, output="")
        for split in ("train", "train:1,test:0", "a b:1", "train:-1,test:2", "../x:1", "train:1,", "train:nan"):
            self.refuse("--split must be as train:0.9,test:0.1. Received: ", given, f"--split={split}")
        for split in ("train:0.9", "train:0.9,test:0.2", "train:0.5,train:0.5"):
            self.refuse("--split must name each split once.*add up to 1. Received: ", given, f"--split={split}")
        self.refuse("--frame_size must be a multiple of 16. Received: 24", given, "--frame_size=24")
        self.refuse("65500 pixels.*512 x 128", given, "--frame_size=512", "--num_frames=128")
        self.refuse("frame_size", given, "--frame_size=0")
        self.refuse("num_frames", given, "--num_frames=1")
        self.refuse("resize", given, "--resize=stretch")
        self.refuse("encoding", given, "--encoding=gif")
        self.refuse("stride", given, "--stride=0")
        self.refuse("time_limit", given, "--time_limit=0")
        self.refuse("workers", given, "--workers=0")
        self.refuse("unexpected argument", given, "more")

    def test_inputs(self):
        empty, bad = self.root / "empty", self.root / "bad"
        empty.mkdir()
        self.refuse("no such folder", f"--input={self.root / 'gone'}")
        self.refuse("nothing usable.*0 inputs were unusable", f"--input={empty}")
        (empty / "link.mp4").symlink_to("nowhere")
        self.refuse("nothing usable.*1 inputs were unusable", f"--input={empty}")
        bad.mkdir()
        (bad / "zero.mp4").touch()
        write_video(bad / "short.mp4", numbered(range(3)))
        self.refuse(r"none of 2 inputs gave a clip \(short.mp4: 3 frames.*zero.mp4: ", f"--input={bad}", works=True)
        twin = tiny_inputs(self.root / "elsewhere" / "in", 1)
        self.refuse("2 inputs have the name 'in/strip0x.png'", f"--input={self.folder},{twin}")

    def test_outputs(self):
        given = f"--input={self.folder}"
        finished = self.root / "finished"
        prepared(finished, self.folder)
        self.refuse("already holds a data set", given, output=finished)
        self.refuse("holds other files", given, output=self.folder)
        self.refuse("which is a file|no folder", given, output=self.folder / "strip0x.png")
        self.refuse("no folder that one can write to", given, output=self.folder / "strip0x.png" / "out")

    def test_an_unfinished_job_of_other_options(self):
        given = f"--input={self.folder}"
        with mock.patch.object(prepare, "_run", side_effect=SystemExit), self.assertRaises(SystemExit):
            prepared(self.output, self.folder, stride=4, splits=(("train", 0.9), ("test", 0.1)))
        self.refuse("unfinished job of other options", given, "--frame_size=32")
        self.refuse("unfinished job of other options", given, "--split=train:0.8,test:0.2")
        self.refuse("unfinished job of other options", given, "--encoding=jpeg")
        (self.folder / "one more.mp4").touch()
        self.refuse("unfinished job of other options or inputs", given)
        (self.folder / "one more.mp4").unlink()
        status, _, err = self.command(given, f"--output={self.output}", "--workers=1", *SMALL)
        self.assertEqual(status, 0, err)


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


class SplitTest(PrepareTest):
    SPLITS = (("train", 0.9), ("test", 0.1))

    def test_shares(self):
        """2,000 draws of 0.1: 200, and the standard deviation is sqrt(2000 * 0.1 * 0.9) = 13.4; four of them."""
        split = collections.Counter(plan.split_of(f"video{i}.mp4", self.SPLITS) for i in range(2000))
        self.assertBetween(split["test"], 200 - 54, 200 + 54)
        thirds = tuple((name, 1 / 3) for name in "abc")  # do not add up to 1 to the bit
        split = collections.Counter(plan.split_of(f"{i}", thirds) for i in range(2000))
        for name in "abc":
            self.assertBetween(split[name], 667 - 85, 667 + 85)  # sqrt(2000 * 1/3 * 2/3) = 21.1

    def test_the_split_of_a_name_is_settled_for_good(self):
        """By hand: the first 8 bytes of a name's SHA-256 as a share of 2**64."""
        for name in ("a.mp4", "b.mp4", "Größe.mp4", "caf\udce9.mp4"):
            head = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
            share = int(head, 16) / 16**16
            self.assertEqual(plan.split_of(name, (("low", share - 1e-6), ("high", 1 - share + 1e-6))), "high")
            self.assertEqual(plan.split_of(name, (("low", share + 1e-6), ("high", 1 - share - 1e-6))), "low")

    def test_other_inputs_move_no_video(self):
        items = [Input(f"{i}.mp4", "video", (f"{i}.mp4",), f"{i}.mp4") for i in range(200)]
        few, many = ({item.name: shard.split for shard in plan.plan(part, self.SPLITS) for item in shard.inputs}
                     for part in (items[:40], items))  # fmt: skip
        self.assertLen(few, 40)
        self.assertEqual(few, {name: many[name] for name in few})
        self.assertEqual(set(many.values()), {"train", "test"})

    def test_every_input_is_in_one_shard_and_shards_are_even(self):
        for count in (1, 8, 9, 100):
            items = [Input(f"{i}.mp4", "video", (f"{i}.mp4",), f"{i}.mp4") for i in range(count)]
            shards = plan.plan(items, (("all", 1.0),))
            self.assertCountEqual([item.name for shard in shards for item in shard.inputs], [i.name for i in items])
            self.assertLen(shards, math.ceil(count / 8))
            self.assertLessEqual(max(len(s.inputs) for s in shards) - min(len(s.inputs) for s in shards), 1)
            self.assertEqual([shard.name for shard in shards], [f"all-{i:05d}" for i in range(len(shards))])

    def test_the_order_of_the_inputs_does_not_matter(self):
        items = [Input(f"{i}.mp4", "video", (f"{i}.mp4",), f"{i}.mp4") for i in range(50)]
        self.assertEqual(plan.plan(items, self.SPLITS), plan.plan(items[::-1], self.SPLITS))

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

    def test_a_split_without_a_clip_is_told(self):
        dataset = prepared(self.output, tiny_inputs(self.root / "in", 1))
        self.assertCountEqual(dataset["clips"].values(), [0, 1])
        self.assertLen(dataset["shards"], 1)
        empty = min(dataset["clips"], key=dataset["clips"].get)
        self.assertIn(f"the split '{empty}' got no clip", description.report(dataset, 1.0))


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

    def test_the_description_says_how_the_clips_were_made(self):
        video = write_video(self.root / "in" / "a.mp4", numbered(range(12)))
        dataset = prepared(self.output, video, stride=2, first_only=False, resize="crop", splits=(("all", 1.0),))
        self.assertEqual(dataset["schema"], 1)
        self.assertEqual((dataset["num_frames"], dataset["frame_size"], dataset["clips"]), (4, 16, {"all": 5}))
        options = dataset["options"]
        self.assertEqual((options["stride"], options["resize"], options["splits"]), (2, "crop", {"all": 1.0}))
        self.assertEqual((options["encoding"], options["frame_step"], options["stabilize"]), ("png", 1, False))
        (shard,) = dataset["shards"]["all"]
        path = self.output / "all-00000-of-00001.tfrecord"
        self.assertEqual(shard, {"name": path.name, "records": 5, "bytes": path.stat().st_size, "sha256": sha256(path)})
        self.assertEqual([start for start, _ in clips_by_source(self.output)["a.mp4"]], [0, 2, 4, 6, 8])

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
        folder = tiny_inputs(self.root / "in", 3)
        told = "^the pipeline ended .*disk full.*the same command goes on"
        full = mock.patch.object(records, "example", side_effect=OSError("disk full"))
        with full, self.assertRaisesRegex(UsageError, told):
            prepared(self.output, folder)
        self.assertEqual([path.name for path in self.output.iterdir()], [records.UNFINISHED])
        self.assertEqual(prepared(self.output, folder)["used"], 3)

    def test_frames_keep_their_pixels(self):
        noise = np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3], np.uint8)
        write_pictures(self.root / "in" / "video", noise)
        prepared(self.output, self.root / "in")
        (shard,) = self.output.glob("*.tfrecord")
        (record,) = records.scan(shard)
        self.assertAllEqual(records.decode(tf.constant(record), 4, 16), noise)
