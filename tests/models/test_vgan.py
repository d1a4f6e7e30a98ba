"""Video-GAN's own objective: which losses each variant has, and what they are on known logits."""

import math

import keras
import tensorflow as tf

from tests.helpers import tiny
from tests.models import steps
from tfvideogan.models import vgan


class ObjectiveTest(tf.test.TestCase):
    def test_each_variant_has_the_papers_terms(self):
        expected = {
            "vgan": ("d_real", "d_fake", "g_adversarial", "g_mask_prior"),
            "vgan_one_stream": ("d_real", "d_fake", "g_adversarial"),
            "vgan_conditional": ("d_real", "d_fake", "g_adversarial", "g_first_frame"),
        }
        for name, names in expected.items():
            model = tiny.model(name)
            clips = tiny.clips(name, 3)
            inputs = clips[:, 0] if model.predicts else vgan.latents(0, 3)
            generated = model.generate(inputs, model.generator, training=True)
            losses = model.discriminator_losses(clips, generated) | model.generator_losses(clips, generated)
            self.assertEqual(tuple(losses), names)
            self.assertEqual(model.loss_names, names)

    def test_an_undecided_discriminator_costs_log_two(self):
        model = tiny.model("vgan")
        last = model.discriminator.get_layer("logits_conv")
        last.kernel.assign(tf.zeros_like(last.kernel))
        clips = tiny.clips("vgan", 3)
        generated = {"clip": clips, "mask": tf.fill([3, 4, 16, 16, 1], 0.25)}
        d_losses = model.discriminator_losses(clips, generated)
        g_losses = model.generator_losses(clips, generated)
        self.assertAllClose(d_losses, {"d_real": math.log(2), "d_fake": math.log(2)}, atol=1e-6)
        self.assertAllClose(g_losses, {"g_adversarial": math.log(2), "g_mask_prior": 0.1 * 0.25}, atol=1e-6)

    def test_the_first_frame_loss_looks_at_the_first_frame_only(self):
        model = tiny.model("vgan_conditional")
        clips = tiny.clips("vgan_conditional", 2)
        later_differs = tf.concat([clips[:, :1], -clips[:, 1:]], axis=1)
        losses = model.generator_losses(clips, {"clip": later_differs})
        self.assertEqual(float(losses["g_first_frame"]), 0.0)
        off_by_a_tenth = tf.concat([clips[:, :1] + 0.1, clips[:, 1:]], axis=1)
        losses = model.generator_losses(clips, {"clip": off_by_a_tenth})
        self.assertAllClose(losses["g_first_frame"], 10 * 0.1, atol=1e-5)

    def test_real_and_fake_have_batch_statistics_of_their_own(self):
        model = tiny.model("vgan")
        clips = tiny.clips("vgan", 4)
        separate = model.discriminator_losses(clips, {"clip": clips * 0.2})["d_real"]
        unchanged = model.discriminator_losses(clips, {"clip": clips * 0.9})["d_real"]
        self.assertAllEqual(separate, unchanged)

    def test_calling_the_model_samples_with_inference_statistics(self):
        model = tiny.model("vgan")
        latents = vgan.latents(1, 3)
        self.assertAllClose(model(latents)["clip"][:1], model(latents[:1])["clip"], atol=1e-6)
        self.assertAllClose(model(latents)["clip"], model.generator(latents, training=False)["clip"])


class Plain(vgan.VGAN):
    """Video-GAN whose generator is called as it is, each head by itself."""

    def generate(self, inputs, generator, training):
        return generator(inputs, training=training)


class JoinedHeadsTest(tf.test.TestCase):
    def test_a_step_leaves_the_weights_of_separate_heads(self):
        for name in ("vgan", "vgan_conditional"):
            with self.subTest(name):
                joined = tiny.shaken(name)
                heads = {head: joined.generator.get_layer(head).get_weights() for head in ("f_head", "m_head")}
                separate = Plain.from_config(joined.get_config())
                for part in ("generator", "discriminator"):
                    getattr(separate, part).set_weights(getattr(joined, part).get_weights())
                for model in (joined, separate):
                    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
                    steps.train(model, name, steps=1)
                self.assertAllClose(tiny.weights(joined), tiny.weights(separate), rtol=0, atol=1e-5)
                for head in ("f_head", "m_head"):
                    for now, then in zip(joined.generator.get_layer(head).get_weights(), heads[head], strict=True):
                        self.assertNotAllClose(now, then, atol=1e-4)


class LatentsTest(tf.test.TestCase):
    def test_a_row_depends_on_seed_and_number_only(self):
        self.assertAllEqual(vgan.latents(5, 3), vgan.latents(5, 8)[:3])
        self.assertNotAllClose(vgan.latents(5, 1), vgan.latents(6, 1))

    def test_latents_are_standard_normal(self):
        values = vgan.latents(0, 100).numpy()
        self.assertAllClose([values.mean(), values.std()], [0.0, 1.0], atol=0.05)


if __name__ == "__main__":
    tf.test.main()
