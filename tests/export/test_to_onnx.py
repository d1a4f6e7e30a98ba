"""ONNX models read back: the same function in ONNX Runtime, named batch, metadata, quantised products."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

from export import conversion, operators, to_onnx
from export.probes import probe_inputs
from tests.helpers import tiny
from tests.helpers.commands import run
from tfvideogan.config import UsageError
from tfvideogan.runs import loading

PRODUCTS = {"Conv", "ConvTranspose", "MatMul", "Gemm"}


def predict(content: bytes, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    return session.run(["video"], {port.name: inputs})[0]


class ToONNXTest(tf.test.TestCase):
    """All precisions of a model are made of one float32 graph, since tf2onnx takes the longest."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.models = {key: tiny.contrasting(*key) for key in tiny.MODELS}
        cls.graphs = {
            key: to_onnx.in_float32(model, lowering=True).SerializeToString() for key, model in cls.models.items()
        }

    def finished(self, key: tuple[str, int], precision: str, calibration: np.ndarray | None = None) -> bytes:
        return to_onnx.finished(onnx.load_from_string(self.graphs[key]), self.models[key], precision, calibration)

    def check(self, model, content: bytes, tolerance: float) -> None:
        conversion.check_size(content, model, "int8")
        inputs = probe_inputs(model, 8)[:3]
        expected = model(inputs)["clip"].numpy()
        self.assertGreater(expected.std(), 0.03)
        for batch in (1, 3):
            self.assertAllClose(predict(content, inputs[:batch]), expected[:batch], atol=tolerance, rtol=0)

    def test_every_model_and_what_it_is_called(self):
        for key, model in self.models.items():
            content = self.finished(key, "float32")
            self.check(model, content, 1e-4)
            proto = onnx.load_from_string(content)
            onnx.checker.check_model(proto, full_check=True)
            self.assertEqual([(o.domain, o.version) for o in proto.opset_import if not o.domain], [("", 18)])
            spec, size = model.sampling_inputs[0], tiny.frame_size(key[0])
            shapes = {
                value.name: [
                    dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim
                ]
                for value in (*proto.graph.input, *proto.graph.output)
            }
            self.assertEqual(
                shapes, {spec.name: ["batch", *spec.shape[1:]], "video": ["batch", tiny.FRAMES, size, size, 3]}
            )
            self.check_2d(content)

    def check_2d(self, content: bytes) -> None:
        graph = onnx.load_from_string(content).graph
        rank = {constant.name: len(constant.dims) for constant in graph.initializer}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        self.assertEqual({rank[node.input[1]] for node in convolutions}, {4})
        self.assertNotIn("ConvTranspose", {node.op_type for node in graph.node})

    def test_metadata(self):
        content = self.finished(("mdgan", 2), "float32")
        metadata = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
        self.assertEqual(metadata["weights_sha256"], loading.weights_sha256(self.models["mdgan", 2]))
        self.assertEqual(metadata["size"], "4 frames of 32 x 32 pixels")
        self.assertEqual((metadata["model"], metadata["value_range"]), ("mdgan, refine_generator", "-1 to 1"))
        self.assertEqual(set(metadata), {"model", "size", "value_range", "fps", "version", "weights_sha256"})

    def test_3d_operators_on_demand(self):
        model = self.models["vgan", 1]
        content = to_onnx.convert(model, lowering=False)
        self.check(model, content, 1e-4)
        self.assertIn("ConvTranspose", {node.op_type for node in onnx.load_from_string(content).graph.node})
        with self.assertRaisesRegex(UsageError, "float kernels only"):
            to_onnx.convert(model, "int8", lowering=False)

    def test_every_model_in_float16(self):
        for key, model in self.models.items():
            with self.subTest(model=key):
                content = self.finished(key, "float16")
                self.check(model, content, 5e-3)
                constants = onnx.load_from_string(content).graph.initializer
                large = [c for c in constants if np.prod(c.dims) >= to_onnx.LARGE]
                self.assertNotEmpty(large)
                self.assertEqual({c.data_type for c in large}, {onnx.TensorProto.FLOAT16})

    def test_every_model_in_int8(self):
        for key, model in self.models.items():
            with self.subTest(model=key):
                inputs = probe_inputs(model, 24)
                with self.assertNoLogs("root", "WARNING"):  # onnxruntime would advise to pre-process
                    content = self.finished(key, "int8", inputs[8:])
                expected = model(inputs[:8])["clip"].numpy()
                self.assertBetween(expected.std(), 0.19, 0.3)
                video = predict(content, inputs[:8])
                self.assertGreater(10 * np.log10(4 / np.mean((video - expected) ** 2)), 38.0)
                self.assertAllClose(predict(content, inputs[:1]), video[:1], atol=0.02)
                self.check_integers(content)
                self.check_integers_when_run(content)

    def test_a_residual_on_a_frame_that_drifts_in_every_precision(self):
        model = tiny.changing(drift="fused")
        graph = to_onnx.in_float32(model, lowering=True).SerializeToString()
        frames, winds = probe_inputs(model, 24)
        expected = model((frames[:8], winds[:8]))["clip"].numpy()
        self.assertGreater(np.std(expected - model.input_clip((frames[:8], winds[:8]))), 0.1)  # a copy would be near
        limits = {"float32": 1e-4, "float16": 5e-3, "int8": 0.2}
        for precision, limit in limits.items():
            proto, calibration = onnx.load_from_string(graph), (frames[8:], winds[8:])
            content = to_onnx.finished(proto, model, precision, calibration)
            session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
            for batch in (1, 8):
                inputs = {"frame": frames[:batch], "wind": winds[:batch]}
                error = session.run(["video"], inputs)[0] - expected[:batch]
                self.assertLess(np.abs(error).max(), limit)
                self.assertGreater(10 * np.log10(4 / np.mean(error**2)), 38.0)
        self.check_integers(content)
        metadata = {item.key: item.value for item in onnx.load_from_string(content).metadata_props}
        self.assertEqual(metadata["default_wind"], "0.005,0")

    def check_integers(self, content: bytes) -> None:
        """Every product takes its input and its weights out of int8."""
        graph = onnx.load_from_string(content).graph
        dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
        for node in graph.node:
            if node.op_type in PRODUCTS and not operators.moves_the_frame(node):
                self.assertContainsSubset(node.input, dequantised)
        stored = {c.name for c in graph.initializer if c.data_type == onnx.TensorProto.INT8 and len(c.dims) == 4}
        self.assertNotEmpty(stored)

    def check_integers_when_run(self, content: bytes) -> None:
        """The runtime joins each product with the quantisation around it; it would compute others in float."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # It warns that a file so optimised is for this processor.
        options.optimized_model_filepath = str(Path(self.create_tempdir().full_path) / "optimised.onnx")
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        nodes = onnx.load(options.optimized_model_filepath).graph.node
        self.assertContainsSubset({"QLinearConv"}, {node.op_type for node in nodes})
        self.assertEmpty(PRODUCTS & {node.op_type for node in nodes})

    def test_every_form_of_transposed_convolution(self):
        with tiny.all_forms() as model:
            graph = to_onnx.in_float32(model, lowering=True)
            whole, half = (to_onnx.finished(graph, model, precision) for precision in ("float32", "float16"))
            self.check(model, whole, 1e-4)
            self.check_2d(whole)
            self.assertBetween(len(half) / len(whole), 0.45, 0.65)

    def test_the_command_writes_a_file_once(self):
        folder = Path(self.create_tempdir().full_path)
        run_dir = f"--run_dir={tiny.run_folder(folder / 'run', 'vgan_conditional')}"
        for status, message in ((0, ""), (2, "which exists")):
            result = run("to_onnx", run_dir, f"--output={folder / 'a.onnx'}", "--precision=float16", package="export")
            self.assertEqual(result.returncode, status, result.stderr)
            self.assertIn(message, result.stderr)
        self.assertLen(result.stderr.splitlines(), 1)
        self.assertEqual({path.name for path in folder.iterdir()}, {"run", "a.onnx"})


if __name__ == "__main__":
    tf.test.main()
