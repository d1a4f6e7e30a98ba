"""Timings with numbers worked by hand, and a network's operations counted by hand."""

from unittest import mock

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.metrics import speed


class SpeedTest(tf.test.TestCase):
    def test_the_call_that_warms_up_is_not_counted(self):
        calls = []
        timings = speed.time_repeats(lambda: calls.append(0), repeats=4)
        self.assertEqual((len(calls), len(timings.seconds)), (5, 4))
        self.assertBetween(timings.median, 0.0, 0.1)

    def test_a_slow_call_is_timed_three_times_and_no_more(self):
        calls = []
        timings = speed.time_repeats(lambda: calls.append(0), repeats=10, longest=0.0)
        self.assertEqual((len(calls), len(timings.seconds)), (4, 3))
        self.assertLen(speed.time_repeats(lambda: None, repeats=2, longest=0.0).seconds, 2)

    def test_median_and_percentile_worked_by_hand(self):
        timings = speed.Timings((0.4, 0.1, 0.2, 0.3, 1.0))
        self.assertAlmostEqual(timings.median, 0.3)
        self.assertAlmostEqual(timings.p95, 0.4 + 0.8 * 0.6)  # at place 0.95 * 4 = 3.8 of 0.1, 0.2, 0.3, 0.4, 1.0
        self.assertAlmostEqual(speed.Timings((0.1, 0.2, 0.3, 0.6)).median, 0.25)

    def test_the_wait_for_a_batch_is_told_beside_a_step_by_hand(self):
        """A step waits 8 s and warms up; two others wait 1 of 4 s and 2 of 6 s."""
        clock = iter([0.0, 8.0, 10.0, 10.0, 11.0, 14.0, 20.0, 20.0, 22.0, 26.0])
        steps = []
        with mock.patch.object(speed.time, "perf_counter", lambda: next(clock)):
            timings, waiting = speed.time_steps(steps.append, iter("abc"), repeats=2)
        self.assertEqual(steps, ["a", "b", "c"])
        self.assertAllClose((timings.median, waiting), (5.0, 0.3))

    def test_the_yardstick_is_measured_twice_as_often_and_nine_times_at_most(self):
        with mock.patch.object(speed, "time_repeats", return_value=speed.Timings((0.5,))) as timed:
            for repeats, expected in ((1, 2), (4, 8), (5, 9), (50, 9)):
                self.assertEqual(speed.matrix_product_rate(8, repeats=repeats), 2 * 8**3 / 0.5 / 1e9)
                self.assertEqual(timed.call_args.kwargs["repeats"], expected)

    def test_operations_of_a_network_counted_by_hand(self):
        network = tiny.model("vgan_one_stream").generator
        # Widths 4, 2 and 3 colours: 100 -> 1x4x4, 1x4x4 -> 2x8x8, 2x8x8 -> 4x16x16; 64 taps at each input position.
        by_hand = 2 * (100 * 4 * 16 + 64 * 16 * 4 * 2 + 64 * 128 * 2 * 3)
        self.assertEqual(speed.flops_per_clip(network), by_hand)


if __name__ == "__main__":
    tf.test.main()
