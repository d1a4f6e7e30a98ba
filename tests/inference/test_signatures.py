"""Exported signatures against Keras, run as TF Serving runs them: the C API's session, and `saved_model_cli run`."""

import functools
import io
import itertools
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from export.lowering import lower
from tests.helpers import ROOT, folders, tiny
from tests.helpers.made_files import picture
from tests.helpers.serving import ServingProcess
from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.files import pictures
from tfvideogan.inference import signatures
from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel

SCRIPTS = ROOT / "tests" / "helpers"
INVALID_ARGUMENT = 3
GENERATORS = tuple(itertools.product(("vgan", "vgan_one_stream"), (False, True)))  # whether lowered
PREDICTORS = tuple(
    (*model, lowered)
    for model, lowered in itertools.product((("vgan_conditional", 1), ("mdgan", 1), ("mdgan", 2)), (False, True))
)


def process(script: str, *arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments], env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        raise AssertionError(f"{script} ended with {result.returncode}: {result.stderr[-2000:]}")


def jpeg_bomb(width: int, height: int) -> bytes:
    """A small JPEG whose header declares other sizes."""
    content = picture()
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def png_bomb(width: int, height: int, before: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    signature = b"\x89PNG\r\n\x1a\n" + (chunk(b"abCd", before) if before else b"")
    return signature + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


class SignaturesTest(tf.test.TestCase, parameterized.TestCase):
    """All models lie in one process of sessions, as in a server, and each is exported for the first test that asks."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls)
        cls.serving = ServingProcess()
        cls.addClassCleanup(cls.serving.close)

    @classmethod
    @functools.cache
    def exported(cls, name: str, stage: int = 1, lowered: bool = False) -> tuple[AdversarialModel, str]:
        """A model of random weights and statistics, and the SavedModel of it."""
        model = tiny.changing(stage, drift="fused") if name == "mdgan_drift" else tiny.shaken(name, stage)
        path = str(cls.folder / f"{name}-{stage}-{lowered}")
        served = signatures.ServedModel(model, lower(model) if lowered else None, max_batch=4)
        tf.saved_model.save(served, path, signatures=served.signatures())
        return model, path

    def strips(self, contents: list[bytes], size: int) -> np.ndarray:
        """JPEG film-strips -> int [B, T, H, W, 3]."""
        pictures = [np.asarray(Image.open(io.BytesIO(content)), int) for content in contents]
        return np.stack(pictures).reshape(len(contents), tiny.FRAMES, size, size, 3)

    @parameterized.parameters(*GENERATORS)
    def test_generators_from_noise(self, name, lowered):
        model, path = self.exported(name, lowered=lowered)
        latents, seeds = vgan.latents(5, 3), np.array([4, 9, 4, -(2**62)])
        requests = [("generate_from_latents", latents[:1].numpy()), ("generate_from_latents", latents.numpy())]
        requests += [(signature, seeds) for signature in ("generate", "serving_default", "generate_jpeg")]
        requests += [("generate", seeds[1:2])] + ([("streams", latents.numpy())] if name == "vgan" else [])
        one, three, generated, default, jpeg, alone, *streams = self.serving.ask(path, *requests)
        expected = {name: value.numpy() for name, value in model(latents).items()}
        self.assertGreater(expected["clip"].std(), 0.05)
        self.assertAllClose(one["video"], expected["clip"][:1], atol=1e-4)
        self.assertAllClose(three["video"], expected["clip"], atol=1e-4)
        frames = generated["frames"]
        self.assertEqual((frames.dtype, frames.shape), (np.uint8, (4, 4, 16, 16, 3)))
        self.assertAllEqual(frames[0], frames[2])
        self.assertAllEqual(frames, default["frames"])
        self.assertAllClose(frames[1:2].astype(int), alone["frames"].astype(int), atol=1)
        self.assertAllClose(frames[1], to_uint8(model(vgan.latents(9, 1))["clip"][0]).numpy().astype(int), atol=1)
        self.assertLess(np.abs(self.strips(jpeg["filmstrip_bytes"], 16) - frames).mean(), 6)
        for answer in streams:
            self.assertAllClose(answer, expected, atol=1e-4)

    @parameterized.parameters(*PREDICTORS)
    def test_predictors(self, name, stage, lowered):
        (model, path), size = self.exported(name, stage, lowered), tiny.frame_size(name)
        frame = np.random.default_rng(1).integers(0, 256, [3, size, size, 3], np.uint8)
        files = [picture(), picture(kind="PNG"), picture(300, 20)]
        requests = [("predict", frame[:1]), ("predict", frame), ("serving_default", frame), ("predict_video", frame)]
        requests += [("predict_jpeg", files)] + ([("streams", frame)] if name == "vgan_conditional" else [])
        one, three, default, video, jpeg, *streams = self.serving.ask(path, *requests)
        expected = {name: value.numpy() for name, value in model(to_float(frame)).items()}
        self.assertGreater(expected["clip"].std(), 0.05)
        self.assertAllClose(video["video"], expected["clip"], atol=1e-4)
        self.assertAllClose(three["frames"], to_uint8(expected["clip"]).astype(int), atol=1)
        self.assertAllClose(one["frames"].astype(int), three["frames"][:1].astype(int), atol=1)
        self.assertAllEqual(three["frames"], default["frames"])
        read = np.stack([pictures.read_image(self.file(content), pictures.squash(size)) for content in files])
        clips = to_uint8(model(to_float(read))["clip"]).numpy().astype(int)
        self.assertLess(np.abs(self.strips(jpeg["filmstrip_bytes"], size) - clips).mean(), 8)
        for answer in streams:
            self.assertAllClose(answer, expected, atol=1e-4)

    @parameterized.parameters(("vgan", 1), ("vgan_conditional", 1), ("mdgan", 2))
    def test_a_server_may_batch_and_pad_requests(self, name, stage):
        """A batching server joins the rows of several requests, and fills a batch up with rows of its own."""
        _, path = self.exported(name, stage, lowered=True)
        size, random = tiny.frame_size(name), np.random.default_rng(2)
        if name == "vgan":
            rows = random.normal(size=[4, 100]).astype(np.float32)
            signature = "generate_from_latents"
        else:
            rows = random.integers(0, 256, [4, size, size, 3], np.uint8)
            signature = "predict_video"
        padded = [np.concatenate([rows[:3], filling]) for filling in (rows[:1], np.zeros_like(rows[:1]), rows[3:])]
        requests = [*padded, rows[:3], *(rows[i : i + 1] for i in range(3))]
        answers = self.serving.ask(path, *((signature, request) for request in requests))
        *batches, three, first, second, third = [answer["video"] for answer in answers]
        for batch in batches:
            self.assertAllEqual(batch[:3], batches[0][:3])
        self.assertGreater(np.abs(batches[0][0] - batches[0][1]).max(), 0.05)
        self.assertAllClose(batches[0][:3], three, atol=1e-5)
        self.assertAllClose(np.concatenate([first, second, third]), three, atol=1e-5)

    def test_a_wind_comes_beside_each_picture(self):
        model, path = self.exported("mdgan_drift", lowered=True)
        frame = np.random.default_rng(1).integers(0, 256, [2, 32, 32, 3], np.uint8)
        wind, files = np.float32([[0.1, 0.0], [-0.05, 0.02]]), [picture(), picture(kind="PNG")]
        requests = [(name, {"frame": frame, "wind": wind}) for name in ("predict", "serving_default", "predict_video")]
        requests.append(("predict_jpeg", {"image_bytes": files, "wind": wind}))
        wrong = {
            "a wind is from -1 to 1": (np.float32([[0, np.nan], [0, 0]]), np.float32([[0, 0], [-1.1, 0]])),
            "1 to 4 rows, the same for all inputs": (wind[:1], np.repeat(wind, 2, axis=0)),
            "not compatible": (wind[:, :1],),
        }
        cases = [(text, {"frame": frame, "wind": value}) for text, values in wrong.items() for value in values]
        *right, jpeg = self.serving.ask(path, *requests)
        expected = model((to_float(frame), wind))["clip"].numpy()
        self.assertGreater(np.abs(expected - model((to_float(frame), -wind))["clip"]).mean(), 0.05)
        for answer in right[:2]:
            self.assertAllClose(answer["frames"].astype(int), to_uint8(expected).astype(int), atol=1)
        self.assertAllClose(right[2]["video"], expected, atol=1e-4)
        self.assertEqual(self.strips(jpeg["filmstrip_bytes"], 32).shape, (2, 4, 32, 32, 3))
        answers = self.serving.ask(path, *(("predict", value) for _, value in cases))
        for (text, _), (code, message) in zip(cases, answers, strict=True):
            self.assertEqual(code, INVALID_ARGUMENT)
            self.assertIn(text, message)

    def file(self, content: bytes) -> Path:
        path = Path(self.create_tempdir().full_path) / "picture"
        path.write_bytes(content)
        return path

    def test_requests_out_of_range_are_invalid_arguments(self):
        latents = np.zeros([2, 100], np.float32)
        nan, infinite, huge = (np.where(np.eye(2, 100), value, latents) for value in (np.nan, -np.inf, 1e20))
        wrong = [
            ("generate", np.zeros([0], np.int64), "1 to 4 rows"),
            ("generate_jpeg", np.arange(5), "1 to 4 rows"),
            ("generate", np.zeros([2, 2], np.int64), "not compatible"),
            ("generate_from_latents", nan.astype(np.float32), "finite"),
            ("generate_from_latents", infinite.astype(np.float32), "finite"),
            ("streams", huge.astype(np.float32), "finite"),
            ("generate_from_latents", latents[:, :99], "not compatible"),
            ("generate_from_latents", np.zeros([5, 100], np.float32), "1 to 4 rows"),
            ("generate_from_latents", latents.astype(np.float64), "float"),
        ]
        self.refused("vgan", wrong, ("generate_from_latents", latents))

    def test_wrong_pictures_are_invalid_arguments(self):
        frame = np.zeros([2, 32, 32, 3], np.uint8)
        wrong = [("predict", frame[:, :16], "not compatible"), ("predict", np.repeat(frame, 3, axis=0), "1 to 4 rows")]
        pictures = {
            "JPEGs or PNGs": (b"", b"no picture", picture(kind="GIF"), picture(kind="BMP"), picture(kind="WEBP"),
                              png_bomb(6000, 6000, before=struct.pack(">II", 8, 8))),
            "pixels": (png_bomb(60_000, 60_000), png_bomb(6000, 6000), png_bomb(2**31 + 1, 1), png_bomb(0, 5),
                               jpeg_bomb(65_500, 65_500), jpeg_bomb(6000, 6000)),
            "": (picture()[:300], picture()[:20], b"\xff\xd8\xff", picture(kind="PNG")[:17],
                 picture(kind="PNG")[:300], png_bomb(5000, 5000)),
        }  # fmt: skip
        wrong += [("predict_jpeg", [picture(), content], text) for text in pictures for content in pictures[text]]
        self.refused("mdgan", wrong, ("predict_jpeg", [picture()]))

    def refused(self, name: str, wrong: list[tuple], right: tuple) -> None:
        """Each of the wrong requests is, by its own check, and the session then still answers a right one."""
        _, path = self.exported(name)
        *answers, last = self.serving.ask(path, *((signature, value) for signature, value, _ in wrong), right)
        for (signature, _, expected), answer in zip(wrong, answers, strict=True):
            with self.subTest(signature=signature, expected=expected):
                self.assertIsInstance(answer, tuple)
                self.assertEqual(answer[0], INVALID_ARGUMENT, answer)
                self.assertIn(expected, answer[1])
        self.assertIsInstance(last, dict)

    @parameterized.parameters("vgan", "mdgan")
    def test_saved_model_cli_runs_every_signature(self, name):
        (_, path), output = self.exported(name), Path(self.create_tempdir().full_path)
        described = {name: it for name, it in self.graph(path).signature_def.items() if not name.startswith("__")}
        size = tiny.frame_size(name)
        requests = {
            "seed": np.array([1, 2]),
            "latents": vgan.latents(1, 2).numpy(),
            "frame": np.zeros([2, size, size, 3], np.uint8),
            "image_bytes": np.array([picture(), picture(kind="PNG")]),
        }
        arguments = []
        for signature, ports in described.items():
            (argument,) = ports.inputs
            np.save(output / f"{argument}.npy", requests[argument])
            arguments += [signature, f"{argument}={output}/{argument}.npy"]
        process("saved_model_cli.py", path, str(output), *arguments)
        self.assertLen(described, 5 if name == "vgan" else 4)
        for signature, ports in described.items():
            outputs = {file.stem: np.load(file, allow_pickle=True) for file in (output / signature).iterdir()}
            self.assertEqual(set(outputs), set(ports.outputs), signature)
            self.assertEqual({len(value) for value in outputs.values()}, {2}, signature)

    def test_no_function_asks_for_xla_and_no_operation_is_custom(self):
        for name in ("vgan", "mdgan"):
            _, path = self.exported(name, lowered=name == "mdgan")
            library = self.graph(path).graph_def.library.function
            self.assertNotEmpty(library)
            for function in library:
                self.assertFalse(function.attr["_XlaMustCompile"].b, function.signature.name)
            operations = {node.op for function in library for node in function.node_def}
            self.assertEmpty(operations - set(tf.raw_ops.__dict__) - {f.signature.name for f in library})

    def graph(self, path: str) -> meta_graph_pb2.MetaGraphDef:
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((Path(path) / "saved_model.pb").read_bytes())
        return saved.meta_graphs[0]

    def test_strips_that_no_jpeg_can_hold_are_not_offered(self):
        model, path = self.exported("mdgan")
        self.assertIn("predict_jpeg", self.graph(path).signature_def)
        served = signatures.ServedModel(model)
        served._num_frames = 4096
        self.assertNotIn("predict_jpeg", served.signatures())


if __name__ == "__main__":
    tf.test.main()
