"""Clips by their number, for several workers."""

import itertools

import tensorflow as tf

from tests.data.case import marked
from tfvideogan.data.indexed import Indexed
from tfvideogan.data.synthetic import Sky


class IndexedTest(tf.test.TestCase):
    def drawn(self, source: Indexed, count: int, **options) -> list[int]:
        return [int(clip[0, 0, 0, 0]) for clip in source.shuffled(0, 0, **options).take(count).map(source.load)]

    def test_workers_have_parts_of_their_own_and_together_all(self):
        source = Indexed([marked(i) for i in range(10)])
        parts = [self.drawn(source, 5, worker=worker, workers=2) for worker in range(2)]
        self.assertCountEqual(itertools.chain(*parts), range(10))
        one = self.drawn(source, 10)
        self.assertEqual(parts, [one[::2], one[1::2]])

    def test_in_order(self):
        source = Indexed([marked(i) for i in range(3)])
        clips = list(source.in_order().map(source.load))
        self.assertAllEqual(clips, [marked(i) for i in range(3)])
        self.assertEqual((clips[0].dtype, clips[0].shape), (tf.uint8, (4, 16, 16, 3)))

    def test_clips_that_stand_for_all_lie_at_equal_distances(self):
        source = Indexed([marked(i) for i in range(10)])
        for count, expected in ((1, [0]), (2, [0, 5]), (3, [0, 3, 6]), (10, range(10)), (11, range(10))):
            self.assertAllEqual([clip[0, 0, 0, 0] for clip in source.spread(count).map(source.load)], [*expected])
        self.assertAllEqual(list(Indexed(Sky(16, 4)).spread(3)), [0, 1, 2])  # They are all alike.
