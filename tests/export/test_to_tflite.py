"""TFLite files read back by their own runtime: the same function, 2D operators, integers where they are promised."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from export import conversion, to_tflite
from export.probes import probe_inputs
from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan.config import UsageError
from tfvideogan.files import encoders

MOVERS = ("STRIDED_SLICE", "PAD", "RESHAPE", "CONCATENATION")  # operators that leave numbers as they are


def operators(content: bytes) -> tuple[list[dict], dict[int, dict]]:
    """The operators of a file, and its tensors by number, before a delegate makes one operator of them."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=plain)
    return interpreter._get_ops_details(), {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}


def predict(content: bytes, name: str, inputs: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], inputs.shape)
    return interpreter.get_signature_runner("serving_default")(**{name: inputs})["video"]


def psnr(video: np.ndarray, expected: np.ndarray) -> float:
    return float(10 * np.log10(4 / np.mean((video - expected) ** 2)))


class ToTFLiteTest(tf.test.TestCase):
    """All precisions of a model are made of one SavedModel."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.models = {key: tiny.contrasting(*key) for key in tiny.MODELS}
        cls.saved = {key: cls().create_tempdir().full_path for key in tiny.MODELS}
        for key, model in cls.models.items():
            to_tflite.save(model, lowering=True, folder=cls.saved[key])

    def check(self, model, content: bytes, tolerance: float) -> None:
        name = model.sampling_inputs[0].name
        inputs = probe_inputs(model, 12)[:3]
        expected = model(inputs)["clip"].numpy()
        self.assertGreater(expected.std(), 0.03)
        for batch in (1, 3):
            video = predict(content, name, inputs[:batch])
            self.assertEqual((video.dtype, video.shape), (np.float32, expected[:batch].shape))
            self.assertAllClose(video, expected[:batch], atol=tolerance, rtol=0)

    def test_every_model_in_2d_operators(self):
        for key, model in self.models.items():
            with self.subTest(model=key):
                content = to_tflite.of_saved_model(self.saved[key], "float32")
                self.check(model, content, 1e-4)
                self.check_operators(content)

    def check_operators(self, content: bytes) -> None:
        ops, tensors = operators(content)
        kinds = {op["op_name"] for op in ops}
        self.assertIn("CONV_2D", kinds)
        wrong = {kind for kind in kinds if "3D" in kind or "Flex" in kind or "CUSTOM" in kind or kind == "SHAPE"}
        self.assertEmpty(wrong)
        self.assertLessEqual(max(len(tensor["shape"]) for tensor in tensors.values()), 5)

    def test_3d_operators_on_demand(self):
        for name in ("vgan", "mdgan"):
            model = self.models[name, 1]
            content = to_tflite.convert(model, lowering=False)
            self.check(model, content, 1e-4)
            kinds = {op["op_name"] for op in operators(content)[0]}
            self.assertContainsSubset({"CONV_3D_TRANSPOSE"}, kinds)
            self.assertEmpty({kind for kind in kinds if "Flex" in kind})

    def test_models_in_float16(self):
        for key in tiny.DISTINCT:
            model = self.models[key]
            with self.subTest(model=key):
                half = to_tflite.of_saved_model(self.saved[key], "float16")
                self.check(model, half, 5e-3)
                stored = [tensor["dtype"] for tensor in operators(half)[1].values() if len(tensor["shape"]) == 4]
                self.assertIn(np.float16, stored)

    def test_every_model_in_int8(self):
        for key, model in self.models.items():
            with self.subTest(model=key):
                inputs = probe_inputs(model, 24)
                content = to_tflite.of_saved_model(self.saved[key], "int8", calibration=inputs[8:])
                expected = model(inputs[:8])["clip"].numpy()
                self.assertBetween(expected.std(), 0.19, 0.3)
                name = model.sampling_inputs[0].name
                video = predict(content, name, inputs[:8])
                self.assertGreater(psnr(video, expected), 38.0)
                self.assertAllClose(predict(content, name, inputs[:1]), video[:1], atol=0.02)
                self.check_integers(content)

    def test_a_residual_on_a_frame_that_drifts_in_every_precision(self):
        model, folder = tiny.changing(drift="fused"), self.create_tempdir().full_path
        to_tflite.save(model, lowering=True, folder=folder)
        inputs = probe_inputs(model, 24)
        clips, expected = model.input_clip(inputs), model(tuple(part[:8] for part in inputs))["clip"].numpy()
        self.assertGreater(np.std(expected - clips[:8]), 0.1)  # a copy would be near, too
        contents = {
            precision: to_tflite.of_saved_model(folder, precision, calibration=clips[8:])
            for precision in conversion.BYTES
        }
        for precision, tolerance in (("float32", 1e-4), ("float16", 5e-3)):
            for batch in (1, 3):
                video = predict(contents[precision], "clip", clips[:batch])
                self.assertAllClose(video, expected[:batch], atol=tolerance, rtol=0)
        self.assertGreater(psnr(predict(contents["int8"], "clip", clips[:8]), expected), 38.0)
        self.check_operators(contents["float32"])
        self.check_integers(contents["int8"])

    def check_integers(self, content: bytes) -> None:
        ops, tensors = operators(content)
        for op in ops:
            floats = [i for i in (*op["inputs"], *op["outputs"]) if i >= 0 and tensors[i]["dtype"] == np.float32]
            if floats:
                self.assertIn(op["op_name"], {"QUANTIZE", "DEQUANTIZE", *MOVERS})

    def test_every_form_of_transposed_convolution(self):
        with tiny.all_forms() as model:
            folder = self.create_tempdir().full_path
            to_tflite.save(model, lowering=True, folder=folder)
            whole, half = (to_tflite.of_saved_model(folder, precision) for precision in ("float32", "float16"))
            self.check(model, whole, 1e-4)
            self.check_operators(whole)
            self.assertBetween(len(half) / len(whole), 0.45, 0.65)
            inputs = probe_inputs(model, 12)
            content = to_tflite.of_saved_model(folder, "int8", calibration=inputs[4:])
            self.assertGreater(psnr(predict(content, "latents", inputs[:4]), model(inputs[:4])["clip"].numpy()), 38.0)
            self.check_operators(content)
            self.check_integers(content)

    def test_int8_of_3d_operators_is_refused(self):
        with self.assertRaisesRegex(UsageError, "float kernels only"):
            to_tflite.convert(tiny.model("vgan"), "int8", lowering=False, calibration=np.zeros([1, 100], np.float32))

    def test_a_file_without_weights_is_caught(self):
        model = self.models["vgan", 1]
        conversion.check_size(to_tflite.of_saved_model(self.saved["vgan", 1], "float32"), model, "float32")
        kernels = sum(w.size for w in model.generator.get_weights() if w.ndim > 1)
        for precision, size in (("float32", 4), ("float16", 2), ("int8", 1)):
            with self.assertRaisesRegex(UsageError, "too few"):
                conversion.check_size(bytes(size * kernels - 1), model, precision)


class CommandTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def export(self, *arguments: str, expected: int = 0):
        result = run("to_tflite", *arguments, package="export")
        self.assertEqual(result.returncode, expected, result.stderr)
        return result

    def refused(self, message: str, *arguments: str) -> None:
        result = self.export(*arguments, expected=2)
        self.assertIn(message, result.stderr)
        self.assertLen(result.stderr.splitlines(), 1)

    def test_writes_a_file_once(self):
        run_dir = f"--run_dir={tiny.run_folder(self.folder / 'run', 'mdgan')}"
        output = self.folder / "new" / "mdgan.tflite"
        done = self.export(run_dir, f"--output={output}", "--precision=int8", "--calibration=synthetic:sky")
        self.assertIn("stage 1, step 4", done.stdout)
        before = output.read_bytes()
        self.refused("which exists", run_dir, f"--output={output}")
        self.assertEqual([path.name for path in output.parent.iterdir()], ["mdgan.tflite"])
        self.assertEqual(output.read_bytes(), before)

    def test_helpshort_lists_the_flags(self):
        for command in ("to_tflite", "to_onnx"):
            shown = run(command, "--helpshort", package="export").stdout
            for flag in ("run_dir", "output", "precision", "calibration"):
                self.assertIn(f"--{flag}:", shown)

    def test_bad_input_ends_in_one_line(self):
        output = f"--output={self.folder / 'never.tflite'}"
        run_dir = f"--run_dir={self.folder}"
        self.refused("made by tfvideogan.train", run_dir, output)
        self.refused("--calibration is for --precision=int8", run_dir, output, "--calibration=synthetic:sky")
        self.refused("needs --lowering=on", run_dir, output, "--precision=int8", "--lowering=off")
        self.assertEmpty(list(self.folder.iterdir()))

    def test_calibration_clips_of_another_size_are_refused(self):
        model, small = tiny.model("mdgan"), self.folder / "small"
        for index in range(8):
            frames = np.zeros([tiny.FRAMES - 1, 16, 16, 3], np.uint8)
            encoders.write_clip(small / f"{index}.mp4", frames)
        with self.assertRaisesRegex(UsageError, "^--calibration: .*small"):
            conversion.calibration_inputs(model, str(small), "synthetic:sky")
        with self.assertRaisesRegex(UsageError, "generates from latents"):
            conversion.calibration_inputs(tiny.model("vgan"), "synthetic:sky", "synthetic:sprites")
        self.assertEqual(conversion.calibration_inputs(model, None, "synthetic:sky").shape, (32, 32, 32, 3))


if __name__ == "__main__":
    tf.test.main()
