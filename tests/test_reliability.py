"""The promises of docs/reliability.md on real processes; SOAK=1 (`make soak`) takes the long form of each."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from made_files import free_ports

from tfvideogan import checkpoints

ROOT = Path(__file__).parents[1]
SOAK = bool(os.environ.get("SOAK"))
STEPS, KILLS = (200, 20) if SOAK else (40, 2)
WATCHED_SECONDS = 1800 if SOAK else 30
SIZES = ["--base_width=2", "--num_frames=4", "--batch_size=4", "--init_stddev=0.1"]
VGAN = ["--model=vgan", "--frame_size=16", *SIZES]
MDGAN = ["--model=mdgan", "--frame_size=32", "--init_stddev=0.02", *SIZES[:-1]]


def start(run_dir: Path, *flags: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tfvideogan.train", f"--run_dir={run_dir}", "--log_every=1", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen, seconds: float = 300) -> tuple[int, str]:
    """Its exit status and what it said."""
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def steps_logged(run_dir: Path) -> int:
    log = run_dir / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    """Until the condition holds or the process ends."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        if time.monotonic() > deadline:
            raise AssertionError("it did not come so far")
        time.sleep(0.001)


def variables(run_dir: Path) -> dict[str, np.ndarray]:
    """All that the last checkpoint holds."""
    reader = tf.train.load_checkpoint(str(checkpoints.RunFolder(run_dir).latest().path / "variables"))
    names = sorted(reader.get_variable_to_shape_map())
    return {name: reader.get_tensor(name) for name in names if name.endswith("VARIABLE_VALUE")}


def digest(run_dir: Path) -> str:
    """SHA-256 over all variables of both networks, both optimizers, the average and the counters."""
    found = hashlib.sha256()
    for name, value in variables(run_dir).items():
        found.update(name.encode() + value.tobytes())
    return found.hexdigest()


class ReliabilityTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def succeed(self, run_dir: Path, *flags: str) -> str:
        status, said = end(start(run_dir, *flags))
        self.assertEqual(status, 0, said)
        return said

    def test_a_run_killed_at_any_moment_ends_as_the_one_that_was_not(self):
        flags = [*VGAN, "--ema=0.9", "--flip", f"--steps={STEPS}", "--checkpoint_every=10", "--sample_every=50"]
        self.succeed(self.folder / "whole", *flags)
        expected, chance, during_a_save = digest(self.folder / "whole"), random.Random(4), 0
        for kill in range(KILLS):
            run_dir = self.folder / f"killed{kill}"
            process = start(run_dir, *flags)
            if kill % 2:
                moment = chance.randrange(1, STEPS)
                wait_for(lambda run_dir=run_dir, moment=moment: steps_logged(run_dir) >= moment, process)
                time.sleep(chance.random() * 0.05)
            else:  # during one of the saves, whose folder is then left unfinished
                save = chance.randrange(STEPS // 10) * 10
                part = run_dir / "checkpoints" / f".stage1-step{save:08d}.part"
                wait_for(part.exists, process)
                time.sleep(chance.random() * 0.005)
            process.kill()
            end(process)
            during_a_save += any((run_dir / "checkpoints").glob(".*.part"))
            self.succeed(run_dir, *flags)
            self.assertEqual(digest(run_dir), expected, f"kill {kill}")
            steps = [json.loads(line)["step"] for line in (run_dir / "log.jsonl").read_text().splitlines()]
            self.assertEqual(steps, list(range(1, STEPS + 1)))
        print(f"{KILLS} of {KILLS} killed runs equal, {during_a_save} killed during a save")
        self.assertGreater(during_a_save, 0)

    def test_sigterm_saves_the_step_and_ends_with_143_within_30_seconds(self):
        flags = [*VGAN, "--ema=0.9", "--steps=100000", "--checkpoint_every=100000"]
        process = start(self.folder / "run", *flags)
        wait_for(lambda: steps_logged(self.folder / "run") >= 5, process)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status, said = end(process)
        self.assertEqual(status, 143, said)
        self.assertLess(time.monotonic() - asked, 30)
        saved = checkpoints.RunFolder(self.folder / "run").latest().step
        self.assertEqual(saved, steps_logged(self.folder / "run"))
        self.assertIn(f"saving step {saved}", said)

    def test_only_damaged_checkpoints_end_with_3_and_begin_nothing(self):
        run_dir = self.folder / "run"
        self.succeed(run_dir, *VGAN, "--steps=2")
        for manifest in run_dir.glob("checkpoints/*/manifest.json"):
            manifest.write_bytes(manifest.read_bytes()[:-9])
        before = sorted(path.name for path in run_dir.glob("checkpoints/*"))
        status, said = end(start(run_dir, *VGAN, "--steps=2"))
        self.assertEqual(status, 3, said)
        self.assertEqual(said.count("is passed over"), len(before))
        self.assertIn("all 2 checkpoints", said.splitlines()[-1])
        self.assertEqual(sorted(path.name for path in run_dir.glob("checkpoints/*")), before)

    def test_memory_and_threads_stay(self):
        flags = [*VGAN, "--ema=0.9", "--steps=10000000", "--checkpoint_every=50", "--sample_every=100"]
        process = start(self.folder / "run", *flags)
        self.addCleanup(process.kill)
        wait_for(lambda: steps_logged(self.folder / "run") >= 300, process)
        memory, threads = [], []
        deadline = time.monotonic() + WATCHED_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            said = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
            memory.append(int(said["VmRSS"].split()[0]))
            threads.append(int(said["Threads"]))
            time.sleep(0.5)
        self.assertIsNone(process.poll())
        tenth = len(memory) // 10
        first, last = statistics.median(memory[:tenth]), statistics.median(memory[-tenth:])
        told = (
            f"{first} kB at first, {last} kB after {WATCHED_SECONDS} s ({last / first - 1:+.2%}), {threads[-1]} threads"
        )
        print(told, f"{steps_logged(self.folder / 'run')} steps")
        self.assertLess(last / first, 1.02, told)
        self.assertEqual(statistics.median(threads[:tenth]), statistics.median(threads[-tenth:]))

    def test_a_full_disk_is_told_and_earlier_checkpoints_stay_good(self):
        with small_disk(self.folder / "disk", "1500k") as disk:
            run_dir = disk / "run"
            flags = [*VGAN, "--checkpoint_every=5", "--keep=99", "--sample_every=1000"]
            status, said = end(start(run_dir, *flags, "--steps=60"))
            self.assertEqual(status, 2, said)
            self.assertIn("the checkpoint of step", said)
            self.assertIn("the run goes on", said)
            self.assertIn("No space left on device", said.splitlines()[-1])
            self.assertNotIn("Traceback", said)
            good = checkpoints.RunFolder(run_dir).latest()
            self.assertGreater(good.step, 0)
            self.assertEmpty(list(run_dir.glob("checkpoints/.*")))
            for old in sorted(run_dir.glob("checkpoints/*"))[:3]:  # what its owner would do
                shutil.rmtree(old)
            told = self.succeed(run_dir, *flags, "--steps=60", "--keep=1")
            self.assertIn(f"goes on from step {good.step}", told)

    def test_deterministic_runs_are_equal_bit_for_bit(self):
        flags = [*MDGAN, "--steps=5", f"--refine_steps={3 if SOAK else 0}", "--deterministic"]
        for name in ("first", "second"):
            self.assertIn("deterministic ops", self.succeed(self.folder / name, *flags))
        self.assertEqual(digest(self.folder / "first"), digest(self.folder / "second"))


class HostsTest(tf.test.TestCase):
    """Two processes on this machine as two hosts."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.flags = [*MDGAN, "--data=synthetic:sprites", "--ema=0.9", "--sync_batch_norm"]

    def start_hosts(self, run_dir: Path, *flags: str) -> list[subprocess.Popen]:
        addresses = [f"localhost:{port}" for port in free_ports(2)]
        configs = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}} for index in range(2)]
        flags = [*self.flags, *flags, "--strategy=multi_worker"]
        return [start(run_dir, *flags, TF_CONFIG=json.dumps(config)) for config in configs]

    def test_two_hosts_give_the_weights_of_one_and_go_on_exactly(self):
        flags = ["--steps=20", f"--refine_steps={4 if SOAK else 0}", "--checkpoint_every=5"]
        alone = start(self.folder / "one", *self.flags, *flags)
        self.assertEqual(end(alone)[0], 0)
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
        wait_for(lambda: steps_logged(killed) >= 8, hosts[0])
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
            hosts = self.start_hosts(run_dir, "--steps=100000")
            wait_for(lambda run_dir=run_dir: steps_logged(run_dir) >= 3, hosts[0])
            asked = time.monotonic()
            hosts[victim].send_signal(number)
            ended = [end(host) for host in hosts]
            self.assertLess(time.monotonic() - asked, 60)
            expected = [-9, 5] if number == signal.SIGKILL else [143, 143]
            self.assertEqual([status for status, _ in ended], expected, ended)
        self.assertEqual(checkpoints.RunFolder(run_dir).latest().step, steps_logged(run_dir))


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own; skips where only root may mount one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, text=True
    )
    if made.returncode:
        raise tf.test.TestCase.skipTest(tf.test.TestCase(), f"needs the right to mount: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


if __name__ == "__main__":
    tf.test.main()
