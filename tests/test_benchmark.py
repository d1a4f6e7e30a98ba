"""The benchmarks of networks and of loaders, as a user runs them."""

import os
import re

import tensorflow as tf

from tests.helpers.command_case import CommandCase


class BenchmarkTest(CommandCase):
    def test_benchmark_reports_every_network_asked_for(self):
        out = self.succeed(
            "benchmark",
            "--networks=vgan_two_stream",
            "--models=mdgan",
            "--base_width=1",
            "--batch_size=1",
            "--repeats=1",
            "--precision=both",
        )
        for dtype, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16")):
            self.assertRegex(out, rf"matrix product: \d+ GFLOP/s in {dtype}; networks in {policy}\n")
        for label in ("vgan_two_stream, forward", "mdgan stage 1, train", "mdgan stage 2, train"):
            self.assertEqual(out.count(label), 2)

    def test_benchmark_loader_reports_both_sizes_on_one_core_and_on_all(self):
        out = self.succeed("benchmark_loader", "--steps=0", "--repeats=1", "--num_clips=4", "--timed_clips=8")
        rows = re.findall(r"(64|128) x \1, jpeg +(\d+) +(\d+)", out)
        cores = len(os.sched_getaffinity(0))
        self.assertEqual(
            [(size, int(n)) for size, n, _ in rows], [(s, n) for s in ("64", "128") for n in sorted({1, cores})]
        )
        self.assertGreater(min(int(rate) for _, _, rate in rows), 0)


if __name__ == "__main__":
    tf.test.main()
