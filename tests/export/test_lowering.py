"""Lowered networks against Keras, and their layers against plain sums in float64."""

import itertools

import keras
import numpy as np
import tensorflow as tf

from export import layers_2d, lowering
from export.layers_2d import Weights
from export.rearrange import take
from tests.helpers import tiny
from tfvideogan.config import Config
from tfvideogan.models import registry, vgan
from tfvideogan.models.drift import drifting_clip

RANDOM = np.random.default_rng(0)


def inputs_of(model, batch: int, seed: int = 1):
    """Random inputs of a model; a wind of up to a tenth of a frame a frame."""
    specs = model.sampling_inputs
    inputs = [tf.random.stateless_uniform([batch, *spec.shape[1:]], [seed, batch], -1.0, 1.0) for spec in specs]
    return (inputs[0], 0.1 * inputs[1]) if len(inputs) > 1 else inputs[0]


def weights(kernel: tuple[int, ...], strides: tuple[int, int, int], relu: bool = False) -> Weights:
    return Weights(RANDOM.normal(size=kernel), RANDOM.normal(size=kernel[-1]), strides, relu)


def transposed(x: np.ndarray, weights: Weights, padded: bool) -> np.ndarray:
    """Every input position adds its value times the whole kernel to the output, in float64."""
    kernel, strides = weights.kernel, weights.strides
    full = [s * (n - 1) + k for n, s, k in zip(x.shape[1:4], strides, kernel.shape, strict=False)]
    y = np.zeros([len(x), *full, kernel.shape[-1]])
    for position in itertools.product(*map(range, x.shape[1:4])):
        at = tuple(slice(s * i, s * i + k) for i, s, k in zip(position, strides, kernel.shape, strict=False))
        y[(slice(None), *at)] += np.einsum("ni,thwio->nthwo", x[(slice(None), *position)].astype(float), kernel)
    if padded:
        cut = [(k - s) // 2 for k, s in zip(kernel.shape, strides, strict=False)]
        y = y[:, *(slice(c, c + s * n) for c, s, n in zip(cut, strides, x.shape[1:4], strict=False))]
    return np.maximum(y + weights.bias, 0) if weights.relu else y + weights.bias


def convolution(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Every output position is the sum over its window, in float64."""
    kernel, strides = weights.kernel, weights.strides
    before = [(k - s) // 2 for k, s in zip(kernel.shape, strides, strict=False)]
    x = np.pad(x.astype(float), [(0, 0), *((b, k) for b, k in zip(before, kernel.shape, strict=False)), (0, 0)])
    size = [(n - k - b) // s for n, k, b, s in zip(x.shape[1:4], kernel.shape, before, strides, strict=False)]
    y = np.zeros([len(x), *size, kernel.shape[-1]])
    for position in itertools.product(*map(range, size)):
        at = tuple(slice(s * i, s * i + k) for i, s, k in zip(position, strides, kernel.shape, strict=False))
        y[(slice(None), *position)] = np.einsum("nthwi,thwio->no", x[(slice(None), *at)], kernel)
    return y + weights.bias


def flat(x: np.ndarray) -> np.ndarray:
    """[N, T, H, W, C] -> [N, T, H*W, C], as the layers have clips."""
    return x.reshape(*x.shape[:2], -1, x.shape[4])


class LayersTest(tf.test.TestCase):
    def test_taps_worked_by_hand(self):
        # Input i reaches outputs 2i-1 to 2i+2: so output 0 has slice 1 of input 0 and slice 3 of input -1.
        self.assertEqual(layers_2d.axis_taps(4, 2, 0), [(-1, 3), (0, 1)])
        self.assertEqual(layers_2d.axis_taps(4, 2, 1), [(0, 2), (1, 0)])
        self.assertEqual(layers_2d.axis_taps(3, 1, 0), [(-1, 2), (0, 1), (1, 0)])
        self.assertEqual(layers_2d.axis_taps(1, 1, 0), [(0, 0)])

    def test_a_pixel_of_a_transposed_convolution_worked_by_hand(self):
        kernel = np.zeros([1, 4, 4, 1, 1])
        kernel[0, :, :, 0, 0] = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]
        x = np.zeros([1, 1, 2, 2, 1], np.float32)
        x[0, 0, 0, 1, 0] = 1.0  # the window of this pixel begins one row above the output, in its second column
        (y,) = layers_2d.TransposedConvolution([Weights(kernel, np.zeros(1), (1, 2, 2))], (2, 2))(flat(x))
        self.assertAllEqual(tf.reshape(y, [4, 4]), [[0, 5, 6, 7], [0, 9, 10, 11], [0, 13, 14, 15], [0, 0, 0, 0]])

    def test_transposed_convolutions_in_every_form(self):
        forms = set()
        for time, channels, relu in itertools.product((1, 3, 4), (3, 16), (False, True)):
            frames = 1 if time == 1 else 2
            own = weights((time, 4, 4, 2, channels), (2 if time == 4 else 1, 2, 2), relu)
            x = RANDOM.normal(size=[2, frames, 5, 4, 2]).astype(np.float32)
            layer = layers_2d.TransposedConvolution([own], (5, 4))
            forms.add(layer.summed)
            self.assertAllClose(layer(flat(x))[0], flat(transposed(x, own, padded=True)), atol=1e-5, rtol=1e-5)
        self.assertEqual(forms, {True, False})

    def test_heads_in_one_convolution(self):
        heads = [weights((4, 4, 4, 2, channels), (2, 2, 2)) for channels in (3, 1)]
        x = RANDOM.normal(size=[2, 3, 4, 4, 2]).astype(np.float32)
        colours, mask = layers_2d.TransposedConvolution(heads, (4, 4))(flat(x))
        self.assertAllClose(colours, flat(transposed(x, heads[0], padded=True)), atol=1e-5, rtol=1e-5)
        repeated = np.repeat(flat(transposed(x, heads[1], padded=True)), 3, axis=-1)
        self.assertAllClose(mask, repeated, atol=1e-5, rtol=1e-5)

    def test_convolutions(self):
        for time, stride in ((1, 1), (3, 1), (4, 2)):
            own = weights((time, 4, 4, 2, 3), (stride, 2, 2))
            x = RANDOM.normal(size=[2, 1 if time == 1 else 6, 4, 4, 2]).astype(np.float32)
            layer = layers_2d.Convolution(own, tuple(range(x.shape[1])), (4, 4))
            self.assertAllClose(layer(flat(x)), flat(convolution(x, own)), atol=1e-5, rtol=1e-5)

    def test_equal_frames_are_convolved_once(self):
        index = (0, 1, 1, 1, 1, 1, 1, 2)
        distinct = RANDOM.normal(size=[2, 3, 4, 4, 2]).astype(np.float32)
        for time, stride, expected in ((3, 1, (0, 1, 2, 2, 2, 2, 3, 4)), (4, 2, (0, 1, 1, 2))):
            own = weights((time, 4, 4, 2, 3), (stride, 2, 2))
            layer = layers_2d.Convolution(own, index, (4, 4))
            self.assertEqual(layer.index, expected)
            y = layer(flat(distinct)).numpy()
            self.assertEqual(y.shape[1], max(expected) + 1)
            whole = convolution(distinct[:, list(index)], own)
            self.assertAllClose(y[:, list(layer.index)], flat(whole), atol=1e-5, rtol=1e-5)

    def test_products(self):
        x = RANDOM.normal(size=[2, 1, 1, 1, 5]).astype(np.float32)
        seed = weights((2, 4, 4, 5, 3), (1, 1, 1), relu=True)
        self.assertAllClose(layers_2d.Product(seed, True)(flat(x)), flat(transposed(x, seed, padded=False)), atol=1e-5)
        x = RANDOM.normal(size=[2, 1, 4, 4, 5]).astype(np.float32)
        repeat = weights((2, 1, 1, 5, 3), (1, 1, 1))
        self.assertAllClose(
            layers_2d.Product(repeat, True)(flat(x)), flat(transposed(x, repeat, padded=False)), atol=1e-5
        )
        whole = weights((1, 4, 4, 5, 3), (1, 1, 1))
        expected = np.einsum("nthwi,thwio->no", x, whole.kernel) + whole.bias
        self.assertAllClose(layers_2d.Product(whole, False)(flat(x))[:, 0, 0], expected, atol=1e-5)

    def test_frames_are_taken_without_strides(self):
        x = tf.range(12.0)[tf.newaxis, :, tf.newaxis, tf.newaxis]
        regular = ([0, 1, 2], [0, 2, 4, 6], [1, 3, 5, 7, 9, 11], [3])
        others = ([0, 1, 1, 1, 5], [2, 2, 2, 2, 2, 2, 2], [0, 1, 1, 2, 3], [9, 11], [1, 3])
        for frames in (*regular, *others):
            graph = tf.function(lambda x, frames=frames: take(x, frames)).get_concrete_function(x)
            self.assertAllEqual(tf.reshape(graph(x), [-1]), frames)
            slices = [op for op in graph.graph.get_operations() if op.type == "StridedSlice"]
            for op in slices:
                self.assertAllEqual(tf.get_static_value(op.inputs[3]), tf.ones_like(op.inputs[3].shape[0] * [1]))


class LoweringTest(tf.test.TestCase):
    def check(self, model, message: str) -> keras.Model:
        tiny.shake(model)
        lowered = lowering.lower(model)
        for batch in (1, 3):
            inputs = inputs_of(model, batch)
            expected, outputs = model(inputs), lowered(inputs)
            self.assertEqual(set(outputs), set(expected))
            self.assertGreater(np.std(expected["clip"]), 0.03, message)
            for name in expected:
                self.assertAllClose(outputs[name], expected[name], atol=1e-4, rtol=0, msg=f"{message} {name}")
        return lowered

    def test_every_model_is_the_same_function(self):
        for name, stage in tiny.MODELS:
            self.check(tiny.model(name, stage), f"{name} stage {stage}")

    def test_a_residual_is_the_same_function(self):
        for stage in (1, 2):
            self.check(tiny.changing(stage), f"residual, stage {stage}")

    def test_a_drifting_frame_is_the_same_function(self):
        for stage, drift in ((1, "on"), (1, "fused"), (2, "fused")):
            model = tiny.changing(stage, drift=drift)
            self.check(model, f"drift {drift}, stage {stage}")
            frames, winds = inputs_of(model, 2)
            from_clip = lowering.lower(model, from_clip=True)(drifting_clip(frames, winds, tiny.FRAMES))
            self.assertAllClose(from_clip["clip"], model((frames, winds))["clip"], atol=1e-4, rtol=0)

    def test_the_moving_average_is_what_is_lowered(self):
        model = tiny.model("vgan", ema=0.9)
        for average in model.ema_generator.trainable_variables:
            average.assign(average * 1.5)
        self.check(model, "ema")

    def test_wide_networks_and_other_sizes(self):
        sizes = [
            ("vgan", {"base_width": 16, "frame_size": 16, "num_frames": 2}),
            ("vgan_conditional", {"base_width": 8, "frame_size": 32, "num_frames": 16}),
            ("vgan", {"base_width": 2, "frame_size": 64, "num_frames": 4}),
            ("mdgan", {"base_width": 2, "frame_size": 64, "num_frames": 2}),
            ("mdgan", {"base_width": 4, "frame_size": 32, "num_frames": 16}),
        ]
        for name, size in sizes:
            for stage in range(1, registry.num_stages(name) + 1):
                config = Config.create(model=name, init_stddev=0.05, **size)
                self.check(registry.build_model(config.model, stage), f"{name} stage {stage} {size}")

    def test_the_base_net_encodes_three_slices(self):
        config = Config.create(model="mdgan", base_width=1, frame_size=128, num_frames=32).model
        lowered = lowering.lower(registry.build_model(config))
        encoder = [layer for layer in lowered._flatten_layers() if isinstance(layer, layers_2d.Convolution)]
        self.assertCountEqual([len(layer.frames[0]) for layer in encoder], [3, 3, 3, 3, 2])

    def test_only_2d_operations_are_left(self):
        for name, stage in tiny.MODELS:
            model = tiny.model(name, stage)
            samplers = [lowering.sampler(model, low) for low in (False, True)]
            graphs = [
                tf.function(made.sample, input_signature=made.specs).get_concrete_function().graph for made in samplers
            ]
            native, lowered = ({op.type for op in graph.get_operations()} for graph in graphs)
            self.assertTrue({kind for kind in native if "3D" in kind}, name)
            self.assertEmpty({kind for kind in lowered if "3D" in kind or "BackpropInput" in kind}, name)
            # What has five dimensions is put into four at once, and leaves them last of all.
            large = {op.type for op in graphs[1].get_operations() for y in op.outputs if (y.shape.rank or 0) > 4}
            self.assertEqual(large, {"Reshape", "Identity"}, name)

    def test_a_lost_weight_shows(self):
        size = {
            "base_width": 2,
            "frame_size": 16,
            "num_frames": 8,
        }  # in clips of one frame, some taps would see nothing but padding
        model = registry.build_model(Config.create(model="vgan", init_stddev=0.1, **size).model)
        lowered = self.check(model, "before")
        inputs = inputs_of(model, 1)
        expected = model(inputs)["clip"]
        for variable in lowered.variables:
            kept = variable.numpy()
            if np.any(kept):
                variable.assign(np.zeros_like(kept))
                self.assertGreater(np.abs(lowered(inputs)["clip"] - expected).max(), 1e-4, variable.path)
                variable.assign(kept)

    def test_later_training_leaves_a_lowered_network_alone(self):
        model = tiny.model("vgan_one_stream")
        lowered = self.check(model, "before")
        latents = vgan.latents(0, 1)
        before = lowered(latents)["clip"]
        model.generator.set_weights([w + 1.0 for w in model.generator.get_weights()])
        self.assertAllEqual(lowered(latents)["clip"], before)


if __name__ == "__main__":
    tf.test.main()
