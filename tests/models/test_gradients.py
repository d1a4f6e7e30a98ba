"""No train step computes a gradient that nobody uses: convolutions are counted in its traced graph."""

import collections

import keras
import tensorflow as tf

from tests.helpers import tiny

COMPARED = 3  # Features are compared up to conv3.
FILTER_GRADIENTS = ("Conv3DBackpropFilterV2", "Conv2DBackpropFilter")


def operations(model: keras.Model, name: str, *options: bool) -> collections.Counter:
    """How many operations of each type a training step's graph runs: those that its outputs or variables need."""
    clips = tiny.clips(name, 4)
    function = tf.function(model.train_step, autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec(clips.shape), *options).graph
    reached, waiting = set(), [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    while waiting:
        operation = waiting.pop()
        if operation not in reached:
            reached.add(operation)
            waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return collections.Counter(operation.type for operation in reached)


def convolutions(network: keras.Model) -> int:
    return sum(hasattr(layer, "kernel") for layer in network.layers)


class GradientsTest(tf.test.TestCase):
    def test_each_kernel_has_a_gradient_for_each_pass_that_trains_it(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage)
                model.compile()
                found = operations(model, name)
                # The discriminator learns from real and generated clips, and from the features of base clips.
                expected = 2 * convolutions(model.discriminator) + (COMPARED if stage == 2 else 0)
                expected += convolutions(model.generator) - model.has_mask  # Both heads are one convolution.
                self.assertEqual(sum(found[kind] for kind in FILTER_GRADIENTS), expected)

    def test_clips_that_are_only_compared_pass_no_further_than_their_features(self):
        model = tiny.model("mdgan", 2)
        model.compile()
        layers = convolutions(model.discriminator)
        downwards = sum(type(layer).__name__ == "Conv3D" for layer in model.generator.layers)
        upwards = convolutions(model.generator) - downwards
        forward = 2 * layers + COMPARED + layers + 2 * COMPARED  # D's step, then G's, on fakes, real and base clips
        generators = 2 * downwards + upwards  # both forward, and the gradients of G2's transposed convolutions
        self.assertEqual(operations(model, "mdgan")["Conv3D"], forward + generators)

    def test_a_step_without_the_discriminator_does_not_run_it(self):
        model = tiny.model("mdgan", 1)
        model.compile()
        found, layers = operations(model, "mdgan", False), convolutions(model.generator)
        self.assertEqual(sum(found[kind] for kind in FILTER_GRADIENTS), layers)
        self.assertEqual(found["Conv3D"], layers)  # forward, and the gradients of the transposed ones
        self.assertEqual(found["Conv3DBackpropInputV2"], layers - 1)  # the other way round; none for the clip itself


if __name__ == "__main__":
    tf.test.main()
