"""The promises of docs/reliability.md for several hosts, on real processes; SOAK=1 takes the long form of each."""

import json
import signal
import time
from pathlib import Path

import tensorflow as tf

from tests.helpers.commands import Command
from tests.helpers.made_files import free_ports
from tests.training.processes import MDGAN, SOAK, digest, end, start, steps_logged, variables, wait_for
from tfvideogan.runs import run_folder


class HostsTest(tf.test.TestCase):
    """Two processes on this machine as two hosts."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.flags = [*MDGAN, "--data=synthetic:sprites", "--ema=0.9", "--sync_batch_norm"]

    def start_hosts(self, run_dir: Path, *flags: str) -> list[Command]:
        addresses = [f"localhost:{port}" for port in free_ports(2)]
        configs = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(2)]
        flags = [*self.flags, *flags, "--strategy=multi_worker"]
        return [start(self, run_dir, *flags, TF_CONFIG=json.dumps(config)) for config in configs]

    def test_two_hosts_give_the_weights_of_one_and_go_on_exactly(self):
        flags = [f"--steps={20 if SOAK else 12}", f"--refine_steps={4 if SOAK else 0}", "--checkpoint_every=4"]
        status, said = end(start(self, self.folder / "one", *self.flags, *flags))
        self.assertEqual(status, 0, said)
        for host in self.start_hosts(self.folder / "two", *flags):
            status, said = end(host)
            self.assertEqual(status, 0, said)
        one, two = variables(self.folder / "one"), variables(self.folder / "two")
        self.assertEqual(list(one), list(two))
        for name, value in one.items():
            if name.startswith(("generator/", "discriminator/", "ema_generator/")):
                self.assertAllClose(value, two[name], atol=1e-5, msg=name)

        killed = self.folder / "killed"
        hosts = self.start_hosts(killed, *flags)
        wait_for(lambda: steps_logged(killed) >= 6, hosts[0])
        hosts[1].kill()
        asked = time.monotonic()
        status, said = end(hosts[0])
        self.assertLess(time.monotonic() - asked, 60)
        self.assertEqual(status, 5, said)
        self.assertIn("another host is gone", said.splitlines()[-1])
        self.assertNotIn("Traceback", said)
        end(hosts[1])
        for host in self.start_hosts(killed, *flags):
            status, said = end(host)
            self.assertEqual(status, 0, said)
        self.assertEqual(digest(killed), digest(self.folder / "two"))

    def test_the_chief_killed_ends_the_others_and_sigterm_to_one_stops_all(self):
        for victim, number in ((0, signal.SIGKILL), (1, signal.SIGTERM)):
            run_dir = self.folder / f"signal{number}"
            hosts = self.start_hosts(run_dir, "--steps=100000", "--nosync_batch_norm")
            wait_for(lambda run_dir=run_dir: steps_logged(run_dir) >= 3, hosts[0])
            asked = time.monotonic()
            hosts[victim].send_signal(number)
            ended = [end(host) for host in hosts]
            self.assertLess(time.monotonic() - asked, 60)
            expected = [-9, 5] if number == signal.SIGKILL else [143, 143]
            self.assertEqual([status for status, _ in ended], expected, ended)
        self.assertEqual(run_folder.RunFolder(run_dir).latest().step, steps_logged(run_dir))

    def test_a_host_that_waits_for_the_others_hears_ctrl_c(self):
        config = {"cluster": {"worker": [f"localhost:{port}" for port in free_ports(2)]}}
        config["task"] = {"type": "worker", "index": 0}
        flags = [*self.flags, "--strategy=multi_worker"]
        training = start(self, self.folder / "alone", *flags, TF_CONFIG=json.dumps(config))
        wait_for(lambda: "waiting for all hosts" in training.err, training)
        time.sleep(2)
        training.send_signal(signal.SIGINT)
        status, said = end(training)
        self.assertEqual(status, -signal.SIGINT, said)
        self.assertFalse((self.folder / "alone").exists())


if __name__ == "__main__":
    tf.test.main()
