"""Behaviours that hold for every registered network."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import UsageError
from tfvideogan.models import mdgan, registry, vgan


def trainable_parameters(network: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


class RegistryTest(tf.test.TestCase):
    def test_full_size_networks_have_the_specified_parameter_counts(self):
        for name, entry in registry.NETWORKS.items():
            with self.subTest(name):
                network = entry.build(entry.base_width, entry.frame_size)
                # One-stream: the specification's 12,667,716 of both heads, less the mask's.
                expected = entry.parameters or 12_667_716 - (64 * 4**3 + 1)
                self.assertEqual(trainable_parameters(network), expected)

    def test_default_arguments_are_the_papers(self):
        for build in (vgan.two_stream_generator, vgan.conditional_generator, vgan.discriminator):
            self.assertEqual(self._size(build(base_width=1)), (64, 32))
        for build in (mdgan.base_generator, mdgan.refine_generator, mdgan.discriminator):
            self.assertEqual(self._size(build(base_width=1)), (128, 32))

    @staticmethod
    def _size(network: keras.Model) -> tuple[int, int]:
        clip = network.input_shape if len(network.input_shape) == 5 else network.output["clip"].shape
        return clip[2], clip[1]

    def test_generators_from_noise_or_a_frame_give_four_streams(self):
        for name in ("vgan_two_stream", "vgan_conditional"):
            for batch in (1, 3):
                network = tiny.network(name)
                outputs = network(tiny.network_input(network, batch))
                shapes = {key: tuple(value.shape) for key, value in outputs.items()}
                clip = (batch, 4, 16, 16, 3)
                expected = {
                    "clip": clip,
                    "foreground": clip,
                    "mask": (*clip[:4], 1),
                    "background": (batch, 1, 16, 16, 3),
                }
                self.assertEqual(shapes, expected)
                fused = outputs["mask"] * outputs["foreground"] + (1 - outputs["mask"]) * outputs["background"]
                self.assertAllClose(outputs["clip"], fused, atol=1e-6)

    def test_discriminators_give_logits_and_features(self):
        for batch in (1, 3):
            network = tiny.network("vgan_discriminator")
            self.assertEqual(network(tiny.network_input(network, batch)).shape, (batch, 2))
            network = tiny.network("mdgan_discriminator")
            outputs = network(tiny.network_input(network, batch))
            shapes = {key: tuple(value.shape) for key, value in outputs.items()}
            self.assertEqual(
                shapes, {"logits": (batch, 1), "conv1": (batch, 4, 16, 16, 2), "conv3": (batch, 1, 4, 4, 8)}
            )

    def test_every_size_builds_and_keeps_its_shape(self):
        cases = {
            "vgan_two_stream": [(32, 32), (64, 16), (128, 32), (128, 16)],
            "vgan_conditional": [(32, 16), (128, 32)],
            "vgan_discriminator": [(32, 32), (64, 16), (128, 16)],
            "mdgan_base": [(64, 32), (64, 16), (128, 16), (256, 32), (256, 16)],
            "mdgan_refine": [(64, 16), (256, 32)],
            "mdgan_discriminator": [(64, 32), (256, 16)],
        }
        for name, sizes in cases.items():
            for frame_size, num_frames in sizes:
                with self.subTest(name=name, frame_size=frame_size, num_frames=num_frames):
                    network = registry.NETWORKS[name].build(1, frame_size, num_frames)
                    self.assertEqual(self._size(network), (frame_size, num_frames))

    def test_a_size_that_cannot_be_built_is_refused_first(self):
        wrong = [
            {"frame_size": 48}, {"frame_size": 8}, {"frame_size": 1024}, {"num_frames": 12}, {"num_frames": 1},
            {"base_width": 0}, {"frame_size": 64.0},
        ]  # fmt: skip
        for name, entry in registry.NETWORKS.items():
            for sizes in wrong:
                with self.subTest(name=name, **sizes), self.assertRaisesRegex(UsageError, next(iter(sizes))):
                    entry.build(**sizes)
        with self.assertRaisesRegex(UsageError, "from 32 to"):
            mdgan.base_generator(1, frame_size=16)

    def test_xla_equals_eager(self):
        for name in registry.NETWORKS:
            with self.subTest(name):
                network = tiny.network(name)
                inputs = tiny.network_input(network, 3)
                compiled = tf.function(lambda x, network=network: network(x, training=False), jit_compile=True)
                self.assertAllClose(compiled(inputs), network(inputs, training=False), atol=1e-5)

    def test_a_clip_does_not_depend_on_its_batch_at_inference(self):
        for name in registry.NETWORKS:
            with self.subTest(name):
                network = tiny.network(name)
                inputs = tiny.network_input(network, 3)
                alone = tf.nest.map_structure(lambda x: x[0], network(inputs[:1], training=False))
                together = tf.nest.map_structure(lambda x: x[0], network(inputs, training=False))
                self.assertAllClose(alone, together, atol=1e-6)

    def test_outputs_stay_float32_under_mixed_precision(self):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")
        for name in registry.NETWORKS:
            network = tiny.network(name)
            outputs = network(tiny.network_input(network, 1))
            for key, value in outputs.items() if isinstance(outputs, dict) else [("output", outputs)]:
                if not key.startswith("conv"):  # features are as the layers make them
                    self.assertEqual(value.dtype, tf.float32, f"{name} {key}")


if __name__ == "__main__":
    tf.test.main()
