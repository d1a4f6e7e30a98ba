"""Clips drawn from records for training."""

import json
import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.data.case import FolderTest, a_record, marked, noise
from tests.helpers.made_files import flip, offsets, write_dataset, write_shard
from tfvideogan.config import UsageError
from tfvideogan.data import plan, records
from tfvideogan.data.inputs import Input
from tfvideogan.data.record_source import Records
from tfvideogan.data.sources import open_source
from tfvideogan.files import pictures


class TrainingTest(FolderTest):
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

    def test_few_clips_are_spread_over_all(self):
        source = self.source()
        for count, expected in ((3, [0, 3, 6]), (5, [0, 2, 4, 6, 8]), (10, list(range(10))), (99, list(range(10)))):
            clips = list(source.spread(count).map(source.load))
            self.assertEqual([int(clip[0, 0, 0, 0]) for clip in clips], expected)
        # Clip i of a shard is of `source{i}`: 0, 3 and 6 are of 0, 3 and 2.
        self.assertEqual(source.videos(3), (3, None))
        self.assertEqual(source.videos(99), (4, None))
        description = self.root / "set" / "dataset.json"
        listed = [{"name": f"source{i}", "split": "test" if i == 9 else "train"} for i in range(10)]
        description.write_text(json.dumps(json.loads(description.read_text()) | {"sources": listed}))
        self.assertEqual(source.videos(3), (3, 9))

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
        whole = self.drawn(source, 30)
        for workers in (2, 3, 5):  # five are more than there are shards
            for worker in range(workers):
                with self.subTest(worker=worker, workers=workers):
                    own = whole[worker::workers]
                    self.assertEqual(self.drawn(source, len(own), worker=worker, workers=workers), own)
                    again = self.drawn(source, len(own) - 4, first=4, worker=worker, workers=workers)
                    self.assertEqual(again, own[4:])

    def test_a_shard_that_changes_after_the_start_ends_the_training_with_an_error(self):
        """A record's length, its data, the whole file; by then all checksums have been seen to be right."""
        for damage in (lambda path: flip(path, 0), lambda path: flip(path, 40), Path.unlink):
            source = self.source()
            damage(self.shards[0])
            with self.assertRaisesRegex(tf.errors.InvalidArgumentError, f"ValueError: .*{self.shards[0].name}"):
                self.drawn(source, 10)

    def test_what_lies_before_a_position_is_not_read(self):
        """So a run that goes on in an epoch's middle starts at once. All records before position 80 are damaged."""
        shard = self.root / "many.tfrecord"
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for i in range(100):
                writer.write(a_record(marked(i), start=i))
        source = open_source(str(shard), 16, 4)
        whole = self.drawn(source, 100)
        for i, offset in enumerate(offsets(shard)):
            if i in whole[:80]:
                flip(shard, offset + 20)
        self.assertEqual(self.drawn(source, 16, first=80), whole[80:96])
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, "its data do not match"):
            self.drawn(source, 16, first=79)

    def test_a_record_keeps_its_last_bytes(self):
        """NumPy's own byte strings would lose the zeros at the end."""
        shard = self.root / "zeros.tfrecord"
        strip = pictures.encode_strip(noise(), pictures.StripEncoding("png"))
        written = [records.example(strip + zeros, 4, "a.mp4", 0) for zeros in (b"", b"\0\0")]
        self.assertEndsWith(written[1], b"\0\0")
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for record in written:
                writer.write(record)
        source = open_source(str(shard), 16, 4)
        self.assertCountEqual([key.numpy() for key in source.shuffled(0, 0).take(2)], written)

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

    def test_a_data_set_is_named_by_split_or_shard(self):
        write_dataset(self.root / "set", {"train": [[marked(1)]], "test": [[marked(2)], [marked(3)]]})
        for name, expected in {"set": [1], "set/test": [2, 3], "set/test-00001*": [3], "set/*": [2, 3, 1]}.items():
            source = open_source(str(self.root / name), 16, 4)
            self.assertEqual([int(clip[0, 0, 0, 0]) for clip in source.in_order().map(source.load)], expected)


class MixtureTest(FolderTest):
    """Clips of one video are strung like beads in a shard, and meet in a batch no more often than chance has it."""

    def videos_drawn(self, clips: np.ndarray, count: int) -> np.ndarray:
        """The video of each of the first `count` clips that are drawn.

        Args:
            clips: how many clips each video has. The plan says which shard a video goes to, and in which order.
        """
        strip = pictures.encode_strip(marked(0), pictures.StripEncoding("png"))
        inputs = [Input(str(video), "frames", (), str(video)) for video in range(len(clips))]
        for shard in plan.plan(inputs, (("train", 1.0),)):
            with tf.io.TFRecordWriter(str(self.root / f"{shard.name}.tfrecord")) as writer:
                for item in shard.inputs:
                    record = records.example(strip, 4, item.name, 0)
                    for _ in range(clips[int(item.name)]):
                        writer.write(record)
        source = open_source(str(self.root), 16, 4)
        self.assertLen(source, clips.sum())
        drawn = source.shuffled(0, 0).take(count).batch(count).get_single_element().numpy()
        return np.array([int(records.source_of(record)) for record in drawn])

    def pairs(self, videos: np.ndarray, batch_size: int) -> float:
        """Pairs of clips of one video in a batch, as a mean over batches."""
        batches = videos[: len(videos) // batch_size * batch_size].reshape(-1, batch_size)
        same = batches[:, :, None] == batches[:, None, :]
        return float((same.sum((1, 2)) - batch_size).mean() / 2)

    def expected_pairs(self, clips: np.ndarray, batch_size: int) -> float:
        """Two clips that are drawn are of one video with probability sum(n (n - 1)) / (N (N - 1)), if all are alike."""
        size = clips.sum()
        return math.comb(batch_size, 2) * float((clips * (clips - 1)).sum() / (size * (size - 1)))

    def test_sky_timelapse(self):
        """35,383 clips of 2,392 videos, one of which has a hundred and most of which have less than the mean of 15.

        1,000 batches have 68 pairs; four times the square root of that is 33, or 0.033 a batch.
        """
        shares = np.random.default_rng(0).lognormal(sigma=0.6, size=2392)
        clips = np.maximum(1, np.floor(shares * 35383 / shares.sum())).astype(int)
        clips[np.argsort(shares)[: 35383 - clips.sum()]] += 1
        self.assertEqual((clips.sum(), len(clips)), (35383, 2392))
        expected = self.expected_pairs(clips, 16)
        self.assertBetween(expected, 0.05, 0.07)
        actual = self.pairs(self.videos_drawn(clips, 16000), 16)
        self.assertLess(actual, 0.1)
        self.assertNear(actual, expected, 0.033)

    def test_three_shards_of_twenty_clips(self):
        """One video has 4 clips, and 16 videos have one. 2,000 batches of 4, of 400 epochs, have 379 pairs.

        Four times the square root of that is 78, or 0.039 a batch.
        """
        clips = np.array([4] + [1] * 16)
        videos = self.videos_drawn(clips, 8000)
        self.assertLen(list(self.root.glob("*.tfrecord")), 3)
        self.assertNear(self.pairs(videos, 4), self.expected_pairs(clips, 4), 0.039)


if __name__ == "__main__":
    tf.test.main()
