"""Shards that are damaged or hold no clips: each is told with its reason, and left out if the user allows it."""

import collections
import re
from pathlib import Path

import tensorflow as tf

from tests.data.case import FolderTest, a_record, marked, noise
from tests.helpers.evil_makers import png
from tests.helpers.made_files import flip, numbered, numbers, offsets, write_dataset, write_shard
from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.record_source import Records
from tfvideogan.data.sources import open_source, open_sources


def no_clips() -> list[tuple[str, bytes]]:
    """(the reason in the message, a record that is not what `prepare_data` writes)"""
    good, feature = tf.train.Example.FromString(a_record(noise())), tf.train.Feature
    strip = good.features.feature["strip"].bytes_list.value[0]

    def but_for(name: str, other: tf.train.Feature) -> bytes:
        changed = tf.train.Example.FromString(good.SerializeToString())
        changed.features.feature[name].CopyFrom(other)
        return changed.SerializeToString()

    return [
        ("no clip of schema 1: DecodeError", b"\xff" * 40),
        *((f"no clip of schema 1: 0 values .* its {name}", but_for(name, feature())) for name in good.features.feature),
        ("no clip .* 0 values .* its strip", but_for("strip", feature(int64_list=tf.train.Int64List(value=[1])))),
        (
            "no clip .* 2 values .* its source",
            but_for("source", feature(bytes_list=tf.train.BytesList(value=[b"a"] * 2))),
        ),
        ("no clip .* 0 values .* its frames", but_for("frames", feature(float_list=tf.train.FloatList(value=[4.0])))),
        ("strips must be JPEGs or PNGs", records.example(b"no picture", 4, "a", 0)),
        ("a strip of 16 x 64 pixels for 3 frames", records.example(strip, 3, "a", 0)),
        ("a strip whose header cannot be read .*900000000 pixels", records.example(png(30_000, 30_000), 1, "a", 0)),
        ("a strip of 9000 x 9000 pixels, which are more", records.example(png(9000, 9000), 1, "a", 0)),
        ("4 frames of 32 pixels, and not 4 of 16", a_record(marked(1, size=32))),
    ]


class BadShardsTest(FolderTest):
    def setUp(self):
        super().setUp()
        clips = [[numbered(range(4)), numbered(range(4, 8))] for _ in range(4)]
        self.shards = write_dataset(self.root / "set", {"train": clips})

    def opened(self, max_bad_shards: int) -> Records:
        (weighted,) = open_sources(str(self.root / "set"), 16, 4, max_bad_shards=max_bad_shards)
        return weighted.source

    def damages(self):
        """(the reason in the message, how to damage a shard so)"""
        second = offsets(self.shards[1])[1]
        return (
            ("record 1: its data do not match", lambda path: flip(path, second + 20)),
            ("record 1: its length", lambda path: flip(path, second)),
            ("record 1: cut off", lambda path: path.write_bytes(path.read_bytes()[:-3])),
            ("1 record, 2 expected", lambda path: path.write_bytes(path.read_bytes()[:second])),
            ("0 records, 2 expected", lambda path: path.write_bytes(b"")),
            ("cannot be read", Path.unlink),
            *((f"record 1: {why}", lambda path, r=record: self.replace_second(path, r)) for why, record in no_clips()),
        )

    def replace_second(self, path: Path, record: bytes) -> None:
        """Puts a record, with the right checksums, in the place of the second one."""
        first = next(iter(records.scan(path)))
        with tf.io.TFRecordWriter(str(path)) as writer:
            for content in (first, record):
                writer.write(content)

    def test_a_bad_shard_stops_or_is_left_out_and_logged(self):
        whole, path = self.shards[1].read_bytes(), self.shards[1]
        self.assertLen(self.opened(0), 8)
        for message, damage in self.damages():
            with self.subTest(message):
                path.write_bytes(whole)
                damage(path)
                with self.assertRaisesRegex(UsageError, f"1 bad shard, --max_bad_shards=0: .*{path.name}: {message}"):
                    self.opened(0)
                with self.assertLogs("tfvideogan.data.record_source", "INFO") as logs:
                    source = self.opened(1)
                warning = f"WARNING:tfvideogan.data.record_source:shard left out: {path}: {message}"
                self.assertLen([line for line in logs.output if re.search(warning, line)], 1)
                self.assertIn("6 clips in 3 shards, 1 left out", logs.output[-1])
                clips = [numbers(clip.numpy()) for clip in source.in_order().map(source.load)]
                self.assertEqual(clips, [[0, 1, 2, 3], [4, 5, 6, 7]] * 3)
                self.assertLen(source, 6)
                drawn = collections.Counter(
                    numbers(clip.numpy())[0] for clip in source.shuffled(0, 0).take(12).map(source.load)
                )
                self.assertEqual(drawn, {0: 6, 4: 6})

    def test_clips_without_a_description_have_the_shape_of_the_first(self):
        folder = self.root / "lone"
        for name, clips in {"a": [marked(0)], "b": [marked(0, size=32)], "c": [marked(0), marked(1, size=32)]}.items():
            write_shard(folder / f"{name}.tfrecord", clips)
        said = "2 bad shards.*b.tfrecord: record 0: 4 frames of 32 .*c.tfrecord: record 1: 4 frames of 32"
        with self.assertRaisesRegex(UsageError, said):
            open_source(str(folder), 16, 4)
        with self.assertRaisesRegex(UsageError, "c.tfrecord: record 1: 4 frames of 32 pixels, and not 4 of 16"):
            open_source(str(folder / "c.tfrecord"), 16, 4)

    def test_more_than_are_allowed(self):
        for path in self.shards[:2]:
            path.write_bytes(path.read_bytes()[:-1])
        with self.assertRaisesRegex(UsageError, "2 bad shards, --max_bad_shards=1: .*00000-of.*; .*00001-of"):
            self.opened(1)
        self.assertLen(self.opened(2), 4)

    def test_nothing_is_left(self):
        for path in self.shards:
            path.unlink()
        with self.assertRaisesRegex(UsageError, "no records"):
            self.opened(4)

    def test_an_empty_shard_without_a_description_is_bad_too(self):
        empty = self.root / "empty.tfrecord"
        empty.touch()
        with self.assertRaisesRegex(UsageError, "empty.tfrecord: 0 records, some expected"):
            open_source(str(empty), 16, 4)

    def test_another_programs_records(self):
        other = self.root / "other.tfrecord"
        with tf.io.TFRecordWriter(str(other)) as writer:
            writer.write(b"something else")
        with self.assertRaisesRegex(UsageError, "other.tfrecord.*schema 1"):
            open_source(str(other), 16, 4)


if __name__ == "__main__":
    tf.test.main()
