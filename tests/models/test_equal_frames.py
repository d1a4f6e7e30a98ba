"""The Base-Net of a frame against the Base-Net of a clip: values, gradients and statistics, for clips of any length."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.case import PolicyTest
from tfvideogan.benchmark import operations_per_clip
from tfvideogan.metrics.speed import flops_per_clip
from tfvideogan.models import batch_statistics, blocks, mdgan, registry
from tfvideogan.models.batch_norm import frozen_statistics
from tfvideogan.models.equal_frames import RepeatedFrameNet
from tfvideogan.models.generative import Inputs

SIZES = ((32, 2), (32, 4), (64, 16), (64, 32), (128, 4))


def shaken_base(frame_size: int, num_frames: int, **options) -> keras.Model:
    """A Base-Net whose features are of the size of 1, with batch statistics and factors unlike those of the start."""
    keras.utils.set_random_seed(7)
    base, random = mdgan.base_generator(2, frame_size, num_frames, init_stddev=0.2, **options), np.random.default_rng(0)
    for layer in blocks.batch_norms(base):
        for variable, (low, high) in zip(layer.variables, ((0.5, 1.5), (-1, 1), (-0.5, 0.5), (0.2, 2)), strict=True):
            variable.assign(random.uniform(low, high, variable.shape))
    return base


def frames_of(base: keras.Model) -> tf.Tensor:
    return tf.random.stateless_uniform([3, *base.input.shape[2:]], [1, 2], -1, 1)


class RepeatedFrameNetTest(PolicyTest):
    def test_inference(self):
        for size, residual in zip(SIZES, (False, True, False, True, False), strict=True):
            base = shaken_base(*size, residual=residual)
            frames = frames_of(base)
            expected = base(mdgan.repeat_frame(frames, size[1]), training=False)
            self.assertAllClose(RepeatedFrameNet(base)(frames), expected, rtol=0, atol=1e-5)
            self.assertGreater(np.std(expected), 0.1)

    def test_training_has_the_same_gradients_and_moves_statistics_alike(self):
        for size in SIZES:
            base = shaken_base(*size)
            frames, weights = frames_of(base), base.get_weights()
            whole = self._trained(base, base, mdgan.repeat_frame(frames, size[1]))
            base.set_weights(weights)
            sliced = self._trained(base, RepeatedFrameNet(base), frames)
            for name, values in whole.items():
                # A sum that is rounded otherwise can move a feature over a ReLU's edge; it did for one seed of twelve.
                self.assertLess(np.linalg.norm(sliced[name] - values), 1e-4 * np.linalg.norm(values), (size, name))

    def _trained(self, base: keras.Model, form: Callable, inputs: tf.Tensor) -> dict[str, np.ndarray]:
        """The clip, the gradient of a sum of it for every weight, and the statistics afterwards."""
        with tf.GradientTape() as tape:
            clip = form(inputs, training=True)
            some = tf.reduce_sum(clip * tf.random.stateless_normal(clip.shape, [3, 4]))
        gradients = tape.gradient(some, [v.value for v in base.trainable_variables])
        named = {v.path: g for v, g in zip(base.trainable_variables, gradients, strict=True)}
        named |= {v.path: v.value for v in batch_statistics.of_network(base)}
        return {"clip": clip.numpy()} | {name: value.numpy() for name, value in named.items()}

    def test_half_precision(self):
        self.use_policy("mixed_bfloat16")
        base = shaken_base(64, 16)
        frames = frames_of(base)
        for training in (False, True):
            expected = base(mdgan.repeat_frame(frames, 16), training=training)
            self.assertAllClose(RepeatedFrameNet(base)(frames, training), expected, rtol=0, atol=0.1)

    def test_frozen_statistics_and_frozen_layers(self):
        base = shaken_base(64, 16)
        frames, weights = frames_of(base), base.get_weights()
        with frozen_statistics():
            RepeatedFrameNet(base)(frames, training=True)
        for before, now in zip(weights, base.get_weights(), strict=True):
            self.assertAllEqual(before, now)
        base.trainable = False
        expected = base(mdgan.repeat_frame(frames, 16), training=True)
        self.assertAllClose(RepeatedFrameNet(base)(frames, training=True), expected, rtol=0, atol=1e-5)
        for before, now in zip(weights, base.get_weights(), strict=True):
            self.assertAllEqual(before, now)

    def test_three_slices_are_computed_of_the_papers_size(self):
        base = mdgan.base_generator(32, 128, 32)
        computed = RepeatedFrameNet(base).frames_computed
        self.assertEqual(list(computed.values()), [3, 3, 3, 3, 2])
        self.assertAllClose(flops_per_clip(base) / 1e9, 18.56, atol=0.01)
        self.assertAllClose(flops_per_clip(base, computed) / 1e9, 12.36, atol=0.01)


class ModelTest(tf.test.TestCase):
    def test_both_stages_generate_from_slices_and_a_drifting_clip_is_whole(self):
        """The first convolution of the Base-Net is applied to three frames, or to all."""
        for stage, options, frames in ((1, {}, 3), (2, {}, 3), (1, {"drift": "on"}, tiny.FRAMES)):
            model = registry.build_model(tiny.config("mdgan", **options).model, stage)
            inputs = model.generator_inputs(tiny.clips("mdgan", 2), 0, *([tf.zeros([2, 2])] if options else []))
            for training in (False, True):
                self.assertEqual(self._frames_of_first_convolution(model, inputs, training), frames)

    def _frames_of_first_convolution(self, model: mdgan.MDGAN, inputs: Inputs, training: bool) -> int:
        def clip(inputs: Inputs) -> tf.Tensor:
            return model.generate(inputs, model.generator, training)["clip"]

        graph = tf.function(clip).get_concrete_function(inputs).graph
        return next(op.inputs[0].shape[1] for op in graph.get_operations() if op.type == "Conv3D")

    def test_statistics_over_replicas_are_of_whole_clips(self):
        """Keras sums them over replicas, and knows no slices."""
        model, frames = tiny.model("mdgan"), tiny.clips("mdgan", 2)[:, 0]
        blocks.synchronize(model.generator)
        self.assertEqual(self._frames_of_first_convolution(model, frames, training=True), tiny.FRAMES)
        self.assertEqual(self._frames_of_first_convolution(model, frames, training=False), 3)

    def test_a_base_net_in_training_mode_below_stage_2(self):
        model = tiny.shaken("mdgan", 2)
        frames = tiny.clips("mdgan", 3)[:, 0]
        expected = model.base_generator(mdgan.repeat_frame(frames, model.num_frames), training=True)
        self.assertAllClose(model(frames, training=True)["base"], expected, rtol=0, atol=1e-4)

    def test_operations_are_counted_as_they_are_computed(self):
        for options in ({}, {"drift": "on"}):
            model = registry.build_model(tiny.config("mdgan", **options).model)
            base = model.base_generator
            whole, spared = flops_per_clip(base), flops_per_clip(base, RepeatedFrameNet(base).frames_computed)
            self.assertLess(spared, whole)
            of_generator = operations_per_clip(model) - 8 * flops_per_clip(model.discriminator)
            self.assertAllClose(of_generator, 3 * (whole if options else spared))

    def test_the_average_has_a_form_of_its_own(self):
        model = tiny.model("mdgan", ema=0.9)
        model.ema_generator.set_weights([w + 1 for w in model.ema_generator.get_weights()])
        frames = tiny.clips("mdgan", 2)[:, 0]
        clip = mdgan.repeat_frame(frames, model.num_frames)
        self.assertAllClose(model(frames)["clip"], model.ema_generator(clip), rtol=0, atol=1e-5)
        own = model.generate(frames, model.generator, training=False)["clip"]
        self.assertAllClose(own, model.generator(clip), rtol=0, atol=1e-5)


if __name__ == "__main__":
    tf.test.main()
