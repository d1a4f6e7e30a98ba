"""The layers, initial weights, optimizers and losses of both papers, in tables to be held beside their specifications.

A row of a network: convolution, channels (in units of the base width, or `n` themselves), kernel, stride, padding, and
what follows it. The values are those of the papers and of the authors' code, not read from ours.
"""

import functools
import re

import keras
import tensorflow as tf
from absl.testing import parameterized

from tfvideogan.config import Config
from tfvideogan.models import mdgan, registry, vgan
from tfvideogan.training import assembly
from tfvideogan.training.runtime import Runtime

WIDTH = 5  # of the networks built here: no other number of channels is a multiple of it

TWO_STREAM = """
    f_conv1  3D transposed  8 widths  2x4x4  1x1x1  valid  batch_norm(1e-05) relu
    f_conv2  3D transposed  4 widths  4x4x4  2x2x2  same   batch_norm(1e-05) relu
    f_conv3  3D transposed  2 widths  4x4x4  2x2x2  same   batch_norm(1e-05) relu
    f_conv4  3D transposed  1 widths  4x4x4  2x2x2  same   batch_norm(1e-05) relu
    f_head   3D transposed  3         4x4x4  2x2x2  same   tanh
    m_head   3D transposed  1         4x4x4  2x2x2  same   sigmoid
    b_conv1  2D transposed  8 widths  4x4    1x1    valid  batch_norm(1e-05) relu
    b_conv2  2D transposed  4 widths  4x4    2x2    same   batch_norm(1e-05) relu
    b_conv3  2D transposed  2 widths  4x4    2x2    same   batch_norm(1e-05) relu
    b_conv4  2D transposed  1 widths  4x4    2x2    same   batch_norm(1e-05) relu
    b_head   2D transposed  3         4x4    2x2    same   tanh
"""
ONE_STREAM = "\n".join(TWO_STREAM.splitlines()[:6])
CONDITIONAL = """
    e_conv1  2D             1 widths  4x4    2x2    same   relu
    e_conv2  2D             2 widths  4x4    2x2    same   batch_norm(0.001) relu
    e_conv3  2D             4 widths  4x4    2x2    same   batch_norm(0.001) relu
    e_conv4  2D             8 widths  4x4    2x2    same   batch_norm(0.001) relu
    f_conv1  3D transposed  8 widths  2x1x1  1x1x1  valid  batch_norm(1e-05) relu
    f_conv2  3D transposed  4 widths  4x4x4  2x2x2  same   batch_norm(1e-05) relu
    f_conv3  3D transposed  2 widths  4x4x4  2x2x2  same   batch_norm(1e-05) relu
    f_conv4  3D transposed  1 widths  4x4x4  2x2x2  same   batch_norm(1e-05) relu
    f_head   3D transposed  3         4x4x4  2x2x2  same   tanh
    m_head   3D transposed  1         4x4x4  2x2x2  same   sigmoid
    b_conv2  2D transposed  4 widths  4x4    2x2    same   batch_norm(1e-05) relu
    b_conv3  2D transposed  2 widths  4x4    2x2    same   batch_norm(1e-05) relu
    b_conv4  2D transposed  1 widths  4x4    2x2    same   batch_norm(1e-05) relu
    b_head   2D transposed  3         4x4    2x2    same   tanh
"""
VGAN_DISCRIMINATOR = """
    conv1        3D         1 widths  4x4x4  2x2x2  same   leaky(0.2)
    conv2        3D         2 widths  4x4x4  2x2x2  same   batch_norm(0.001) leaky(0.2)
    conv3        3D         4 widths  4x4x4  2x2x2  same   batch_norm(0.001) leaky(0.2)
    conv4        3D         8 widths  4x4x4  2x2x2  same   batch_norm(0.001) leaky(0.2)
    logits_conv  3D         2         2x4x4  1x1x1  valid
"""
G1 = """
    down_conv1  3D             1 widths   3x4x4  1x2x2  same
    down_conv2  3D             2 widths   4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    down_conv3  3D             4 widths   4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    down_conv4  3D             8 widths   4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    down_conv5  3D             16 widths  4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    down_conv6  3D             16 widths  2x4x4  1x1x1  valid
    up_conv1    3D transposed  16 widths  2x4x4  1x1x1  valid  batch_norm(1e-05) relu + down_conv5
    up_conv2    3D transposed  8 widths   4x4x4  2x2x2  same   batch_norm(1e-05) relu + down_conv4
    up_conv3    3D transposed  4 widths   4x4x4  2x2x2  same   batch_norm(1e-05) relu + down_conv3
    up_conv4    3D transposed  2 widths   4x4x4  2x2x2  same   batch_norm(1e-05) relu + down_conv2
    up_conv5    3D transposed  1 widths   4x4x4  2x2x2  same   batch_norm(1e-05) relu + down_conv1
    up_conv6    3D transposed  3          3x4x4  1x2x2  same   tanh
"""
G2 = G1.replace(" + down_conv2", "").replace(" + down_conv1", "")
MDGAN_DISCRIMINATOR = """
    conv1        3D         1 widths   3x4x4  1x2x2  same   leaky(0.2)
    conv2        3D         2 widths   4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    conv3        3D         4 widths   4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    conv4        3D         8 widths   4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.2)
    conv5        3D         16 widths  4x4x4  2x2x2  same   batch_norm(1e-05) leaky(0.01)
    logits_conv  3D         1          2x4x4  1x1x1  valid
"""


def _without_norms(table: str) -> str:
    return re.sub(r"batch_norm\(\S+\)", "", table)


NETWORKS = {  # table, whether convolutions have a bias, standard deviation of their initial weights
    vgan.two_stream_generator: (TWO_STREAM, True, 0.01),
    vgan.one_stream_generator: (ONE_STREAM, True, 0.01),
    vgan.conditional_generator: (CONDITIONAL, True, 0.01),
    vgan.discriminator: (VGAN_DISCRIMINATOR, True, 0.01),
    mdgan.base_generator: (G1, False, 0.02),
    mdgan.refine_generator: (G2, False, 0.02),
    mdgan.discriminator: (MDGAN_DISCRIMINATOR, False, 0.02),
    # With spectral normalisation, which is ours, there is no batch normalisation, and every convolution has a bias.
    functools.partial(vgan.discriminator, spectral=True): (_without_norms(VGAN_DISCRIMINATOR), True, 0.01),
    # The ablation of MD-GAN's skips has those of G1 (ours).
    functools.partial(mdgan.refine_generator, skips="all"): (G1, False, 0.02),
    functools.partial(mdgan.discriminator, spectral=True): (_without_norms(MDGAN_DISCRIMINATOR), True, 0.02),
}
TRAINING = {  # learning rate, Adam's betas, clips a step, deviation of initial weights, and the losses' weights
    "vgan": ((2e-4, 0.5, 0.999), 64, 0.01, {"mask_prior": 0.1, "first_frame_weight": 0.0}),
    "vgan_one_stream": ((2e-4, 0.5, 0.999), 64, 0.01, {"mask_prior": 0.0, "first_frame_weight": 0.0}),
    "vgan_conditional": ((2e-4, 0.5, 0.999), 32, 0.01, {"mask_prior": 0.0, "first_frame_weight": 10.0}),
    "mdgan": ((2e-4, 0.5, 0.9), 16, 0.02, {"adversarial_weight": 1.0, "ranking_weight": 1.0}),
}


class Graph:
    """A functional network as its table's rows."""

    def __init__(self, network: keras.Model):
        self.convolutions = [layer for layer in network.layers if hasattr(layer, "kernel")]
        self._makers = {id(layer.output): layer for layer in network.layers}
        self._users: dict[int, list] = {}
        for layer in network.layers[1:]:
            for tensor in layer.input if isinstance(layer.input, list) else [layer.input]:
                self._users.setdefault(id(tensor), []).append(layer)

    def rows(self) -> list[list[str]]:
        return sorted(self._row(layer).split() for layer in self.convolutions)

    def _row(self, layer: keras.Layer) -> str:
        kind = f"{layer.kernel.ndim - 2}D{' transposed' if 'Transpose' in type(layer).__name__ else ''}"
        channels = f"{layer.filters // WIDTH} widths" if layer.filters % WIDTH == 0 else str(layer.filters)
        sides = ["x".join(map(str, side)) for side in (layer.kernel_size, layer.strides)]
        return " ".join([layer.name, kind, channels, *sides, layer.padding, *self._behind(layer)])

    def _behind(self, layer: keras.Layer) -> list[str]:
        """What a convolution's output passes before the next convolution reads it, or a skip takes it away."""
        words = []
        while True:
            users = [user for user in self._users.get(id(layer.output), []) if not isinstance(user, keras.layers.Add)]
            adds = [user for user in self._users.get(id(layer.output), []) if isinstance(user, keras.layers.Add)]
            if adds and not users:
                skips = [tensor for tensor in adds[0].input if tensor is not layer.output]
                return [*words, *(f"+ {self._source(tensor)}" for tensor in skips)]
            steps = [word for user in users if (word := _word(user))]
            if not steps:
                return words
            assert len(set(steps)) == 1, (layer.name, steps)
            words.append(steps[0])
            layer = next(user for user in users if _word(user))

    def _source(self, tensor: object) -> str:
        """The convolution whose output, with all that belongs to it, a tensor is."""
        layer, behind = self._makers[id(tensor)], []
        while not hasattr(layer, "kernel"):
            behind.insert(0, _word(layer))
            layer = self._makers[id(layer.input)]
        assert behind == [word for word in self._behind(layer) if not word.startswith("+")], (layer.name, behind)
        return layer.name


def _word(layer: keras.Layer) -> str | None:
    """A layer that belongs to the convolution before it, as tables write it."""
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        return f"batch_norm({layer.epsilon:g})"
    if kind == "LeakyReLU":
        return f"leaky({layer.negative_slope:g})"
    return {"ReLU": "relu", "Activation": getattr(getattr(layer, "activation", None), "__name__", None)}.get(kind)


class LayersTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*NETWORKS)
    def test_layers(self, build):
        table, _, _ = NETWORKS[build]
        expected = sorted(line.split() for line in table.strip().splitlines())
        self.assertEqual(Graph(build(base_width=WIDTH)).rows(), expected)

    @parameterized.parameters(*NETWORKS)
    def test_initial_weights(self, build):
        _, has_bias, stddev = NETWORKS[build]
        network = build(base_width=WIDTH)
        for layer in Graph(network).convolutions:
            self.assertIsInstance(layer.kernel_initializer, keras.initializers.RandomNormal)
            self.assertEqual((layer.kernel_initializer.mean, layer.kernel_initializer.stddev), (0.0, stddev))
            self.assertEqual(layer.use_bias, has_bias)
            self.assertAllEqual(layer.bias if has_bias else 0.0, tf.zeros([layer.filters]) if has_bias else 0.0)
        norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        for norm in norms:
            gamma = norm.gamma_initializer
            self.assertEqual((norm.momentum, gamma.mean, gamma.stddev), (0.9, 1.0, 0.02))
            self.assertIsInstance(gamma, keras.initializers.RandomNormal)
            self.assertAllEqual(norm.beta, tf.zeros_like(norm.beta))

    def test_features_are_taken_behind_the_activations_of_conv1_and_conv3(self):
        network = mdgan.discriminator(WIDTH)
        for name in ("conv1", "conv3"):
            with self.subTest(name):
                source = Graph(network)._source(network.output[name])  # which checks that all behind it is included
                self.assertEqual(source, name)

    def test_the_widths_of_the_papers(self):
        defaults = {name: entry.base_width for name, entry in registry.NETWORKS.items()}
        self.assertEqual(
            defaults,
            {
                "vgan_two_stream": 64, "vgan_one_stream": 64, "vgan_conditional": 128, "vgan_discriminator": 64,
                "vgan_conditional_discriminator": 128, "mdgan_base": 32, "mdgan_refine": 32, "mdgan_discriminator": 32,
                "vgan_spectral_discriminator": 64, "mdgan_spectral_discriminator": 32,
            },
        )  # fmt: skip


class TrainingTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*TRAINING)
    def test_the_command_trains_as_the_paper(self, name):
        adam, batch_size, stddev, weights = TRAINING[name]
        config = Config.create(model=name, base_width=1)
        self.assertEqual((config.data.batch_size, config.model.init_stddev), (batch_size, stddev))
        runtime = Runtime(tf.distribute.get_strategy(), xla=False)
        for stage in range(1, registry.num_stages(name) + 1):
            self.assert_trains(assembly.new_model(config, runtime, stage), adam, weights)

    @parameterized.parameters(*TRAINING)
    def test_compile_without_arguments_trains_as_the_paper(self, name):
        adam, _, _, weights = TRAINING[name]
        build = {
            "vgan": lambda: vgan.VGAN(vgan.two_stream_generator(1), vgan.discriminator(1)),
            "vgan_one_stream": lambda: vgan.VGAN(vgan.one_stream_generator(1), vgan.discriminator(1)),
            "vgan_conditional": lambda: vgan.VGAN(vgan.conditional_generator(1), vgan.discriminator(1)),
            "mdgan": lambda: mdgan.MDGAN(mdgan.base_generator(1), mdgan.discriminator(1), mdgan.refine_generator(1)),
        }
        model = build[name]()
        model.compile()
        self.assert_trains(model, adam, weights)

    def assert_trains(self, model, adam, weights):
        for optimizer in model.optimizers:
            self.assertIsInstance(optimizer, keras.optimizers.Adam)
            found = float(optimizer.learning_rate), optimizer.beta_1, optimizer.beta_2
            self.assertAllClose(found, adam, rtol=1e-6)
        self.assertEqual({weight: getattr(model, weight) for weight in weights}, weights)


if __name__ == "__main__":
    tf.test.main()
