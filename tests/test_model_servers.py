"""SavedModels behind servers in environments of their own, and under load. SERVING=1 (`make test-serving`) runs this.

Everything listens and calls on 127.0.0.1 alone. SOAK=1 (`make soak`) holds the load for ten
minutes by each protocol.
"""

import collections
import contextlib
import os
import pickle
import random
import shutil
import statistics
import subprocess
import threading
import time
import unittest
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from export import to_saved_model
from tests.helpers import ROOT, folders, model_server, tiny
from tests.helpers.made_files import picture, process_status
from tests.inference.test_signatures import png_bomb
from tfvideogan import RemoteModel
from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.inference import transports
from tfvideogan.runs import loading
from tfvideogan.weights import shipped

PYTHON_SERVING = Path(os.environ.get("VENV_SERVING", ROOT / ".venv-serving")) / "bin" / "python"
PYTHON_2_16 = Path(os.environ.get("VENV_IO", ROOT / ".venv-io")) / "bin" / "python"
SOAK = bool(os.environ.get("SOAK"))
CLIENTS, REQUESTS, SOAK_SECONDS = 64, 2000, 600
DEADLINE = 120
SKIES = "mdgan-skies-64"


@unittest.skipUnless(os.environ.get("SERVING"), "SERVING=1 (make test-serving) starts model servers")
class ModelServersTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls)
        skies, _ = loading.load_model(shipped.path_of(SKIES))
        cls.models = {"vgan": tiny.shaken("vgan"), "skies": skies}
        for name, model in cls.models.items():
            to_saved_model.save(model, paths.path(cls.folder / name / "1"), True, 16, warm_up=True)

    @contextlib.contextmanager
    def serving(self, kind: str) -> Iterator[tuple[str, subprocess.Popen]]:
        """The target of a server process, and the process."""
        models = [f"{name}={self.folder / name / '1'}" for name in self.models]
        log = (self.folder / f"{kind}.log").open("w+")
        process = subprocess.Popen(
            [PYTHON_SERVING, ROOT / "tests/helpers/serve.py", kind, *models], stdout=subprocess.PIPE, stderr=log,
            text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        try:
            # Servers log to standard output, too.
            target = next((line.strip() for line in process.stdout if "://127.0.0.1:" in line[:20]), None)
            self.assertIsNotNone(target, (self.folder / f"{kind}.log").read_text()[-2000:])
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield target, process
        finally:
            process.kill()
            process.wait()
            log.close()

    def test_tensorflow_2_16_gives_the_same(self):
        seeds, frame = np.arange(3), np.random.default_rng(0).integers(0, 256, [2, 64, 64, 3], np.uint8)
        wind = np.float32([[0.01, 0], [0, -0.01]])
        requests = [
            ("vgan", "generate", {"seed": seeds}),
            ("vgan", "generate_from_latents", {"latents": np.random.default_rng(1).normal(size=[3, 100])}),
            ("vgan", "streams", {"latents": np.zeros([1, 100])}),
            ("vgan", "generate_jpeg", {"seed": seeds}),
            ("skies", "predict_video", {"frame": frame, "wind": wind}),
            ("skies", "predict_jpeg", {"image_bytes": [picture(), picture(kind="PNG")], "wind": wind}),
        ]
        served = {name: str(self.folder / name / "1") for name in self.models}
        (self.folder / "requests").write_bytes(pickle.dumps((served, requests), protocol=4))
        code = """
            import pickle, sys
            import tensorflow as tf
            from tests.helpers.model_server import Server
            assert tf.__version__.startswith("2.16."), tf.__version__
            served, requests = pickle.load(open(sys.argv[1], "rb"))
            server = Server(served)
            answers = [server.run(*request) for request in requests]
            answers = [{name: value.tolist() for name, value in answer.items()} for answer in answers]
            pickle.dump(answers, open(sys.argv[2], "wb"), protocol=4)
        """
        lines = "\n".join(line.strip() for line in code.splitlines())
        files = [self.folder / "requests", self.folder / "answers"]
        subprocess.run([PYTHON_2_16, "-c", lines, *files], cwd=ROOT, check=True, timeout=600)
        answers = pickle.loads((self.folder / "answers").read_bytes())
        server = model_server.Server(served)
        for request, answer in zip(requests, answers, strict=True):
            for name, expected in server.run(*request).items():
                got = np.asarray(answer[name], expected.dtype)
                if expected.dtype == object:
                    self.assertEqual(got.shape, expected.shape)
                else:
                    atol = 1 if expected.dtype == np.uint8 else 1e-4
                    self.assertAllClose(
                        got.astype(np.float32), expected.astype(np.float32), atol=atol, msg=str(request[:2])
                    )

    @parameterized.parameters("kserve", "grpc")
    def test_the_client_gets_the_clips_of_keras(self, kind):
        with self.serving(kind) as (target, _):
            vgan = RemoteModel(target, "vgan", DEADLINE)
            session = model_server.Server({"vgan": str(self.folder / "vgan" / "1")})
            expected = session.run("vgan", "generate", {"seed": np.arange(16)})["frames"]
            self.assertAllClose(vgan.generate(range(20), lossless=True)[:16].astype(int), expected.astype(int), atol=1)
            (self.folder / "photo.jpg").write_bytes(picture(300, 400))
            clip = RemoteModel(target, "skies", DEADLINE).predict(self.folder / "photo.jpg", (0.01, 0))
            self.assertEqual(clip.shape, (1, 32, 64, 64, 3))
            large = {"frame": np.zeros([8, 64, 64, 3], np.uint8), "wind": np.zeros([8, 2], np.float32)}
            video = transports.open_transport(target, "skies").call("predict_video", large, "video", DEADLINE)
            self.assertEqual(np.shape(video), (8, 32, 64, 64, 3))  # 12 MB, where gRPC's own limit is 4
            for text, name in (("1 to 16 rows", "vgan"), ("not found|does not exist", "none")):
                with self.assertRaisesRegex(UsageError, text) as caught:
                    RemoteModel(target, name, DEADLINE, max_batch=17).generate(range(17))
                self.assertEqual(caught.exception.status, 2)

    @parameterized.parameters("kserve", "grpc")
    def test_no_good_request_is_lost_among_bad_ones_under_load(self, kind):
        with self.serving(kind) as (target, process):
            before = Load(target)
            before.run(200, 0)
            memory, begun = process_status(process.pid)["VmRSS"], time.monotonic()
            load = Load(target)
            load.run(REQUESTS, SOAK_SECONDS if SOAK else 0)
            seconds, grown = time.monotonic() - begun, process_status(process.pid)["VmRSS"] - memory
            told = f"{kind}: {load.describe(seconds)}; memory {memory / 1024:.0f} MB {grown / 1024:+.0f} MB"
            print(f"\n{told}")
            self.assertEqual(load.wrong, [], told)
            self.assertGreater(load.bad, load.good // 20)
            self.assertLess(grown, 0.15 * memory, told)
            self.assertLen(RemoteModel(target, "vgan", DEADLINE).generate(7), 1)

    def test_latency_by_batch(self):
        """Prints docs/serving.md's table."""
        with self.serving("grpc") as (target, _):
            transport = transports.open_transport(target, "skies")
            frame = [picture(300, 400)]
            for rows in (1, 2, 4, 8, 16):
                inputs = {"image_bytes": frame * rows, "wind": np.tile(np.float32([0.01, 0]), [rows, 1])}
                seconds = []
                for _ in range(3 + max(5, 40 // rows)):
                    begun = time.monotonic()
                    strips = transport.call("predict_jpeg", inputs, "filmstrip_bytes", DEADLINE)
                    seconds.append(time.monotonic() - begun)
                    self.assertLen(strips, rows)
                median, worst = statistics.median(seconds[3:]), max(seconds[3:])
                print(f"| {rows} | {median * 1000:.0f} ms | {worst * 1000:.0f} ms | {rows / median:.1f} |")

    def test_a_container_answers(self):
        """`docker compose up` as docs/serving.md has it, where a Docker daemon runs and has or gets the image."""
        if not shutil.which("docker"):
            self.skipTest("docker is not installed")
        asked = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60, check=False)
        if asked.returncode:
            self.skipTest(f"docker: {asked.stderr.strip().splitlines()[-1]}")
        from export import server_files

        folder = self.folder / "skies"
        server_files.write_files(paths.path(folder), 16)
        up = subprocess.run(["docker", "compose", "up", "-d"], cwd=folder, capture_output=True, text=True, check=False)
        self.addCleanup(subprocess.run, ["docker", "compose", "down"], cwd=folder, check=False)
        self.assertEqual(up.returncode, 0, up.stderr)
        for target in ("rest://127.0.0.1:8501", "grpc://127.0.0.1:8500"):
            model = RemoteModel(target, "skies", deadline=DEADLINE, retries=20)
            self.assertEqual(model.predict(np.zeros([9, 9, 3], np.uint8), (0, 0)).shape, (1, 32, 64, 64, 3))


class Load:
    """Requests of many clients, of which one in ten is bad.

    Attributes:
        wrong: what should not have happened, a line each.
    """

    def __init__(self, target: str):
        still, wind = picture(), np.float32([[0.01, 0]])
        self._transports = {name: transports.open_transport(target, name) for name in ("vgan", "skies", "none")}
        latents = np.zeros([2, 100], np.float32)
        self._good = [
            ("vgan", "generate_jpeg", {"seed": np.int64([7])}, "filmstrip_bytes"),
            ("vgan", "generate", {"seed": np.arange(3)}, "frames"),
            ("vgan", "generate_from_latents", {"latents": latents}, "video"),
            ("skies", "predict_jpeg", {"image_bytes": [still], "wind": wind}, "filmstrip_bytes"),
        ]
        self._bad = [
            ("vgan", "generate", {"seed": np.int64([[1, 2]])}, "INVALID_ARGUMENT"),
            ("vgan", "generate", {"seed": np.arange(17)}, "INVALID_ARGUMENT"),
            ("vgan", "generate_from_latents", {"latents": latents * np.float32("nan")}, "INVALID_ARGUMENT"),
            ("vgan", "generate_from_latents", {"latents": latents[:, :99]}, "INVALID_ARGUMENT"),
            ("vgan", "generate_from_latents", {"latents": latents + 1e9}, "INVALID_ARGUMENT"),
            ("vgan", "generate", {"latents": latents}, "INVALID_ARGUMENT"),
            ("vgan", "rain", {"seed": np.int64([7])}, "INVALID_ARGUMENT FAILED_PRECONDITION"),
            ("none", "generate", {"seed": np.int64([7])}, "NOT_FOUND"),
            *(
                ("skies", "predict_jpeg", {"image_bytes": [content], "wind": wind}, "INVALID_ARGUMENT")
                for content in (png_bomb(60_000, 60_000), png_bomb(5000, 5000), b"no picture", still[:300], b"")
            ),
            ("skies", "predict_jpeg", {"image_bytes": [still], "wind": wind * 1000}, "INVALID_ARGUMENT"),
            ("skies", "predict_jpeg", {"image_bytes": [still]}, "INVALID_ARGUMENT"),
        ]
        self._seconds: list[float] = []
        self.wrong: list[str] = []
        self.good = self.bad = 0

    def run(self, count: int, seconds: float) -> None:
        """So many requests, and more until so many seconds are over."""
        end, counted = time.monotonic() + seconds, collections.deque(range(count))

        def client(number: int) -> None:
            chosen = random.Random(number)
            while time.monotonic() < end or counted:
                with contextlib.suppress(IndexError):
                    counted.pop()
                self._ask_badly(chosen) if chosen.random() < 0.1 else self._ask(chosen)

        with futures.ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(client, number) for number in range(CLIENTS)]:
                done.result()

    def _ask(self, chosen: random.Random) -> None:
        model, signature, inputs, output = chosen.choice(self._good)
        begun = time.monotonic()
        try:
            answer = self._transports[model].call(signature, inputs, output, DEADLINE)
            if len(answer) != len(next(iter(inputs.values()))):
                self.wrong.append(f"{signature}: {len(answer)} rows")
        except transports.RequestError as error:
            self.wrong.append(f"{signature}: {error.code}, {error}")
        self._seconds.append(time.monotonic() - begun)
        self.good += 1

    def _ask_badly(self, chosen: random.Random) -> None:
        model, signature, inputs, expected = chosen.choice(self._bad)
        try:
            self._transports[model].call(signature, inputs, "frames", DEADLINE)
            self.wrong.append(f"{signature} of {model} was answered, where {expected} was due")
        except transports.RequestError as error:
            if error.code not in expected.split() or "\n" in str(error):
                self.wrong.append(f"{signature} of {model}: {error.code} for {expected}: {error}")
        self.bad += 1

    def describe(self, seconds: float) -> str:
        ordered = sorted(self._seconds)
        p50, p99 = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
        rate = (self.good + self.bad) / seconds
        return f"{self.good} good, {self.bad} bad, p50 {p50:.0f} ms, p99 {p99:.0f} ms, {rate:.0f} requests/s"


if __name__ == "__main__":
    tf.test.main()
