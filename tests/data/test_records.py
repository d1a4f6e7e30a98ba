"""The record format to the byte, what damage does to it, and clips drawn from records for training."""

import collections
import itertools
import json
import struct
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers.made_files import flip, numbered, numbers, offsets, write_dataset, write_pictures, write_shard
from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.records import BadRecord
from tfvideogan.data.sources import Indexed, Records, open_source, open_sources
from tfvideogan.files import pictures


def marked(index: int, frames: int = 4, size: int = 16) -> np.ndarray:
    """A clip whose every pixel is its index."""
    return np.full([frames, size, size, 3], index, np.uint8)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, [4, 16, 16, 3], np.uint8)


def a_record(clip: np.ndarray, encoding: str = "png", quality: int = 95, **other) -> bytes:
    fields = {"frames": len(clip), "source": "a.mp4", "start": 0} | other
    return records.example(pictures.encode_strip(clip, pictures.StripEncoding(encoding, quality)), **fields)


class RecordsTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)


class RecordTest(RecordsTest):
    def test_png_is_exact(self):
        record = a_record(noise())
        self.assertAllEqual(records.decode(tf.constant(record), 4, 16), noise())

    def test_jpeg_is_close_and_no_frame_bleeds_into_the_next(self):
        smooth = np.stack([np.add.outer(np.arange(16), np.arange(16)) * 4 + 30 * t for t in range(4)])
        clip = np.repeat(smooth[..., None], 3, axis=-1).astype(np.uint8)
        back = records.decode(tf.constant(a_record(clip, "jpeg")), 4, 16)
        self.assertGreater(tf.reduce_min(tf.image.psnr(clip, back, 255)), 40.0)
        contrast = np.zeros([4, 16, 16, 3], np.uint8)
        contrast[1::2] = 255
        back = records.decode(tf.constant(a_record(contrast, "jpeg", 100)), 4, 16)
        self.assertAllClose(back, contrast, atol=1)

    def test_it_says_where_it_is_from(self):
        for name in ("a.mp4", "Größe 天空/b.mkv", "new\nline.avi", "caf\udce9.mp4"):
            said = records.describe(a_record(noise(), source=name, start=2**40))
            self.assertEqual(said, {"frames": 4, "size": 16, "source": name, "start": 2**40})

    def test_equal_clips_are_equal_bytes(self):
        self.assertEqual(a_record(noise()), a_record(noise()))

    def test_the_schema_is_the_one_that_is_documented(self):
        example = tf.train.Example.FromString(a_record(noise(), start=7))
        kinds = {name: feature.WhichOneof("kind") for name, feature in example.features.feature.items()}
        self.assertEqual(
            kinds, {"strip": "bytes_list", "frames": "int64_list", "source": "bytes_list", "start": "int64_list"}
        )
        strip = tf.io.decode_image(example.features.feature["strip"].bytes_list.value[0])
        self.assertAllEqual(strip, noise().reshape(64, 16, 3))

    def test_what_is_no_clip(self):
        good = tf.train.Example.FromString(a_record(noise()))
        lacking = {}
        for name in ("strip", "frames", "start", "source"):
            less = tf.train.Example()
            less.CopyFrom(good)
            del less.features.feature[name]
            lacking[name] = less.SerializeToString()
        cut_strip = records.example(pictures.encode_strip(noise(), pictures.StripEncoding("png"))[:-60], 4, "a", 0)
        for record, message in (
            (b"", "schema 1"),
            (b"\xff" * 40, "schema 1: DecodeError"),
            *((record, "schema 1") for record in lacking.values()),
            (records.example(b"no picture", 4, "a", 0), "schema 1"),
            (cut_strip, "schema 1"),
            (a_record(noise(), frames=5), "strip of 16 x 64 pixels for 5 frames"),
            (a_record(noise(), frames=0), "strip of 16 x 64 pixels for 0 frames"),
        ):
            with self.subTest(message, length=len(record)), self.assertRaisesRegex(ValueError, message):
                records.describe(record)

    def test_other_sizes_end_in_an_error_and_not_in_other_clips(self):
        record = tf.constant(a_record(noise()))
        for frames, size in ((5, 16), (4, 8), (1, 16)):
            with self.assertRaises(tf.errors.InvalidArgumentError):
                records.decode(record, frames, size)


class ScanTest(RecordsTest):
    """Damage in the second of four records: one that stands alone is told, and what is behind it is read."""

    def setUp(self):
        super().setUp()
        self.shard = write_shard(self.root / "a.tfrecord", [noise(i) for i in range(4)])
        self.records = [record.numpy() for record in tf.data.TFRecordDataset(str(self.shard))]
        self.begin, self.end = offsets(self.shard)[1:3]

    def test_what_tensorflow_writes(self):
        self.assertEqual(list(records.scan(self.shard)), self.records)
        self.assertLen(self.records, 4)
        empty = self.root / "empty.tfrecord"
        empty.touch()
        self.assertEmpty(list(records.scan(empty)))
        with tf.io.TFRecordWriter(str(empty)) as writer:
            writer.write(b"")
        self.assertEqual(list(records.scan(empty)), [b""])

    def test_the_checksum_is_the_standard_one(self):
        """CRC-32C of "123456789" is 0xE3069283 (RFC 3720 has the polynomial); rotated by 15 bits it is
        0x2507C60D, and with 0xA282EAD8 added 0xC78AB0E5."""
        data, masked = b"123456789", 0xC78AB0E5
        self.assertEqual(records._masked_crc(data), masked)
        length = struct.pack("<Q", 9)
        by_hand = self.root / "hand.tfrecord"
        by_hand.write_bytes(length + struct.pack("<I", records._masked_crc(length)) + data + struct.pack("<I", masked))
        self.assertEqual([record.numpy() for record in tf.data.TFRecordDataset(str(by_hand))], [data])
        self.assertEqual(list(records.scan(by_hand)), [data])

    def test_a_flipped_bit(self):
        first, _, third, fourth = self.records
        for name, position, last in (
            ("length", self.begin, True),
            ("high byte of the length", self.begin + 7, True),
            ("checksum of the length", self.begin + 8, True),
            ("first byte of the data", self.begin + 12, False),
            ("middle of the data", (self.begin + self.end) // 2, False),
            ("last byte of the data", self.end - 5, False),
            ("checksum of the data", self.end - 1, False),
        ):
            with self.subTest(name):
                found = list(records.scan(flip(self.shard, position)))
                flip(self.shard, position)  # back
                self.assertEqual(found[0], first)
                self.assertIsInstance(found[1], BadRecord)
                self.assertEqual(found[1].last, last)
                self.assertEqual(found[2:], [] if last else [third, fourth])
                self.assertIn("length" if last else "data do not match", found[1].reason)
        self.assertEqual(list(records.scan(self.shard)), self.records)

    def test_a_shard_that_is_cut_off(self):
        content = self.shard.read_bytes()
        for name, size, reason in (
            ("in the length", self.begin + 3, "cut off in its length"),
            ("behind the length", self.begin + 8, "cut off in its length"),
            ("in its checksum", self.begin + 11, "cut off in its length"),
            ("before the data", self.begin + 12, "cut off"),
            ("in the data", self.begin + 40, "cut off"),
            ("behind the data", self.end - 4, "cut off"),
            ("in their checksum", self.end - 1, "cut off"),
        ):
            with self.subTest(name):
                self.shard.write_bytes(content[:size])
                self.assertEqual(list(records.scan(self.shard)), [self.records[0], BadRecord(reason, last=True)])
        self.shard.write_bytes(content[: self.end])  # between two records it cannot be told, but by dataset.json
        self.assertEqual(list(records.scan(self.shard)), self.records[:2])

    def test_a_length_of_exabytes_is_not_believed(self):
        length = struct.pack("<Q", 2**60)
        self.shard.write_bytes(length + struct.pack("<I", records._masked_crc(length)) + b"x")
        (bad,) = records.scan(self.shard)
        self.assertTrue(bad.last)

    def test_every_single_bit_counts(self):
        small = self.root / "small.tfrecord"
        with tf.io.TFRecordWriter(str(small)) as writer:
            for record in (b"abc", b"de"):
                writer.write(record)
        for position in range(small.stat().st_size):
            flip(small, position)
            self.assertTrue(any(isinstance(found, BadRecord) for found in records.scan(small)), position)
            flip(small, position)


class NamesTest(RecordsTest):
    def setUp(self):
        super().setUp()
        clips = [[marked(0)], [marked(1)]]
        self.shards = [str(path) for path in write_dataset(self.root / "set", {"test": clips[:1], "train": clips})]
        self.set = str(self.root / "set")

    def test_what_names_mean(self):
        test, *train = self.shards
        lone = str(write_shard(self.root / "lone.tfrecord", [marked(0)]))
        for name, expected in {
            self.set: train,
            f"{self.set}/": train,
            f"{self.set}/train": train,
            f"{self.set}/test": [test],
            train[1]: [train[1]],
            lone: [lone],
            f"{self.set}/train-*": train,
            f"{self.set}/*.tfrecord": [test, *train],
            f"{self.set}/t*-0000[01]-of-0000?.tfrecord": [test, *train],
            f"{self.set}/*.json": None,
            f"{self.root}/*/nothing*": None,
            str(self.root): [lone],
            str(self.root / "gone"): None,
            f"{lone}.gone": None,
        }.items():
            with self.subTest(name):
                self.assertEqual(records.find_shards(name), expected)

    def test_the_only_split_needs_no_name(self):
        (shard,) = write_dataset(self.root / "only", {"all": [[marked(0)]]})
        self.assertEqual(records.find_shards(str(self.root / "only")), [str(shard)])

    def test_a_split_that_is_not_there(self):
        with self.assertRaisesRegex(UsageError, "splits test, train. Received: 'val'"):
            records.find_shards(f"{self.set}/val")

    def test_a_folder_beside_a_data_set_is_a_folder(self):
        write_pictures(self.root / "set" / "pictures", numbered(range(4)))
        self.assertIsNone(records.find_shards(f"{self.set}/pictures"))

    def test_a_data_set_that_was_not_finished(self):
        (self.root / "half" / ".unfinished").mkdir(parents=True)
        with self.assertRaisesRegex(UsageError, "half is a data set that was not finished; the same prepare_data"):
            records.find_shards(str(self.root / "half"))

    def test_descriptions_that_cannot_be_read(self):
        path = self.root / "set" / "dataset.json"
        whole = json.loads(path.read_text())
        for content, message in (
            (json.dumps(whole | {"schema": 2}), "schema 2, this version reads schema 1"),
            (json.dumps({"schema": 1}), "not a data set's description"),
            (json.dumps(whole | {"shards": []}), "not a data set's description"),
            ("[]", "not a data set's description"),
            ("{", "not a data set's description"),
            ("", "not a data set's description"),
        ):
            path.write_text(content)
            with self.subTest(content[:20]), self.assertRaisesRegex(UsageError, f"dataset.json: .*{message}"):
                records.read_dataset(self.set)
        path.write_bytes(b"\xff\xfe\x00")
        with self.assertRaisesRegex(UsageError, "not a data set's description"):
            records.read_dataset(self.set)
        path.unlink()
        with self.assertRaisesRegex(UsageError, "not a data set's description"):
            records.read_dataset(self.set)

    def test_counts_that_are_expected(self):
        lone = str(write_shard(self.root / "lone.tfrecord", [marked(0)]))
        expected = records.expected([*self.shards, lone])
        self.assertEqual({shard: said["records"] for shard, said in expected.items()}, dict.fromkeys(self.shards, 1))
        self.assertEqual([records.shard_name("test", 3, 12)], ["test-00003-of-00012.tfrecord"])


class TrainingTest(RecordsTest):
    """Ten clips in three shards; clip i holds the value i."""

    PARTS = ([0, 1, 2, 3], [4, 5, 6], [7, 8, 9])

    def source(self, parts=PARTS) -> Records:
        self.shards = write_dataset(self.root / "set", {"train": [[marked(i) for i in part] for part in parts]})
        return open_source(str(self.root / "set"), 16, 4)

    def drawn(self, source: Records, count: int, seed: int = 0, first: int = 0, worker: int = 0, workers: int = 1):
        keys = source.shuffled(seed, first, worker, workers).take(count)
        return [int(clip[0, 0, 0, 0]) for clip in keys.map(source.load)]

    def test_the_pixels_are_those_that_were_written(self):
        write_dataset(self.root / "set", {"train": [[noise(0), noise(1)]]})
        source = open_source(str(self.root / "set"), 16, 4)
        clips = list(source.in_order().map(source.load))
        self.assertAllEqual(clips, [noise(0), noise(1)])
        self.assertEqual((clips[0].dtype, clips[0].shape), (tf.uint8, (4, 16, 16, 3)))

    def test_every_clip_once_an_epoch(self):
        source = self.source()
        self.assertLen(source, 10)
        self.assertEqual([int(clip[0, 0, 0, 0]) for clip in source.in_order().map(source.load)], list(range(10)))
        drawn = self.drawn(source, 40)
        epochs = [tuple(drawn[i : i + 10]) for i in range(0, 40, 10)]
        for epoch in epochs:
            self.assertCountEqual(epoch, range(10))
        self.assertLen({*epochs, tuple(range(10))}, 5)

    def test_a_seed_settles_the_order(self):
        source = self.source()
        self.assertEqual(self.drawn(source, 20, seed=3), self.drawn(source, 20, seed=3))
        self.assertNotEqual(self.drawn(source, 20, seed=3), self.drawn(source, 20, seed=4))

    def test_it_goes_on_from_any_position(self):
        source = self.source()
        whole = self.drawn(source, 35, seed=5)
        for first in (1, 4, 9, 10, 11, 20, 27):
            self.assertEqual(self.drawn(source, 35 - first, seed=5, first=first), whole[first:], first)

    def test_workers_have_parts_of_their_own_and_together_all(self):
        source = self.source()
        for workers in (2, 3, 5):  # five are more than there are shards
            with self.subTest(workers=workers):
                sizes = [sum(len(part) for part in self.PARTS[worker::workers]) for worker in range(workers)]
                if workers > 3:
                    sizes = [2] * 5
                parts = [self.drawn(source, size, worker=w, workers=workers) for w, size in enumerate(sizes)]
                self.assertCountEqual(itertools.chain(*parts), range(10))
                again = self.drawn(source, sizes[1], first=sizes[1] * 2, worker=1, workers=workers)
                whole = self.drawn(source, sizes[1] * 3, worker=1, workers=workers)
                self.assertEqual(again, whole[sizes[1] * 2 :])

    def test_built_in_clips_are_parted_too(self):
        source = Indexed([marked(i) for i in range(10)])
        parts = [self.drawn(source, 5, worker=worker, workers=2) for worker in range(2)]
        self.assertCountEqual(itertools.chain(*parts), range(10))
        one = self.drawn(source, 10)
        self.assertEqual(parts, [one[::2], one[1::2]])

    def test_more_records_than_are_shuffled_together(self):
        """1,100 records are three blocks; a block is a permutation, and so is the epoch."""
        shard = self.root / "many.tfrecord"
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for i in range(1100):
                writer.write(a_record(marked(i % 256, 4, 16), start=i))
        source = open_source(str(shard), 16, 4)
        starts = [records.describe(key.numpy())["start"] for key in source.shuffled(0, 0).take(1100)]
        self.assertEqual([sorted(starts[:512]), sorted(starts[512:1024]), sorted(starts[1024:])],
                         [list(range(512)), list(range(512, 1024)), list(range(1024, 1100))])  # fmt: skip
        self.assertNotEqual(starts[:512], [start - 512 for start in starts[512:1024]])
        resumed = [records.describe(key.numpy())["start"] for key in source.shuffled(0, 1050).take(50)]
        self.assertEqual(resumed, starts[1050:])

    def test_larger_records_are_averaged(self):
        """Each 2 x 2 pixels of 10, 20, 30 and 41 make one of 25.25, that is 25."""
        clip = np.tile(np.array([[10, 20], [30, 41]], np.uint8)[None, :, :, None], [4, 16, 16, 3])
        shard = str(write_shard(self.root / "a.tfrecord", [clip]))
        for size, expected in ((32, clip), (16, np.full([4, 16, 16, 3], 25))):
            source = open_source(shard, size, 4)
            (loaded,) = source.in_order().map(source.load)
            self.assertAllEqual(loaded, expected)

    def test_sizes_that_do_not_fit_are_refused(self):
        shard = str(write_shard(self.root / "a.tfrecord", [marked(0, frames=6, size=32)]))
        for size, frames in ((48, 4), (64, 4), (24, 4), (32, 7)):
            with self.subTest(size=size, frames=frames):
                message = f"6 frames of 32 pixels, which do not give {frames} frames of {size}"
                with self.assertRaisesRegex(UsageError, message):
                    open_source(shard, size, frames)
        self.assertLen(open_source(shard, 16, 6), 1)

    def test_a_record_of_another_size_ends_the_training_with_an_error(self):
        shard = str(write_shard(self.root / "a.tfrecord", [marked(0), marked(1, size=32)]))
        source = open_source(shard, 16, 4)
        with self.assertRaises(tf.errors.InvalidArgumentError):
            list(source.in_order().map(source.load))

    def test_a_data_set_is_named_by_split_or_shard(self):
        write_dataset(self.root / "set", {"train": [[marked(1)]], "test": [[marked(2)], [marked(3)]]})
        for name, expected in {"set": [1], "set/test": [2, 3], "set/test-00001*": [3], "set/*": [2, 3, 1]}.items():
            source = open_source(str(self.root / name), 16, 4)
            self.assertEqual([int(clip[0, 0, 0, 0]) for clip in source.in_order().map(source.load)], expected)


class BadShardsTest(RecordsTest):
    def setUp(self):
        super().setUp()
        clips = [[numbered(range(4)), numbered(range(4, 8))] for _ in range(4)]
        self.shards = write_dataset(self.root / "set", {"train": clips})

    def opened(self, max_bad_shards: int) -> Records:
        (weighted,) = open_sources(str(self.root / "set"), 16, 4, max_bad_shards=max_bad_shards)
        return weighted.source

    def damages(self):
        """(what is said, how to do it to a shard)"""
        second = offsets(self.shards[1])[1]
        return (
            ("record 1: its data do not match", lambda path: flip(path, second + 20)),
            ("record 1: its length", lambda path: flip(path, second)),
            ("record 1: cut off", lambda path: path.write_bytes(path.read_bytes()[:-3])),
            ("1 records, 2 expected", lambda path: path.write_bytes(path.read_bytes()[:second])),
            ("0 records, 2 expected", lambda path: path.write_bytes(b"")),
            ("cannot be read", Path.unlink),
        )

    def test_a_bad_shard_stops_or_is_left_out_and_logged(self):
        whole, path = self.shards[1].read_bytes(), self.shards[1]
        self.assertLen(self.opened(0), 8)
        for message, damage in self.damages():
            with self.subTest(message):
                path.write_bytes(whole)
                damage(path)
                with self.assertRaisesRegex(UsageError, f"1 bad shards, --max_bad_shards=0: .*{path.name}: {message}"):
                    self.opened(0)
                with self.assertLogs("tfvideogan.data.sources", "INFO") as logs:
                    source = self.opened(1)
                self.assertLen(
                    [
                        x
                        for x in logs.output
                        if f"WARNING:tfvideogan.data.sources:shard left out: {path}: {message}" in x
                    ],
                    1,
                )
                self.assertIn("6 clips in 3 shards, 1 left out", logs.output[-1])
                clips = [numbers(clip.numpy()) for clip in source.in_order().map(source.load)]
                self.assertEqual(clips, [[0, 1, 2, 3], [4, 5, 6, 7]] * 3)
                self.assertLen(source, 6)
                drawn = collections.Counter(
                    numbers(clip.numpy())[0] for clip in source.shuffled(0, 0).take(12).map(source.load)
                )
                self.assertEqual(drawn, {0: 6, 4: 6})

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
