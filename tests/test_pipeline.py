"""The order of clips: a permutation each epoch, and the same again after a resumption."""

import collections

import numpy as np
import tensorflow as tf

from tfvideogan.data import pipeline
from tfvideogan.data.sources import Indexed, Weighted


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
    batches = [np.rint((batch.numpy() + 1) * 127.5) for batch in dataset.take(count)]
    return [batch[:, 0, 0, 0, 0].astype(int).tolist() for batch in batches]


def order(size: int, batch_size: int, batches: int, seed: int = 0, start_step: int = 0) -> list[int]:
    dataset = pipeline.training_batches(weighted(size), 2, batch_size, seed, start_step)
    return [i for batch in indices(dataset, batches) for i in batch]


class TrainingBatchesTest(tf.test.TestCase):
    def test_each_epoch_is_a_permutation(self):
        for size, batch_size in ((12, 4), (10, 4), (3, 8), (1, 2)):  # batches may straddle epochs
            with self.subTest(size=size, batch_size=batch_size):
                clips = order(size, batch_size, -(-4 * size // batch_size))
                for epoch in range(4):
                    self.assertCountEqual(clips[epoch * size : (epoch + 1) * size], range(size))

    def test_epochs_and_seeds_have_their_own_order(self):
        first, second, other = order(20, 20, 1), order(20, 20, 1, start_step=1), order(20, 20, 1, seed=1)
        self.assertLen({tuple(x) for x in (first, second, other, range(20))}, 4)
        self.assertEqual(order(20, 20, 1), first)

    def test_a_resumed_run_goes_on_with_the_same_clips(self):
        whole = order(10, 4, 12, seed=5)
        for step in (1, 5, 11):
            with self.subTest(step=step):
                self.assertEqual(order(10, 4, 12 - step, seed=5, start_step=step), whole[4 * step :])

    def test_batches_are_float_clips_of_static_shape(self):
        dataset = pipeline.training_batches(weighted(256), 2, 64, seed=0)
        self.assertEqual(dataset.element_spec, tf.TensorSpec([64, 2, 4, 4, 3], tf.float32))
        values = np.concatenate([batch.numpy() for batch in dataset.take(4)])
        self.assertAllEqual([values.min(), values.max()], [-1.0, 1.0])
        self.assertAllClose(np.sort(values[:, 0, 0, 0, 0]), np.arange(256) / 127.5 - 1)


class EvaluationBatchesTest(tf.test.TestCase):
    def test_the_first_clips_in_order_with_a_smaller_last_batch(self):
        for asked, expected in ((7, [[0, 1, 2], [3, 4, 5], [6]]), (6, [[0, 1, 2], [3, 4, 5]]), (2, [[0, 1]])):
            with self.subTest(asked=asked):
                self.assertEqual(indices(pipeline.evaluation_batches(Indexed(Numbered(8)), 2, 3, asked)), expected)

    def test_no_more_clips_than_there_are(self):
        self.assertEqual(indices(pipeline.evaluation_batches(Indexed(Numbered(4)), 2, 3, 100)), [[0, 1, 2], [3]])

    def test_values_are_in_the_range_of_models(self):
        (batch,) = pipeline.evaluation_batches(Indexed(Numbered(256)), 2, 256, 256)
        self.assertEqual((batch.dtype, batch.shape), (tf.float32, (256, 2, 4, 4, 3)))
        self.assertAllEqual([tf.reduce_min(batch), tf.reduce_max(batch)], [-1.0, 1.0])
