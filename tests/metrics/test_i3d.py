"""I3D against the graph of the module that FVD is defined by, and a block of it against float64 NumPy."""

import keras
import numpy as np
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from tests.helpers import REAL_CLIPS
from tfvideogan.metrics import i3d

MODULE = REAL_CLIPS / "i3d" / "tfhub_i3d_kinetics_400_1" / "saved_model.pb"
SCOPE = "RGB/inception_i3d/"


def random_arrays(network: keras.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Values for every variable, under the names of the checkpoints, with which logits are neither flat nor huge."""
    random = np.random.default_rng(seed)
    arrays = {}
    for layer in network.layers:
        for variable in layer.variables:
            name, shape = f"{layer.name.replace('.', '/')}/", variable.shape
            if variable.name == "kernel":
                values = random.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
                arrays[f"{name}w"] = values.astype(np.float32)
            elif variable.name == "moving_variance":
                arrays[f"{name}moving_variance"] = random.uniform(0.5, 2, shape).astype(np.float32)
            else:
                kind = "b" if variable.name == "bias" else variable.name
                arrays[f"{name}{kind}"] = random.normal(0, 0.2, shape).astype(np.float32)
    return arrays


def module_logits(arrays: dict[str, np.ndarray], clips: np.ndarray) -> np.ndarray:
    """What the module's own graph computes, its variables being assigned these values."""
    from tensorflow.core.protobuf import saved_model_pb2

    meta_graph = saved_model_pb2.SavedModel.FromString(MODULE.read_bytes()).meta_graphs[0]
    graph = tf.Graph()
    with graph.as_default():
        tf.graph_util.import_graph_def(meta_graph.graph_def, name="")
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        assigned = {n: nodes[n].input for n in nodes if nodes[n].op == "AssignVariableOp"}
        feed = {graph.get_tensor_by_name(f"{value}:0"): variable for variable, value in assigned.values()}
        for tensor, variable in feed.items():
            feed[tensor] = arrays[variable.removeprefix(SCOPE)].reshape(tensor.shape)
        with tf.compat.v1.Session() as session:
            session.run([graph.get_operation_by_name(name) for name in assigned], feed)
            return session.run(f"{SCOPE}Mean:0", {"input_frames:0": clips})


class I3dTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.network = i3d.build_i3d()

    def test_as_many_values_as_the_module_has(self):
        self.assertEqual(self.network.count_params(), 12_704_544)

    def test_the_logits_of_the_modules_own_graph(self):
        if not MODULE.exists():
            self.skipTest(f"the graph of the module is not at {MODULE}")
        arrays = random_arrays(self.network)
        i3d.set_weights(self.network, arrays)
        clips = np.random.default_rng(1).uniform(-1, 1, [1, 10, 224, 224, 3]).astype(np.float32)
        clips[:, :, :112] = clips[:, :1, :112]
        expected = module_logits(arrays, clips)
        logits = self.network(clips, training=False).numpy()
        self.assertEqual(logits.shape, (1, 400))
        self.assertGreater(np.ptp(expected), 0.1)
        self.assertAllClose(logits, expected, rtol=0, atol=1e-4)

    def test_a_block_in_float64(self):
        x = keras.Input([3, 4, 5, 6])
        block = keras.Model(x, i3d.inception_block(x, (2, 3, 4, 1, 2, 3), "Mixed_3b"))
        arrays = random_arrays(block)
        i3d.set_weights(block, arrays)
        values = np.random.default_rng(2).normal(size=[2, 3, 4, 5, 6])

        def windows(values: np.ndarray, outside: float) -> np.ndarray:
            padded = np.pad(values, [(0, 0), *[(1, 1)] * 3, (0, 0)], constant_values=outside)
            return sliding_window_view(padded, (3, 3, 3), axis=(1, 2, 3))  # [N, T, H, W, C, 3, 3, 3]

        def unit(values: np.ndarray, name: str) -> np.ndarray:
            of = {kind: arrays[f"Mixed_3b/{name}/{kind}"].astype(np.float64) for kind in (
                "conv_3d/w", "batch_norm/beta", "batch_norm/moving_mean", "batch_norm/moving_variance")}  # fmt: skip
            kernel = of["conv_3d/w"]
            if len(kernel) == 3:
                summed = np.einsum("nthwcijk,ijkcd->nthwd", windows(values, 0.0), kernel)
            else:
                summed = values @ kernel[0, 0, 0]
            normal = (summed - of["batch_norm/moving_mean"]) / np.sqrt(of["batch_norm/moving_variance"] + 0.001)
            return np.maximum(normal + of["batch_norm/beta"], 0)

        expected = np.concatenate([
            unit(values, "Branch_0/Conv3d_0a_1x1"),
            unit(unit(values, "Branch_1/Conv3d_0a_1x1"), "Branch_1/Conv3d_0b_3x3"),
            unit(unit(values, "Branch_2/Conv3d_0a_1x1"), "Branch_2/Conv3d_0b_3x3"),
            unit(windows(values, -np.inf).max(axis=(-3, -2, -1)), "Branch_3/Conv3d_0b_1x1"),
        ], axis=-1)  # fmt: skip
        self.assertAllClose(block(values.astype(np.float32), training=False), expected, rtol=1e-5, atol=1e-5)

    def test_frames_are_resized_between_the_centres_of_pixels(self):
        clips = np.zeros([1, 2, 2, 2, 3], np.float32)
        clips[0, 0, :, 1] = 1.0
        found = i3d.resized(clips).numpy()
        self.assertEqual(found.shape, (1, 2, 224, 224, 3))
        centres = (np.arange(224) + 0.5) / 112 - 0.5  # in pixels of the small frame
        self.assertAllClose(found[0, 0, 7, :, 1], np.clip(centres, 0, 1), atol=1e-6)
        self.assertAllEqual(found[0, 1], np.zeros([224, 224, 3]))


if __name__ == "__main__":
    tf.test.main()
