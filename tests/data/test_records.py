"""The record format to the byte, what damage does to it, and the names of shards."""

import io
import json
import os
import struct
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.data.case import FolderTest, a_record, marked, noise
from tests.helpers.evil_makers import chunk, png
from tests.helpers.made_files import flip, numbered, offsets, write_dataset, write_pictures, write_shard
from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.records import BadRecord
from tfvideogan.files import pictures


class RecordTest(FolderTest):
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
            fields = records.describe(a_record(noise(), source=name, start=2**40))
            self.assertEqual(fields, {"frames": 4, "size": 16, "source": name, "start": 2**40})

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


class BombTest(FolderTest):
    """Strips of one colour whose few kilobytes are gigabytes of pixels: none of them is decoded."""

    @mock.patch.object(tf.io, "decode_image", mock.Mock(side_effect=AssertionError("decoded")))
    def test_what_a_record_does_not_say_or_nobody_could_hold(self):
        square = one_colour(30_000, 30_000, "png")
        for strip, frames, message in (
            (square, 4, "a strip of 30000 x 30000 pixels for 4 frames"),
            (square, 1, "30000 x 30000 pixels, which are more than 64,000,000"),
            (one_colour(9000, 9000, "jpeg"), 1, "9000 x 9000 pixels, which are more than"),
            (one_colour(16, 60_000, "jpeg"), 4, "a strip of 16 x 60000 pixels for 4 frames"),
            (png(2**31 - 1, 2**31 - 1), 1, "2147483647 pixels, which are more than"),
            (square[:8] + chunk(b"tEXt", b"a") + square[8:], 1, "schema 1: .*strips must be JPEGs or PNGs"),
            (b"GIF89a" + bytes(99), 1, "schema 1: .*strips must be JPEGs or PNGs"),
            (b"BM" + bytes(99), 1, "schema 1: .*strips must be JPEGs or PNGs"),
        ):
            with self.subTest(message), self.assertRaisesRegex(ValueError, message):
                records.describe(records.example(strip, frames, "a", 0))

    def test_what_was_not_expected(self):
        for suffix in ("png", "jpeg"):
            record = records.example(one_colour(9000, 9000, suffix), 4, "a", 0)
            clips = tf.data.Dataset.from_tensors(record).map(lambda record: records.decode(record, 4, 16))
            with self.assertRaisesRegex(tf.errors.InvalidArgumentError, r"4 frames of 16 pixels was .*9000 9000"):
                next(iter(clips))


def one_colour(width: int, height: int, suffix: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("1" if suffix == "png" else "L", (width, height)).save(buffer, suffix)
    return buffer.getvalue()


class ScanTest(FolderTest):
    """The second of four records is damaged: it is named, and the records behind it are read where they can be."""

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
                scanned = list(records.scan(flip(self.shard, position)))
                flip(self.shard, position)  # back
                self.assertEqual(scanned[0], first)
                self.assertIsInstance(scanned[1], BadRecord)
                self.assertEqual(scanned[1].last, last)
                self.assertEqual(scanned[2:], [] if last else [third, fourth])
                self.assertIn("length" if last else "data do not match", scanned[1].reason)
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
        self.shard.write_bytes(content[: self.end])  # only dataset.json can tell that records are missing
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
            self.assertTrue(any(isinstance(scanned, BadRecord) for scanned in records.scan(small)), position)
            flip(small, position)


class NamesTest(FolderTest):
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
        self.assertEqual({shard: entry["records"] for shard, entry in expected.items()}, dict.fromkeys(self.shards, 1))
        self.assertEqual([records.shard_name("test", 3, 12)], ["test-00003-of-00012.tfrecord"])


class StrangersTest(FolderTest):
    def test_shards_are_plain_files_of_the_folder(self):
        folder = self.root
        (shard,) = write_dataset(folder, {"train": [[numbered(range(4))]]})
        description = json.loads((folder / records.DATASET).read_text())
        for name in ("../../etc/passwd", "/etc/passwd", "", ".hidden", 7, "a\nb"):
            description["shards"]["train"][0]["name"] = name
            (folder / records.DATASET).write_text(json.dumps(description))
            with self.assertRaisesRegex(UsageError, "by their plain names"):
                records.find_shards(str(folder))
        pipe = folder / "pipe.tfrecord"
        description["shards"]["train"][0]["name"] = pipe.name
        (folder / records.DATASET).write_text(json.dumps(description))
        os.mkfifo(pipe)
        with self.assertRaisesRegex(UsageError, "no regular file"):
            records.find_shards(str(folder))
        pipe.unlink()
        pipe.symlink_to("/etc/passwd")
        with self.assertRaisesRegex(UsageError, "no regular file"):
            records.find_shards(str(folder))
        (folder / records.DATASET).unlink()
        pipe.unlink()
        os.mkfifo(pipe)
        self.assertEqual(records.find_shards(str(folder)), [str(shard)])
