"""What a model says of itself, and the latents that it draws."""

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models import mdgan


class DescriptionTest(tf.test.TestCase):
    def test_a_model_says_what_it_is(self):
        players = ["generator", "discriminator"]
        for (name, stage), predicts, mask, stages, repeats, networks in (
            (("vgan", 1), False, True, 1, False, players),
            (("vgan_one_stream", 1), False, False, 1, False, players),
            (("vgan_conditional", 1), True, True, 1, False, players),
            (("mdgan", 1), True, False, 2, True, players),
            (("mdgan", 2), True, False, 2, True, ["base", *players]),
        ):
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage)
                self.assertEqual((model.stage, model.num_stages), (stage, stages))
                self.assertEqual((model.predicts, model.has_mask, model.repeats_frame), (predicts, mask, repeats))
                self.assertEqual(list(model.networks), networks)
                size = tiny.frame_size(name)
                self.assertEqual(model.clip_shape, (tiny.FRAMES, size, size, 3))
                self.assertEqual((model.num_frames, model.frame_size), (tiny.FRAMES, size))

    def test_the_sampling_input_is_what_the_model_is_called_on(self):
        for name, stage in tiny.MODELS:
            with self.subTest(name=name, stage=stage):
                model = tiny.model(name, stage)
                spec = model.sampling_inputs[0]
                expected = [None, *model.clip_shape[1:]] if model.predicts else [None, 100]
                self.assertEqual(spec.shape.as_list(), expected)
                self.assertEqual((spec.name, spec.dtype), ("frame" if model.predicts else "latents", tf.float32))
                outputs = model(tf.zeros([2, *spec.shape[1:]]))
                self.assertEqual(outputs["clip"].shape, [2, *model.clip_shape])
                self.assertEqual("mask" in outputs, model.has_mask)

    def test_a_sample_passes_the_sampling_networks_in_order(self):
        for (name, stage), ema, expected in (
            (("vgan_one_stream", 1), 0.0, ["generator"]),
            (("mdgan", 1), 0.9, ["ema_generator"]),
            (("mdgan", 2), 0.0, ["base", "generator"]),
            (("mdgan", 2), 0.9, ["base", "ema_generator"]),
        ):
            with self.subTest(name=name, stage=stage, ema=ema):
                model = tiny.model(name, stage, ema=ema)
                tiny.shake(model)
                self.assertEqual(list(model.sampling_networks), expected)
                self.assertEqual(list(model.sampling_state()), expected)
                inputs = tf.random.stateless_uniform([2, *model.sampling_inputs[0].shape[1:]], [0, 1], -1.0, 1.0)
                x = mdgan.repeat_frame(inputs, model.num_frames) if model.repeats_frame else inputs
                for network in model.sampling_networks.values():
                    x = network(x)
                self.assertAllClose(x["clip"] if isinstance(x, dict) else x, model(inputs)["clip"], atol=1e-6)

    def test_predict_samples(self):
        model = tiny.model("mdgan", 2)
        frames = tiny.clips("mdgan", 3)[:, 0]
        predicted = model.predict(frames, batch_size=2, verbose=0)
        self.assertAllClose(predicted, model(frames), atol=1e-6)


class LatentsTest(tf.test.TestCase):
    def test_latents_change_from_step_to_step_and_with_the_seed(self):
        model = tiny.model("vgan")

        def draw(step: int) -> tf.Tensor:
            return model.draw_latents(tf.constant(4), 100, tf.constant(step))

        first = draw(0)
        self.assertAllEqual(first, draw(0))
        self.assertNotAllClose(first, draw(1))
        model.seed = 4
        self.assertNotAllClose(first, draw(0))

    def test_each_train_step_meets_the_latents_of_its_number(self):
        model = tiny.model("vgan")
        model.compile()
        met, inputs = [], model.generator_inputs

        def recorded(clips, step, wind):
            met.append(inputs(clips, step, wind))
            return met[-1]

        model.generator_inputs = recorded
        model.train_step(tiny.clips("vgan", 4))
        model.train_step(tiny.clips("vgan", 4) * float("inf"))  # skipped, and its latents with it
        model.step.assign(7)
        model.train_step(tiny.clips("vgan", 4))
        self.assertEqual(int(model.step), 8)
        for latents, step in zip(met, (0, 1, 7), strict=True):
            self.assertAllEqual(latents, model.draw_latents(tf.constant(4), 100, tf.constant(step)))


if __name__ == "__main__":
    tf.test.main()
