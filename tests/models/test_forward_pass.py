"""Every network at its paper's size, but for its width, against the independent one of `reference.py`."""

import functools

import keras
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tests.models import reference
from tfvideogan.models import mdgan, vgan

NETWORKS = {
    "two-stream": (vgan.two_stream_generator, reference.vgan_two_stream),
    "one-stream": (vgan.one_stream_generator, reference.vgan_one_stream),
    "conditional": (vgan.conditional_generator, reference.vgan_conditional),
    "Video-GAN's D": (vgan.discriminator, reference.vgan_discriminator),
    "G1": (mdgan.base_generator, functools.partial(reference.mdgan_generator, skips=(1, 2, 3, 4, 5))),
    "G2": (mdgan.refine_generator, functools.partial(reference.mdgan_generator, skips=(3, 4, 5))),
    "MD-GAN's D": (mdgan.discriminator, reference.mdgan_discriminator),
}


def randomise(network: keras.Model) -> None:
    """Random weights, biases and statistics that keep activations near 1 through all layers.

    The variances that batch normalisation meets are about 1e-3, so that an epsilon that is wrong shows.
    """
    random = np.random.default_rng(0)
    normalised = {id(x.input) for x in network.layers if isinstance(x, keras.layers.BatchNormalization)}
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            scale = 0.03 if id(layer.output) in normalised else 1.0
            layer.kernel.assign(random.normal(0, scale / np.sqrt(summands(layer)), layer.kernel.shape))
            if layer.bias is not None:
                layer.bias.assign(random.uniform(-scale, scale, layer.bias.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            ranges = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "moving_mean": (-0.03, 0.03)}
            for name, (low, high) in (ranges | {"moving_variance": (5e-4, 2e-3)}).items():
                variable = getattr(layer, name)
                variable.assign(random.uniform(low, high, variable.shape))


def summands(layer: keras.Layer) -> float:
    """How many products an output of a convolution is the sum of."""
    taps = np.prod(layer.kernel.shape[:-2])
    if "Transpose" not in type(layer).__name__:
        return taps * layer.kernel.shape[-2]
    seen = 1 if layer.padding == "valid" else taps / np.prod(layer.strides)
    return seen * layer.kernel.shape[-1]


class ForwardPassTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*NETWORKS)
    def test_it_is_the_papers(self, name):
        build, expected_outputs = NETWORKS[name]
        network = build(base_width=2)
        randomise(network)
        inputs = np.random.default_rng(7).uniform(-1, 1, [3, *network.input_shape[1:]]).astype(np.float32)
        expected = expected_outputs(reference.Weights(network), inputs[2:].astype(np.float64))
        for batch in (inputs[2:], inputs):
            outputs = network(batch, training=False)
            if not isinstance(outputs, dict):
                outputs = {"logits" if outputs.shape[1:] == (2,) else "clip": outputs}
            self.assertEqual(set(outputs), set(expected))
            self.assertGreater(np.abs(next(iter(expected.values()))).max(), 0.05)
            for key, value in expected.items():
                self.assertAllClose(outputs[key][-1:], value, atol=1e-5, rtol=1e-5, msg=key)


if __name__ == "__main__":
    tf.test.main()
