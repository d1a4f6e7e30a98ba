"""Hosts take the checkpoint that the chief takes, or end."""

import time
from unittest import mock

import tensorflow as tf

from tests.training.case import TrainingTest
from tfvideogan.config import UsageError
from tfvideogan.runs import run_folder
from tfvideogan.training import hosts, runtime


class HostsTest(TrainingTest):
    def other_host(self, chiefs: int) -> runtime.Runtime:
        """The second of two hosts, of which the chief has a checkpoint of stage 1 and this step."""

        class Host(runtime.Runtime):
            def sum_over_hosts(self, value: int) -> int:
                return value + 10**12 + chiefs

        return Host(tf.distribute.get_strategy(), xla=False, worker=1, workers=2)

    def test_a_host_takes_the_checkpoint_that_the_chief_takes(self):
        run = run_folder.RunFolder(self.train("shared", steps=4, keep=9))
        newest, beside = run.latest(), self.folder / "shown late"
        seen = hosts.latest_on_all_hosts(run, self.other_host(4))
        self.assertEqual(seen, newest)
        newest.path.rename(beside)
        with mock.patch.object(time, "sleep", lambda _: beside.rename(newest.path)):
            self.assertEqual(hosts.latest_on_all_hosts(run, self.other_host(4)), newest)

    def test_a_host_that_sees_other_checkpoints_ends(self):
        run = run_folder.RunFolder(self.train("not shared", steps=4, keep=9))
        for stage in (None, 1, 2):
            with (
                self.subTest(stage=stage),
                mock.patch.object(hosts, "SECONDS_TO_SEE", 0.01),
                mock.patch.object(time, "sleep"),
                self.assertRaisesRegex(UsageError, f"--run_dir must be on a file system .* Received: {run.path}"),
            ):
                hosts.latest_on_all_hosts(run, self.other_host(2), stage)


if __name__ == "__main__":
    tf.test.main()
