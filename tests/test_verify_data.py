"""`verify_data` as a user runs it: a table, and each bad shard and record by name."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import commands
from tests.helpers.made_files import flip, numbered, offsets, write_dataset, write_shard
from tfvideogan import verify_data
from tfvideogan.data import records
from tfvideogan.files import pictures


class VerifyTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)
        clips = [numbered(range(i, i + 4)) for i in range(4)]
        self.shards = write_dataset(self.root / "set", {"train": [clips, clips[:3]], "test": [clips[:1]]})
        self.expected = json.loads((self.root / "set" / "dataset.json").read_text())


class CommandTest(VerifyTest):
    def verify(self, data: str | Path) -> tuple[int, list[str], str]:
        """Exit status, lines of standard output, and standard error."""
        done = commands.run("verify_data", f"--data={data}")
        return done.returncode, done.stdout.splitlines(), done.stderr

    def test_a_good_data_set(self):
        done = commands.run("verify_data", f"--data={self.root / 'set'}")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0].split(), ["records", "MB", "frames", "shard"])
        for line, shard, count in zip(lines[1:4], self.shards, (4, 3, 1), strict=True):
            self.assertEqual(line.split(), [str(count), "0.0", "4", "x", "16px", str(shard)])
        self.assertEqual(lines[4:], ["3 shards, 0 problems"])

    def test_all_that_is_damaged_is_named(self):
        first, second, third = self.shards
        flip(first, offsets(first)[2] + 100)
        second.unlink()
        status, lines, err = self.verify(self.root / "set")
        self.assertEqual((status, err), (1, ""))
        self.assertEqual([line.endswith("  BAD") for line in lines[1:4]], [True, True, False])
        problems = [line for line in lines if line.startswith("BAD  ")]
        self.assertEqual(problems[0], f"BAD  {first}: record 2: its data do not match their checksum")
        self.assertEqual(problems[1:], [f"BAD  {second}: no such file"])
        self.assertEqual(lines[-1], "3 shards, 2 problems")
        self.assertIn(str(third), lines[3])

    def test_one_problem_of_one_shard(self):
        self.shards[2].unlink()
        status, lines, _ = self.verify(self.root / "set" / "test")
        self.assertEqual((status, lines[-1]), (1, "1 shard, 1 problem"))

    def test_a_split_and_a_glob_are_held_to_the_description_too(self):
        first = self.shards[0]
        first.write_bytes(first.read_bytes()[: offsets(first)[2]])
        for data in (self.root / "set", self.root / "set" / "train", self.root / "set" / "train-*"):
            status, lines, _ = self.verify(data)
            self.assertEqual(status, 1, data)
            self.assertIn(f"BAD  {first}: 2 records, 4 expected", lines)
        self.assertEqual(self.verify(self.root / "set" / "test")[0], 0)

    def test_no_data_set(self):
        (self.root / "empty").mkdir()
        for data, message in (
            (self.root / "empty", "--data must be a data set"),
            ("", "--data is required"),
        ):
            status, lines, err = self.verify(data)
            self.assertEqual((status, lines), (2, []), err)
            self.assertLen(err.splitlines(), 1, err)
            self.assertStartsWith(err, "verify_data: error: ")
            self.assertIn(message, err)


class DamageTest(VerifyTest):
    """Each kind of damage to the third of four records, or to all of a shard."""

    def problems(self) -> list[str]:
        """The problems of the first shard, without its name."""
        shard = self.shards[0]
        expected = {"frames": 4, "size": 16} | self.expected["shards"]["train"][0]
        line, problems = verify_data.verify(str(shard), expected)
        self.assertEqual(line.endswith("  BAD"), bool(problems))
        self.assertTrue(all(problem.startswith(f"{shard}: ") for problem in problems))
        return [problem.removeprefix(f"{shard}: ") for problem in problems]

    def test_none(self):
        self.assertEqual(self.problems(), [])

    def test_a_missing_shard_is_named_once(self):
        self.shards[0].unlink()
        self.assertEqual(self.problems(), ["no such file"])

    def test_every_kind(self):
        shard, whole = self.shards[0], self.shards[0].read_bytes()
        third, fourth = offsets(shard)[2:]
        length = "record 2: its length does not match its checksum, nothing behind it can be read"
        data = "record 2: its data do not match their checksum"
        short = "3 records, 4 expected"  # the bad one is counted
        for name, position, expected in (
            ("length", third, [length, short]),
            ("checksum of the length", third + 9, [length, short]),
            ("data", third + 60, [data]),
            ("checksum of the data", fourth - 2, [data]),
        ):
            with self.subTest(name):
                shard.write_bytes(whole)
                flip(shard, position)
                self.assertEqual(self.problems(), expected)
        for name, size, expected in (
            ("in the third", third + 50, ["record 2: cut off, nothing behind it can be read", short]),
            ("in its length", third + 5, ["record 2: cut off in its length, nothing behind it can be read", short]),
            ("between two", third, ["does not match its SHA-256 in dataset.json", "2 records, 4 expected"]),
            ("at once", 0, ["does not match its SHA-256 in dataset.json", "0 records, 4 expected"]),
        ):
            with self.subTest(name):
                shard.write_bytes(whole[:size])
                self.assertEqual(self.problems(), expected)

    def test_a_shard_of_another_data_set(self):
        """Its checksums are right, all of them, but for that of the whole."""
        write_shard(self.shards[0], [numbered(range(i, i + 4)) for i in range(1, 5)])
        self.assertEqual(self.problems(), ["does not match its SHA-256 in dataset.json"])

    def test_records_whose_checksum_is_right_and_that_are_wrong_all_the_same(self):
        strip = pictures.encode_strip(numbered(range(4)), pictures.StripEncoding("png"))
        jpeg = pictures.encode_strip(
            np.random.default_rng(0).integers(0, 256, [4, 16, 16, 3], np.uint8), pictures.StripEncoding()
        )
        for name, record, expected in (
            ("no example", b"nonsense", "no clip of schema 1"),
            ("no picture", records.example(b"none", 4, "a", 0), "no clip of schema 1"),
            ("half a picture", records.example(strip[: len(strip) // 2], 4, "a", 0), "no clip of schema 1"),
            ("half a jpeg", records.example(jpeg[: len(jpeg) // 2], 4, "a", 0), "no clip of schema 1"),
            ("too few frames", records.example(strip, 3, "a", 0), "a strip of 16 x 64 pixels for 3 frames"),
            ("another length", self.of(numbered(range(5))), "5 frames of 16 pixels, where .*'frames': 4.* expected"),
            (
                "another size",
                self.of(numbered(range(4), 32, 32)),
                "4 frames of 32 pixels, where .*'size': 16.* expected",
            ),
        ):
            with self.subTest(name):
                with tf.io.TFRecordWriter(str(self.shards[0])) as writer:
                    for i in range(4):
                        writer.write(record if i == 2 else records.example(strip, 4, "a", i))
                (problem,) = self.problems()
                self.assertRegex(problem, f"^record 2: {expected}")

    @staticmethod
    def of(clip: np.ndarray) -> bytes:
        return records.example(pictures.encode_strip(clip, pictures.StripEncoding("png")), len(clip), "a", 0)

    def test_a_shard_by_itself(self):
        """Without a description nothing is expected of it but what it says itself."""
        shard = write_shard(self.root / "lone.tfrecord", [numbered(range(4)), numbered(range(5), 32, 32)])
        line, problems = verify_data.verify(str(shard), {})
        self.assertEqual(problems, [])
        self.assertEqual(line.split(), ["2", "0.0", "4", "x", "16px,", "5", "x", "32px", str(shard)])
