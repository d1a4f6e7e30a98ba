"""The client against servers of both protocols, before the session that a model server has."""

import base64
import contextlib
import io
import json
import socket
import subprocess
import sys
import threading
import time
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image

from tests.helpers import ROOT, folders, model_server, served, tiny
from tests.helpers.commands import run
from tests.helpers.made_files import picture
from tfvideogan.config import UsageError
from tfvideogan.data.clips import to_uint8
from tfvideogan.files import pictures
from tfvideogan.inference import remote, transports
from tfvideogan.models import vgan

PROTOCOLS = ("rest", "grpc")
SIZE = 16


class RemoteModelTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls)
        cls.models = {"vgan": tiny.shaken("vgan"), "drift": tiny.changing(1, drift="fused")}
        cls.server, cls.targets = served.of_class(cls, cls.folder, cls.models, max_batch=4)

    def setUp(self):
        super().setUp()
        self.server.faults.clear()
        self.server.count = 0
        self.enter_context(mock.patch.object(remote, "FIRST_PAUSE", 0.001))

    def remote(self, protocol: str, model: str = "vgan", **options) -> remote.RemoteModel:
        if protocol not in self.targets:
            self.skipTest(model_server.STUBS_MISSING)
        return remote.RemoteModel(self.targets[protocol], model, **{"max_batch": 4} | options)

    @parameterized.parameters(*PROTOCOLS)
    def test_a_seed_gives_the_clip_of_keras_however_many_come_at_once(self, protocol):
        seeds = [7, -(2**62), 9, 7, 11]
        frames = self.remote(protocol).generate(seeds, lossless=True)
        self.assertEqual(self.server.count, 2)
        for seed, clip in zip(seeds, frames, strict=True):
            expected = to_uint8(self.models["vgan"](vgan.latents(seed, 1))["clip"][0]).numpy()
            self.assertAllClose(clip.astype(int), expected.astype(int), atol=1)
        strips = self.remote(protocol).generate(seeds)
        self.assertEqual((strips.dtype, strips.shape), (np.uint8, (5, tiny.FRAMES, SIZE, SIZE, 3)))
        self.assertLess(np.abs(strips.astype(int) - frames).mean(), 6)
        self.assertAllEqual(self.remote(protocol).generate(9), strips[2:3])

    @parameterized.parameters(*PROTOCOLS)
    def test_a_picture_moves_with_its_wind(self, protocol):
        (self.folder / "photo.bmp").write_bytes(picture(50, 70, "BMP"))
        wind = np.float32([0.1, -0.05])
        clip = self.remote(protocol, "drift").predict(self.folder / "photo.bmp", wind)
        squashed = pictures.read_image(self.folder / "photo.bmp", pictures.squash(32))
        frame = np.float32(squashed[None] / 127.5 - 1)
        expected = to_uint8(self.models["drift"]((frame, wind[None]))["clip"]).numpy().astype(int)
        self.assertLess(np.abs(clip - expected).mean(), 8)
        large = np.zeros([30, 5000, 3], np.uint8)
        self.assertEqual(self.remote(protocol, "drift").predict(large, wind).shape, (1, tiny.FRAMES, 32, 32, 3))

    @parameterized.parameters(*PROTOCOLS)
    def test_what_the_user_got_wrong_is_told_in_one_line(self, protocol):
        with self.assertRaisesRegex(UsageError, r"model vgan: a request has 1 to 4 rows\. Received: 5$") as caught:
            self.remote(protocol, max_batch=16).generate(range(5))
        self.assertNotIsInstance(caught.exception, remote.ServerError)
        frame = np.zeros([9, 9, 3], np.uint8)
        cases = {
            r"a wind is from -1 to 1\. Received: \[?2 0": ("drift", lambda model: model.predict(frame, (2, 0))),
            "inputs must be": ("drift", lambda model: model.predict(frame)),
            '"predict_jpeg" not found': ("vgan", lambda model: model.predict(frame)),
            "Servable not found": ("none such", lambda model: model.generate(1)),
            "must be an integer": ("vgan", lambda model: model.generate(2**63)),
            "an integer or": ("vgan", lambda model: model.generate(0.5)),
            "must be a file or uint8": ("drift", lambda model: model.predict(frame / 2)),
            "not compatible|Cannot feed": ("drift", lambda model: model.predict(frame, (0, 0, 0))),
        }
        for text, (name, call) in cases.items():
            with self.subTest(text), self.assertRaisesRegex(UsageError, text) as caught:
                call(self.remote(protocol, name))
            self.assertEqual(caught.exception.status, 2)
            self.assertNotIn("\n", str(caught.exception))

    @parameterized.parameters(*PROTOCOLS)
    def test_a_server_tells_the_inputs_of_its_signatures_or_has_no_metadata(self, protocol):
        told = self.remote(protocol).signatures()
        for signature, inputs in (("generate", {"seed"}), ("generate_jpeg", {"seed"}), ("streams", {"latents"})):
            self.assertEqual(told[signature], inputs)
        self.assertEqual(self.remote(protocol, "drift").signatures()["predict_jpeg"], {"image_bytes", "wind"})
        self.assertIsNone(self.remote(protocol, "none such").signatures())
        with mock.patch.object(self.server, "has_metadata", False):
            self.assertIsNone(self.remote(protocol).signatures())

    @parameterized.parameters(*PROTOCOLS)
    def test_only_an_unavailable_server_is_asked_again(self, protocol):
        model = self.remote(protocol, retries=3)
        self.server.faults += ["UNAVAILABLE"] * 3
        with self.assertLogs(remote.logger, "INFO") as logs:
            self.assertLen(model.generate(1), 1)
        self.assertEqual(self.server.count, 4)
        self.assertLen(logs.output, 3)
        for code, count in (("UNAVAILABLE", 4), ("RESOURCE_EXHAUSTED", 1), ("INTERNAL", 1), ("DEADLINE_EXCEEDED", 1)):
            self.server.faults[:], self.server.count = [code] * count, 0
            with self.assertRaisesRegex(remote.ServerError, "model vgan: this was to be so$") as caught:
                model.generate(1)
            self.assertEqual((self.server.count, caught.exception.status), (count, 1), code)

    def test_pauses_grow_and_are_drawn_at_random(self):
        self.server.faults += ["UNAVAILABLE"] * 5
        drawn = mock.patch.object(remote.random, "uniform", side_effect=max)
        slept = mock.patch.object(remote.time, "sleep")
        with mock.patch.multiple(remote, FIRST_PAUSE=1.0, LONGEST_PAUSE=5.0), drawn, slept as sleep:
            self.remote("rest", retries=5).generate(1)
        self.assertEqual([call.args[0] for call in sleep.call_args_list], [1, 2, 4, 5, 5])

    @parameterized.parameters(*PROTOCOLS)
    def test_a_silent_server_is_left_at_the_deadline(self, protocol):
        if protocol not in self.targets:
            self.skipTest(model_server.STUBS_MISSING)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            model = remote.RemoteModel(f"{protocol}://127.0.0.1:{silent.getsockname()[1]}", "vgan", deadline=0.3)
            begun = time.monotonic()
            with self.assertRaises(remote.ServerError):
                model.generate(1)
            self.assertBetween(time.monotonic() - begun, 0.1, 3)

    def test_a_server_that_drips_is_left_at_the_deadline(self):
        with (
            self.answering(b"HTTP/1.1 200 OK\r\n\r\n", drip=b"x") as target,
            self.assertRaisesRegex(remote.ServerError, "no answer in time"),
        ):
            remote.RemoteModel(target, "vgan", deadline=0.4).generate(1)

    @contextlib.contextmanager
    def answering(self, content: bytes, drip: bytes = b""):
        """The target of a server that answers every request with this, and goes on with `drip` for seconds."""
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        connection, _ = listening.accept()
                        with connection:
                            connection.recv(2**16)
                            connection.sendall(content)
                            for _ in range(40 if drip else 0):
                                connection.sendall(drip)
                                time.sleep(0.05)

            threading.Thread(target=serve, daemon=True).start()
            yield f"rest://127.0.0.1:{listening.getsockname()[1]}"
            listening.shutdown(socket.SHUT_RDWR)

    def test_answers_that_are_none_lie_with_the_server(self):
        small, flat = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (4, 4)).save(small, "PNG")
        Image.new("RGB", (4, 6)).save(flat, "JPEG")
        strips = [[], ["x"], [{"b64": "?"}], [{"c": ""}], 5, None, {"other": []}, [[1, 2]], [{"b64": ""}]]
        damaged = (small.getvalue(), flat.getvalue(), picture()[:200])
        strips += [[{"b64": base64.b64encode(content).decode()}] for content in damaged]
        two = [{"b64": base64.b64encode(picture()).decode()}] * 2  # for one seed
        bodies = [json.dumps({"outputs": strip}).encode() for strip in [*strips, two]]
        bodies += [b"", b"[]", b"\xff", b'{"outputs"', b"[" * 100_000]
        for body in bodies:
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            with self.subTest(body), self.answering(head + body) as target, self.assertRaises(remote.ServerError):
                remote.RemoteModel(target, "vgan").generate(1)
        page = b"HTTP/1.1 502 Bad\r\nContent-Length: 28\r\n\r\n<html>502 Bad Gateway</html>"
        with self.answering(page) as target, self.assertRaisesRegex(remote.ServerError, "502 Bad Gateway"):
            remote.RemoteModel(target, "vgan").generate(1)

    @parameterized.parameters(*PROTOCOLS)
    def test_an_answer_that_is_too_large_is_not_taken(self, protocol):
        told = {"rest": "more than 1,000 bytes", "grpc": "larger than max"}[protocol]
        limit = mock.patch.object(transports, "MAX_ANSWER", 1000)
        with limit, self.assertRaisesRegex(remote.ServerError, told):
            self.remote(protocol).generate(1, lossless=True)
        self.assertGreater(transports.MAX_ANSWER, 2**22)

    @parameterized.parameters(
        "localhost:8501", "http://localhost:8501", "rest://", "rest://host", "grpc://:85", "rest://h:0", "rest://h:x",
        "rest://h:85/path", "grpc://me@h:85", "", "rest://a..b:80", f"grpc://{'a' * 64}:80",
    )  # fmt: skip
    def test_targets_that_are_none_are_refused(self, target):
        with self.assertRaisesRegex(UsageError, "--target must be rest://HOST:PORT or grpc://HOST:PORT"):
            remote.RemoteModel(target, "vgan")

    def test_the_cause_of_an_error_is_found(self):
        for message, told in {
            "assertion failed: [a request has 1 to 4 rows. Received:] [5]\n\t [[{{node a/Assert}}]]":
                "a request has 1 to 4 rows. Received: 5",
            "Graph execution error:\n\nDetected at node a\nassertion failed: [latents are finite:] [nan]\n\t [[{{a}}]]":
                "latents are finite: nan",
            "Shape [2] is not compatible with [?] [[{{node b}}]]": "Shape [2] is not compatible with [?]",
            "Graph execution error:\n\nDetected at node b defined at (most recent call):\n<stack traces unavailable>\n"
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT:  Invalid PNG data, size 17\n\t [[{{node b}}]]\n  (1) more":
                "Invalid PNG data, size 17",
            "": "",
        }.items():  # fmt: skip
            self.assertEqual(transports.cause(message), told)

    def test_the_command_writes_clips_of_both_kinds(self):
        for protocol, target in self.targets.items():
            flags = [f"--target={target}", "--max_batch=4"]
            clips = self.folder / protocol
            told = run("client", *flags, "--model=vgan", "--seed=7,-8,9", f"--output={clips}", "--format=npy")
            self.assertEqual((told.returncode, told.stderr), (0, ""))
            self.assertEqual(told.stdout, f"3 clips of 4x16x16 from {target}, model vgan: {clips}\n")
            self.assertEqual({file.name for file in clips.iterdir()}, {"seed-7.npy", "seed--8.npy", "seed-9.npy"})
            self.assertAllEqual(np.load(clips / "seed-9.npy"), self.remote(protocol).generate(9)[0])
            (self.folder / "still.png").write_bytes(picture(kind="PNG"))
            still = ["--model=drift", f"--image={self.folder / 'still.png'}", "--wind=0.01,0"]
            told = run("client", *flags, *still, f"--output={clips / 'clip.webp'}")
            self.assertEqual((told.returncode, told.stderr), (0, ""))
            with Image.open(clips / "clip.webp") as moving:
                self.assertEqual((moving.n_frames, moving.size), (4, (32, 32)))

    def test_the_command_refuses_in_one_line(self):
        target, output = f"--target={self.targets['rest']}", f"--output={self.folder / 'never.gif'}"
        given = [target, "--model=vgan", "--max_batch=4", output]
        self.server.faults += ["INTERNAL"]
        for status, text, arguments in (
            (1, "this was to be so", [*given, "--seed=7"]),
            (1, "cannot be reached", [*given, "--seed=7", "--target=rest://127.0.0.1:9", "--retries=0"]),
            (2, "1 to 4 rows", [*given[:2], f"--output={self.folder}", "--seed=1,2,3,4,5"]),
            (2, "--target is required", given[1:]),
            (2, "--target must be", [*given, "--seed=7", "--target=localhost:8501"]),
            (2, "either --seed", given),
            (2, "either --seed", [*given, "--seed=7", "--image=a.jpg"]),
            (2, "--seed must be integers", [*given, "--seed=7,x"]),
            (2, "--seed must be integers", [*given, f"--seed={2**63}"]),
            (2, "--seed must not name a seed twice", [*given, "--seed=7,8,7"]),
            (2, "--format is for several seeds", [*given, "--seed=7", "--format=gif"]),
            (2, "--wind is for --image", [*given, "--seed=7", "--wind=0,0"]),
            (2, "--lossless is for --seed", [*given, "--image=a.jpg", "--lossless"]),
            (2, "--wind must be DX,DY", [*given, "--image=a.jpg", "--wind=3"]),
            (2, "--image: /no/such.jpg: no such file", [*given, "--image=/no/such.jpg"]),
            (2, "--output must end in", [*given[:3], "--seed=7", "--output=clip.avi"]),
        ):
            with self.subTest(text):
                told = run("client", *arguments)
                lines = told.stderr.splitlines()
                self.assertEqual((told.returncode, told.stdout, len(lines)), (status, "", 1), told.stderr)
                self.assertStartsWith(lines[0], "client: error: ")
                self.assertIn(text, lines[0])
        self.assertFalse((self.folder / "never.gif").exists())

    def test_the_client_imports_no_tensorflow(self):
        code = (
            "import sys, tfvideogan\n"
            "model = tfvideogan.RemoteModel(sys.argv[1], 'vgan')\n"
            "assert model.generate(7).shape == (1, 4, 16, 16, 3)\n"
            "import tfvideogan.client, tfvideogan.files.encoders\n"
            "assert not {'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules), sys.modules.keys()"
        )
        for target in self.targets.values():
            subprocess.run([sys.executable, "-c", code, target], cwd=ROOT, check=True, timeout=60)


if __name__ == "__main__":
    tf.test.main()
