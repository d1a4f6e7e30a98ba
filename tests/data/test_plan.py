"""The plan of a data set: which split and which shard an input goes to."""

import collections
import hashlib
import math

import tensorflow as tf

from tfvideogan.data import plan
from tfvideogan.data.inputs import Input


class PlanTest(tf.test.TestCase):
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
