"""The page of a model that another server runs: `demo --target`, in front of the stand-ins for model servers."""

import contextlib
import io
import itertools
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from unittest import mock

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import ROOT, folders, model_server, served, tiny
from tests.helpers.commands import run
from tests.web import browser
from tfvideogan.config import UsageError
from tfvideogan.data.clips import to_uint8
from tfvideogan.inference import latents, remote, signatures
from tfvideogan.models import vgan
from tfvideogan.web.players import RemotePlayer

# The command in a fresh interpreter, which tells when it ends what it should not have imported.
SCRIPT = """
import atexit, runpy, sys
atexit.register(lambda: print("loaded:", *sorted({"tensorflow", "keras", "jax", "torch"} & set(sys.modules))))
sys.argv[0] = "demo"
runpy.run_module("tfvideogan.demo", run_name="__main__", alter_sys=True)
"""


@contextlib.contextmanager
def page(*flags: str):
    """The address of a page, and a list that has what the command wrote once it has ended."""
    command = [sys.executable, "-c", SCRIPT, *flags, "--port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        written: list[str] = []
        try:
            yield process.stdout.readline().split()[0], written
        finally:
            process.send_signal(signal.SIGTERM)
            written.append(process.communicate(timeout=60)[0])


def ask(address: str, where: str, body: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"{address}{where}", body, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def told(address: str, wanted: str) -> dict:
    """What /api/model says, once it says something that has this in it."""
    end = time.monotonic() + 30
    while wanted not in (content := ask(address, "api/model")[1].decode()):
        assert time.monotonic() < end, content
        time.sleep(0.05)
    return json.loads(content)


def frames(content: bytes) -> np.ndarray:
    """The frames of an answer's strip, as integers that can be subtracted."""
    strip = np.asarray(Image.open(io.BytesIO(content))).astype(int)
    return strip.reshape(-1, strip.shape[1], *strip.shape[1:])


class TargetTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls)
        cls.models = {
            "vgan": tiny.shaken("vgan"),
            "mdgan": tiny.shaken("mdgan"),
            "drift": tiny.changing(1, drift="fused"),
        }
        cls.server, cls.targets = served.of_class(cls, cls.folder, cls.models)

    def setUp(self):
        super().setUp()
        self.server.faults.clear()

    def test_seeds_and_walks_are_those_of_keras_and_no_tensorflow_is_loaded(self):
        self.assertEqual(remote.LATENT_DIM, vgan.LATENT_DIM)
        for target in self.targets.values():
            with page(f"--target={target}", "--model=vgan") as (address, written):
                about = told(address, "about")["about"]
                self.assertEqual((about["name"], about["predicts"], about["films"]), ("vgan", False, ["clip"]))
                self.assertEqual((about["frames"], about["size"]), (tiny.FRAMES, 16))
                self.assertIn(target, about["description"])
                ends = [latents.normal(seed, vgan.LATENT_DIM) for seed in (7, 8)]
                for share, atol in ((0, 40), (0.3, 1)):  # A JPEG of noise is far from it in places.
                    status, content = ask(address, f"api/clip?seed=7&to=8&share={share}")
                    self.assertEqual(status, 200)
                    made = self.models["vgan"](latents.great_circle(*ends, [share]))["clip"][0]
                    expected = to_uint8(made.numpy()).astype(int)
                    self.assertAllClose(frames(content), expected, rtol=0, atol=atol)
                    self.assertLess(np.abs(frames(content) - expected).mean(), 6)
                self.assertEqual(ask(address, "api/clip?seed=7&save=webp")[1][:4], b"RIFF")
            self.assertEqual(written, ["loaded:\n"])

    def test_what_a_model_is_its_server_tells_and_is_asked_for_one_clip(self):
        for name, predicts, wind in (("vgan", False, False), ("mdgan", True, False), ("drift", True, True)):
            for target in self.targets.values():
                self.server.count = 0
                about = RemotePlayer(remote.RemoteModel(target, name), name, target).about
                self.assertEqual((about.predicts, about.wind, self.server.count), (predicts, wind, 1))

    def test_a_refusal_of_a_model_that_is_told_of_is_no_sign_of_another_kind(self):
        """A request without wind would be refused, too, and one with it told as the answer to a request for seeds."""
        for target in self.targets.values():
            self.server.faults += ["INVALID_ARGUMENT"]
            with self.assertRaisesRegex(UsageError, "this was to be so"):
                RemotePlayer(remote.RemoteModel(target, "drift"), "drift", target)
            self.assertEmpty(self.server.faults)

    def test_a_model_that_no_page_can_play_is_told_with_its_signatures(self):
        module = tf.Module()
        module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None], name="x")])
        for model in self.serve_beside(module, {"double": module.double}):
            with self.assertRaisesRegex(UsageError, "model it: a page cannot play it; its signatures are .*double"):
                RemotePlayer(model, "it", "here")

    def test_photos_move_with_a_wind_only_where_the_model_takes_one(self):
        for has_metadata, (name, wind) in itertools.product((True, False), (("mdgan", False), ("drift", True))):
            self.enter_context(mock.patch.object(self.server, "has_metadata", has_metadata))
            for target in self.targets.values():
                player = RemotePlayer(remote.RemoteModel(target, name), name, target)
                self.assertEqual((player.about.predicts, player.about.wind), (True, wind))
                self.assertEqual((player.about.own_size, player.about.size), (False, 32))
                photo = np.random.default_rng(0).integers(0, 256, [32, 32, 3], np.uint8)
                blowing, frame = np.float32([0.1, 0]), np.float32(photo[None] / 127.5 - 1)
                made = self.models[name]((frame, blowing[None]) if wind else frame)["clip"][0]
                clip = player.predict(photo, blowing)["clip"]
                self.assertLess(np.abs(clip.astype(int) - to_uint8(made.numpy())).mean(), 10)

    def serve_beside(self, module: tf.Module, endpoints: dict, **options: bool) -> list[remote.RemoteModel]:
        """A model on servers of its own, one a protocol, with options of the server."""
        path = str(self.folder / self._testMethodName)
        tf.saved_model.save(module, path, signatures=endpoints)
        server, protocols = model_server.Server({"it": path}, **options), [model_server.rest]
        if model_server.HAS_STUBS:
            protocols.append(model_server.grpc)
        return [remote.RemoteModel(self.enterContext(protocol(server)), "it") for protocol in protocols]

    def test_seeds_of_a_model_whose_strips_no_jpeg_can_hold_come_without_loss(self):
        saved = signatures.ServedModel(self.models["vgan"])
        saved._num_frames = 4096
        expected = self.models["vgan"](latents.normal(7, vgan.LATENT_DIM)[None])["clip"][0]
        served = (self.serve_beside(saved, saved.signatures(), has_metadata=has) for has in (True, False))
        for model in itertools.chain(*served):
            player = RemotePlayer(model, "it", "here")
            self.assertEqual((player.about.predicts, player.about.frames), (False, tiny.FRAMES))
            clip = player.generate(7, 7, 0)["clip"]
            self.assertAllClose(clip.astype(int), to_uint8(expected.numpy()).astype(int), rtol=0, atol=1)

    def test_a_model_that_refuses_every_request_is_told_by_its_own_reason(self):
        saved = signatures.ServedModel(self.models["mdgan"], max_batch=0)
        for model in self.serve_beside(saved, saved.signatures()):
            with self.assertRaisesRegex(UsageError, "a request has 1 to 0 rows"):
                RemotePlayer(model, "it", "here")

    def test_a_server_that_fails_later_is_told_and_can_be_asked_again(self):
        with page(f"--target={self.targets['rest']}", "--model=vgan") as (address, _):
            told(address, "about")
            self.server.faults += ["INTERNAL"]
            status, content = ask(address, "api/clip?seed=1")
            self.assertEqual(status, 502)
            self.assertRegex(json.loads(content)["error"], "^rest://.*, model vgan: this was to be so$")
            self.assertEqual(ask(address, "api/clip?seed=1")[0], 200)

    def test_a_server_that_is_away_is_told_until_it_comes(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with page(f"--target=rest://127.0.0.1:{port}", "--model=vgan") as (address, _):
            trouble = told(address, "cannot be reached")["trouble"]
            self.assertNotIn("\n", trouble)
            self.assertIn("the model is still loading", ask(address, "api/clip?seed=1")[1].decode())
            with model_server.rest(self.server, port=port):
                told(address, "about")

    @browser.needed
    def test_a_model_that_the_server_does_not_have_is_told_on_the_page(self):
        with page(f"--target={self.targets['rest']}", "--model=none") as (address, _), browser.chromium() as chromium:
            tab = chromium.new_page()
            tab.goto(address)
            tab.get_by_text("model none: Servable not found for request: Latest(none). Trying again").wait_for()

    def test_what_excludes_each_other_ends_in_one_line(self):
        target = f"--target={self.targets['rest']}"
        for flags, text in (
            ([target], "--target needs --model"),
            ([target, "--model=vgan", "--weights=mdgan-skies-64"], "--weights is for models that lie here"),
            ([target, "--model=vgan", "--run_dir=runs"], "--run_dir is for models that lie here"),
            ([target, "--model=vgan", "--stage=1"], "--stage is for models that lie here"),
            ([target, "--model=vgan", "--trust"], "--trust is for models that lie here"),
            (["--target=localhost:8501", "--model=vgan"], "--target must be rest://HOST:PORT"),
        ):
            done = run("demo", *flags)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (2, "", 1), done.stderr)
            self.assertIn(text, done.stderr)


if __name__ == "__main__":
    tf.test.main()
