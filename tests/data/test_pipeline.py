"""The order of clips: a permutation each epoch, the same again after a resumption; sources mixed, clips varied."""

import collections
from unittest import mock

import numpy as np
import tensorflow as tf

from tests.data.case import FolderTest, Frames, noise
from tfvideogan.config import UsageError
from tfvideogan.data import clips, pipeline, records
from tfvideogan.data.sources import Indexed, Weighted, open_source
from tfvideogan.files import pictures


class Numbered:
    """Clip i holds the value i in every pixel; it is counted how often each is read."""

    def __init__(self, size: int):
        self.size = size
        self.reads = collections.Counter()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> np.ndarray:
        self.reads[index] += 1
        return np.full([2, 4, 4, 3], range(self.size)[index], np.uint8)


def weighted(*sizes: int) -> list[Weighted]:
    return [Weighted(Indexed(Numbered(size)), 1.0) for size in sizes]


def indices(dataset: tf.data.Dataset, count: int = -1) -> list[list[int]]:
    """The clips' numbers, batch by batch."""
    batches = [batch.numpy() for batch in dataset.take(count)]
    return [batch[:, 0, 0, 0, 0].tolist() for batch in batches]


def order(size: int, batch_size: int, batches: int, seed: int = 0, first: int = 0) -> list[int]:
    dataset = pipeline.training_batches(weighted(size), 2, batch_size, seed, first)
    return [i for batch in indices(dataset, batches) for i in batch]


class TrainingBatchesTest(tf.test.TestCase):
    def test_each_epoch_is_a_permutation(self):
        for size, batch_size in ((12, 4), (10, 4), (3, 8), (1, 2)):  # batches may straddle epochs
            with self.subTest(size=size, batch_size=batch_size):
                clips = order(size, batch_size, -(-4 * size // batch_size))
                for epoch in range(4):
                    self.assertCountEqual(clips[epoch * size : (epoch + 1) * size], range(size))

    def test_epochs_and_seeds_have_their_own_order(self):
        first, second, other = order(20, 20, 1), order(20, 20, 1, first=20), order(20, 20, 1, seed=1)
        self.assertLen({tuple(x) for x in (first, second, other, range(20))}, 4)
        self.assertEqual(order(20, 20, 1), first)

    def test_a_resumed_run_goes_on_with_the_same_clips(self):
        whole = order(10, 4, 12, seed=5)
        for step in (1, 5, 11):
            with self.subTest(step=step):
                self.assertEqual(order(10, 4, 12 - step, seed=5, first=4 * step), whole[4 * step :])

    def test_batches_are_bytes_of_static_shape(self):
        dataset = pipeline.training_batches(weighted(256), 2, 64, seed=0)
        self.assertEqual(dataset.element_spec, tf.TensorSpec([64, 2, 4, 4, 3], tf.uint8))
        values = np.concatenate([batch.numpy() for batch in dataset.take(4)])
        self.assertAllEqual(np.sort(values[:, 0, 0, 0, 0]), np.arange(256))


class MixTest(tf.test.TestCase):
    """Source 0 has the clips 0 to 9, source 1 100 to 119, source 2 200 to 206."""

    STARTS = np.array([0, 100, 200])

    def sources(self, *weights: float) -> list[Weighted]:
        sizes = (range(10), range(100, 120), range(200, 207))
        sources = []
        for numbers, weight in zip(sizes, weights, strict=False):
            clips = [np.full([2, 4, 4, 3], number, np.uint8) for number in numbers]
            sources.append(Weighted(Indexed(clips), weight))
        return sources

    def drawn(self, weights, count: int, batch_size: int = 10, seed: int = 0, **options) -> list[int]:
        batches = pipeline.training_batches(self.sources(*weights), 2, batch_size, seed, **options)
        return [i for batch in indices(batches, count // batch_size) for i in batch]

    def test_weights_are_shares(self):
        """Of 1,000 draws with a share of 0.25 the deviation is sqrt(1000 * 0.25 * 0.75) = 13.7; four of them."""
        for weights, shares in (((1, 3), (0.25, 0.75)), ((0.5, 0.5), (0.5, 0.5)), ((2, 1, 5), (0.25, 0.125, 0.625))):
            kinds = np.array(self.drawn(weights, 1000, 50)) // 100
            counts = np.bincount(kinds, minlength=len(shares))
            for count, share in zip(counts, shares, strict=True):
                self.assertAllClose(count, 1000 * share, atol=4 * np.sqrt(1000 * share * (1 - share)))

    def test_each_source_has_its_own_epochs(self):
        drawn = self.drawn((1, 1), 200)
        first, second = ([i for i in drawn if i // 100 == kind] for kind in (0, 1))
        for epoch in range(len(first) // 10):
            self.assertCountEqual(first[10 * epoch : 10 * epoch + 10], range(10))
        for epoch in range(len(second) // 20):
            self.assertCountEqual(second[20 * epoch : 20 * epoch + 20], range(100, 120))
        self.assertGreater(min(len(first), len(second)), 60)

    def test_a_resumed_run_goes_on_with_the_same_mixture(self):
        whole = self.drawn((1, 2, 3), 120, seed=7)
        for step in (1, 5, 11):
            self.assertEqual(self.drawn((1, 2, 3), 120 - 10 * step, seed=7, first=10 * step), whole[10 * step :])
        self.assertNotEqual(self.drawn((1, 2, 3), 120, seed=8), whole)

    def test_a_resumption_far_on(self):
        """Choices are drawn block by block, here 32 at a time; positions just before and behind the ends of blocks."""
        with mock.patch.object(pipeline, "_DRAWN_TOGETHER", 32):
            whole = self.drawn((1, 3), 200, seed=1)
            for first in (30, 34, 128):
                self.assertEqual(self.drawn((1, 3), 200 - first, 2, seed=1, first=first), whole[first:], first)

    def test_workers_read_clips_of_their_own(self):
        parts = [self.drawn((1,), 50, 5, worker=worker, workers=2) for worker in range(2)]
        for epoch in range(5):
            once = [i for part in parts for i in part[5 * epoch : 5 * epoch + 5]]
            self.assertCountEqual(once, range(10))
        mixtures = [self.drawn((1, 1), 100, worker=worker, workers=2) for worker in range(2)]
        self.assertNotEqual([i // 100 for i in mixtures[0]], [i // 100 for i in mixtures[1]])
        again = self.drawn((1, 1), 60, first=40, worker=1, workers=2)
        self.assertEqual(again, mixtures[1][40:])


class UnreadableTest(FolderTest):
    def test_the_record_that_cannot_be_decoded_is_named(self):
        """Its fields and the header of its strip are good, so that only decoding finds out."""
        whole = pictures.encode_strip(noise(), pictures.StripEncoding("png"))
        shard = self.root / "a.tfrecord"
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for strip in (whole, whole[:-400], whole):
                writer.write(records.example(strip, 4, "a.mp4", 0))
        source = open_source(str(shard), 16, 4)
        fault = rf"{shard}: record 1: no clip of schema 1: Invalid PNG data, size \d+"
        said = rf"^the clips cannot be read on \({fault}\); tfvideogan.verify_data names all such records$"
        for batches in (
            pipeline.spread_batches(source, 4, 1, 2),
            pipeline.evaluation_batches(source, 4, 1, 3),
            pipeline.clips_in_order(source, 4),
        ):
            with self.assertRaisesRegex(UsageError, said):
                list(pipeline.arrays(batches, source))
        (first,) = pipeline.arrays(pipeline.evaluation_batches(source, 4, 1, 1), source)
        self.assertAllEqual(clips.to_uint8(first[0]), noise())

    def test_errors_of_who_uses_the_clips_are_left_alone(self):
        source = Indexed(Numbered(2))
        with self.assertRaises(tf.errors.InvalidArgumentError):
            for _ in pipeline.arrays(pipeline.clips_in_order(source, 2), source):
                tf.reshape(tf.zeros([2]), [3])


class EvaluationBatchesTest(tf.test.TestCase):
    def indices(self, batches: tf.data.Dataset) -> list[list[int]]:
        return indices(batches.map(clips.to_uint8))

    def test_the_first_clips_in_order_with_a_smaller_last_batch(self):
        for asked, expected in ((7, [[0, 1, 2], [3, 4, 5], [6]]), (6, [[0, 1, 2], [3, 4, 5]]), (2, [[0, 1]])):
            with self.subTest(asked=asked):
                self.assertEqual(self.indices(pipeline.evaluation_batches(Indexed(Numbered(8)), 2, 3, asked)), expected)

    def test_no_more_clips_than_there_are(self):
        self.assertEqual(self.indices(pipeline.evaluation_batches(Indexed(Numbered(4)), 2, 3, 100)), [[0, 1, 2], [3]])

    def test_values_are_in_the_range_of_models(self):
        (batch,) = pipeline.evaluation_batches(Indexed(Numbered(256)), 2, 256, 256)
        self.assertEqual((batch.dtype, batch.shape), (tf.float32, (256, 2, 4, 4, 3)))
        self.assertAllEqual([tf.reduce_min(batch), tf.reduce_max(batch)], [-1.0, 1.0])

    def test_the_first_frames_of_longer_clips(self):
        (batch,) = pipeline.evaluation_batches(Indexed(Frames(1, 8)), 3, 1, 1)
        self.assertAllEqual(np.rint((batch.numpy()[0, :, 0, 0, 0] + 1) * 127.5), [0, 1, 2])
