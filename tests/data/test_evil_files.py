"""Evil files and good ones beside them: each becomes what it should, and none is lost."""

import json
import tempfile
from pathlib import Path

import tensorflow as tf

from tests.data.case import SMALL, PrepareTest, clips_by_source, prepared, sha256, tiny_inputs
from tests.helpers import evil_files, made_files
from tests.helpers.commands import run
from tests.helpers.made_files import numbered, write_strip
from tfvideogan.data import description, records


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
        done = run("prepare_data", f"--input={cls.folder}", f"--output={cls.output}", "--workers=1", *SMALL)
        if done.returncode:
            raise AssertionError(done.stderr)
        cls.out, cls.err = done.stdout, done.stderr
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
                self.assertEqual([frames for _, frames in clips.get(name, [])], entry.clips)
                self.assertEqual([start for start, _ in clips.get(name, [])], [c[0] for c in entry.clips])
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
        self.assertIn(f"{self.dataset['inputs']} inputs in 00:00:", lines[0])
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
        done = run("verify_data", f"--data={self.output}")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(", 0 problems", done.stdout)


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
        lines = description.report(dataset, seconds=3661.0).splitlines()
        self.assertStartsWith(lines[0], "read      300 inputs in 01:01:01: 297 used, 3 rejected, 0 other files")
        self.assertEqual([line.split(": ")[0] for line in lines[2:]], [f"rejected  {name}" for name in sorted(bad)])
        names = [name for name, clips in clips_by_source(self.output).items() for _ in clips]
        self.assertCountEqual(names, {f"strip{i}x.png" for i in range(300)} - set(bad))
