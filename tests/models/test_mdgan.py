"""MD-GAN's own objective: the two stages, three branches with shared weights, who maximises what."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan import losses
from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.models import blocks, mdgan, registry
from tfvideogan.models.drift import drifting_clip


class NetworksTest(tf.test.TestCase):
    def test_the_refine_net_lacks_the_two_finest_skips(self):
        additions = {
            name: sum(isinstance(layer, keras.layers.Add) for layer in tiny.network(name).layers)
            for name in ("mdgan_base", "mdgan_refine")
        }
        self.assertEqual(additions, {"mdgan_base": 3, "mdgan_refine": 1})  # 32 pixels: three levels

    def test_full_size_has_five_and_three_skips(self):
        for build, expected in ((mdgan.base_generator, 5), (mdgan.refine_generator, 3)):
            self.assertEqual(sum(isinstance(layer, keras.layers.Add) for layer in build(1).layers), expected)

    def test_the_discriminators_last_slope_is_a_hundredth(self):
        slopes = [layer.negative_slope for layer in mdgan.discriminator(1).layers if hasattr(layer, "negative_slope")]
        self.assertAllClose(slopes, [0.2, 0.2, 0.2, 0.2, 0.01])

    def test_no_convolution_has_a_bias(self):
        for name in ("mdgan_base", "mdgan_refine", "mdgan_discriminator"):
            biased = [layer.name for layer in tiny.network(name).layers if getattr(layer, "use_bias", False)]
            self.assertEmpty(biased)

    def test_the_base_net_sees_the_first_frame_repeated(self):
        frame = tf.random.stateless_uniform([2, 8, 8, 3], [1, 1])
        clip = mdgan.repeat_frame(frame, 5)
        self.assertEqual(clip.shape, (2, 5, 8, 8, 3))
        for t in range(5):
            self.assertAllEqual(clip[:, t], frame)


class ResidualTest(tf.test.TestCase):
    """`blocks.Residual`, and the networks that end in it."""

    def test_it_adds_before_the_tanh(self):
        random = np.random.default_rng(0)
        clip, change = random.uniform(-1, 1, [2, 3, 4, 4, 3]), random.normal(0, 3, [2, 3, 4, 4, 3])
        clip[0, 0, 0, 0] = 1.0, -1.0, 0.0
        limited = np.clip(clip, -1 + 2**-8, 1 - 2**-8)
        expected = np.tanh(np.arctanh(limited) + change)
        made = blocks.Residual()(tf.constant(clip), tf.constant(change))
        self.assertAllClose(made, expected, atol=2e-5, rtol=0)

    def test_at_zero_it_copies_every_level_and_can_still_change_it(self):
        levels = np.arange(256, dtype=np.uint8)
        change = tf.zeros([256])
        with tf.GradientTape() as tape:
            tape.watch(change)
            copy = blocks.Residual()(to_float(levels), change)
        self.assertAllEqual(to_uint8(copy.numpy()), levels)
        self.assertAllGreater(tape.gradient(copy, change), 2**-8)

    def test_the_largest_changes_stay_in_range(self):
        made = blocks.Residual()(tf.constant([1.0, -1.0, 1.0, -1.0]), tf.constant([1e4, 1e4, -1e4, -1e4]))
        self.assertAllClose(made, [1.0, 1.0, -1.0, -1.0], atol=1e-6)

    def test_training_begins_with_copying(self):
        frames = tiny.clips("mdgan", 2)[:, 0]
        for stage in (1, 2):
            keras.utils.set_random_seed(7)
            model = registry.build_model(tiny.config("mdgan", residual=True).model, stage)
            for clip in model(frames).values():
                self.assertAllClose(clip, mdgan.repeat_frame(frames, tiny.FRAMES), atol=2**-8 + 1e-6, rtol=0)
            model.compile()
            before = tiny.weights(model)
            model.train_step(tiny.clips("mdgan", 2))
            self.assertNotAllEqual(tiny.weights(model), before)
            self.assertGreater(np.abs(model.generator.layers[-2].kernel).max(), 0.0)

    def test_it_is_float32_under_mixed_precision(self):
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        self.addCleanup(keras.mixed_precision.set_global_policy, "float32")
        model = tiny.changing()
        frames = to_float(np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), [1, 2, 2, 3]))
        model.generator.layers[-2].kernel.assign(tf.zeros_like(model.generator.layers[-2].kernel))
        copy = model(frames)["clip"]
        self.assertEqual(copy.dtype, tf.float32)
        self.assertAllEqual(to_uint8(copy[:, 1].numpy()), to_uint8(frames))  # bfloat16 has no more than 8 bits

    def test_a_file_holds_it(self):
        model, path = tiny.changing(2), self.create_tempdir().full_path + "/model.keras"
        model.save(path)
        frames = tiny.clips("mdgan", 1)[:, 0]
        self.assertAllEqual(keras.saving.load_model(path)(frames)["clip"], model(frames)["clip"])


class DriftTest(tf.test.TestCase):
    """Models that take wind."""

    def wind(self, count: int) -> tf.Tensor:
        return tf.random.stateless_uniform([count, 2], [1, 1], -0.1, 0.1)

    def model(self, stage: int = 1, **options):
        keras.utils.set_random_seed(7)
        return registry.build_model(tiny.config("mdgan", **options).model, stage)

    def test_training_begins_with_the_mask_near_the_drifting_frame(self):
        frames, wind = tiny.clips("mdgan", 2)[:, 0], self.wind(2)
        drifting, still = drifting_clip(frames, wind, tiny.FRAMES), mdgan.repeat_frame(frames, tiny.FRAMES)
        mask = 1 / (1 + np.exp(-3.0))
        for drift, expected in (("on", drifting), ("fused", mask * drifting + (1 - mask) * still)):
            clip = self.model(residual=True, drift=drift)((frames, wind))["clip"]
            self.assertAllClose(clip, expected, atol=2**-8 + 1e-6, rtol=0)

    def test_frames_without_a_wind_are_refused(self):
        with self.assertRaisesRegex(ValueError, r"takes a pair: frames \[N, H, W, 3\] and winds \[N, 2\]. .*32, 3"):
            self.model(drift="on").input_clip(tiny.clips("mdgan", 2)[:, 0])

    def test_the_mask_fuses_as_equation_2(self):
        model = tiny.changing(drift="fused")
        network, clip = model.base_generator, tiny.clips("mdgan", 2)
        inner = keras.Model(network.input, {
            "mask": network.get_layer("mask").output, "change": network.layers[-1].input[1],
        })  # fmt: skip
        found = {name: value.numpy().astype(np.float64) for name, value in inner(clip).items()}
        self.assertEqual(found["mask"].shape, (2, tiny.FRAMES, 32, 32, 1))
        self.assertGreater(found["mask"].std(), 1e-4)
        start = found["mask"] * clip + (1 - found["mask"]) * clip[:, :1]
        expected = np.tanh(np.arctanh(np.clip(start, -1 + 2**-8, 1 - 2**-8)) + found["change"])
        self.assertAllClose(network(clip), expected, atol=2e-5, rtol=0)

    def test_the_network_sees_the_still_frame_beside_the_drifting_one(self):
        clip = tiny.clips("mdgan", 1)
        for options in ({"drift": "on"}, {"drift": "on", "residual": True}):
            network = self.model(**options).base_generator
            seen = keras.Model(network.input, network.get_layer("down_conv1").input)(clip)
            self.assertAllEqual(seen, tf.concat([clip, mdgan.repeat_frame(clip[:, 0], tiny.FRAMES)], -1))

    def test_a_mask_without_a_residual_is_refused(self):
        with self.assertRaisesRegex(ValueError, "--residual must be set for --drift=fused"):
            mdgan.base_generator(1, 32, 4, drift="fused")

    def test_the_refine_net_gets_y1(self):
        model, frames, wind = self.model(2, drift="on"), tiny.clips("mdgan", 2)[:, 0], self.wind(2)
        outputs = model((frames, wind))
        self.assertAllClose(outputs["base"], model.base_generator(drifting_clip(frames, wind, 4)), atol=1e-5)
        self.assertAllClose(outputs["clip"], model.generator(outputs["base"]), atol=1e-5)

    def test_it_trains_and_evaluates_on_clips_with_their_wind(self):
        model = self.model(residual=True, drift="fused", init_stddev=0.02)
        model.compile()
        clips, wind = tiny.clips("mdgan", 6), self.wind(6)
        before = model.evaluate((clips, wind), batch_size=4, verbose=0, return_dict=True)
        expected = np.mean(np.abs(model((clips[:, 0], wind))["clip"] - clips))
        self.assertAllClose(before["g_content"], expected, rtol=1e-4)
        pairs = tf.data.Dataset.from_tensor_slices((clips, wind)).batch(3)
        history = model.fit(pairs, validation_data=pairs, verbose=0).history
        self.assertAllEqual(np.isfinite([history["g_loss"], history["val_g_loss"]]), [[True]] * 2)
        mask = model.generator.get_layer("mask_conv")
        self.assertGreater(np.abs(mask.kernel).max(), 0.0)
        model.estimate_batch_statistics(pairs)

    def test_clips_without_their_wind_are_refused(self):
        model = self.model(drift="on")
        model.compile()
        clips = tiny.clips("mdgan", 2)
        for wrong in (clips, (clips, tf.zeros([2, 3])), (clips, tf.zeros([2, 2], tf.int32)), (clips, clips)):
            for data in (wrong, tf.data.Dataset.from_tensors(wrong)):
                with self.assertRaisesRegex(ValueError, "takes clips with their wind"):
                    model.fit(data, verbose=0)
        with self.assertRaisesRegex(ValueError, "without targets"):
            self.compiled_without_wind().fit(clips, tf.zeros([2, 2]), verbose=0)

    def compiled_without_wind(self):
        model = self.model()
        model.compile()
        return model

    def test_a_file_holds_it(self):
        model, path = tiny.changing(2, drift="fused"), self.create_tempdir().full_path + "/model.keras"
        model.save(path)
        inputs = tiny.clips("mdgan", 1)[:, 0], self.wind(1)
        loaded = keras.saving.load_model(path)
        self.assertTrue(loaded.takes_wind)
        self.assertAllEqual(loaded(inputs)["clip"], model(inputs)["clip"])


class ObjectiveTest(tf.test.TestCase):
    def test_stage_1_is_adversarial_and_content(self):
        model = tiny.model("mdgan", 1)
        clips = tiny.clips("mdgan", 2)
        generated = model.generate(clips[:, 0], model.generator, training=True)
        self.assertEqual(set(generated), {"clip"})
        terms = model.generator_losses(clips, generated)
        self.assertEqual(set(terms), {"g_adversarial", "g_content"})
        self.assertAllClose(terms["g_content"], np.mean(np.abs(generated["clip"] - clips)), atol=1e-6)

    def test_stage_2_ranks_three_branches_of_one_discriminator(self):
        model = tiny.model("mdgan", 2)
        clips = tiny.clips("mdgan", 2)
        generated = model.generate(clips[:, 0], model.generator, training=True)
        branches = [model.discriminator(c, training=True) for c in (generated["clip"], clips, generated["base"])]
        expected = losses.ranking_loss(*[[b["conv1"], b["conv3"]] for b in branches])
        self.assertAllClose(model.generator_losses(clips, generated)["g_ranking"], expected, rtol=1e-5)
        self.assertAllClose(model.discriminator_losses(clips, generated)["d_ranking"], -expected, rtol=1e-5)

    def test_the_discriminator_raises_what_the_refine_net_lowers(self):
        clips = tiny.clips("mdgan", 4)
        for player, direction in (("discriminator", 1), ("generator", -1)):
            model = tiny.model("mdgan", 2)
            variables = getattr(model, player).trainable_variables
            before = self._ranking(model, clips)
            with tf.GradientTape() as tape:
                generated = model.generate(clips[:, 0], model.generator, training=True)
                term = (
                    model.discriminator_losses(clips, generated)["d_ranking"]
                    if player == "discriminator"
                    else model.generator_losses(clips, generated)["g_ranking"]
                )
            gradients = tape.gradient(term, [v.value for v in variables], unconnected_gradients="zero")
            scale = 1e-3 / float(tf.linalg.global_norm(gradients))
            for v, g in zip(variables, gradients, strict=True):
                v.assign_sub(scale * g)
            self.assertGreater(direction * (self._ranking(model, clips) - before), 0.0, player)

    @staticmethod
    def _ranking(model, clips) -> float:
        generated = model.generate(clips[:, 0], model.generator, training=True)
        return float(model.generator_losses(clips, generated)["g_ranking"])

    def test_weights_scale_their_terms(self):
        clips = tiny.clips("mdgan", 2)
        plain, weighted = tiny.model("mdgan", 2), tiny.model("mdgan", 2)
        weighted.adversarial_weight, weighted.ranking_weight = 0.5, 3.0
        terms = [
            m.generator_losses(clips, m.generate(clips[:, 0], m.generator, training=True)) for m in (plain, weighted)
        ]
        ratios = {name: float(terms[1][name] / terms[0][name]) for name in terms[0]}
        self.assertAllClose(ratios, {"g_adversarial": 0.5, "g_content": 1.0, "g_ranking": 3.0}, rtol=1e-5)

    def test_an_ablation_takes_a_term_or_the_choice_of_skips_away(self):
        clips = tiny.clips("mdgan", 2)
        for weight, term in (("adversarial_weight", "g_adversarial"), ("ranking_weight", "g_ranking")):
            model = registry.build_model(tiny.config("mdgan", **{weight: 0.0}).model, 2)
            terms = model.generator_losses(clips, model.generate(clips[:, 0], model.generator, training=True))
            self.assertEqual([name for name, value in terms.items() if float(value) == 0.0], [term])
        config = tiny.config("mdgan", refine_skips="all")
        additions = [layer for layer in registry.build_model(config.model, 2).generator.layers if "add" in layer.name]
        self.assertLen(additions, 3)

    def test_the_frozen_base_net_takes_inference_statistics_in_stage_2(self):
        model = tiny.model("mdgan", 2)
        frames = tiny.clips("mdgan", 3)[:, 0]
        expected = model.base_generator(mdgan.repeat_frame(frames, tiny.FRAMES), training=False)
        self.assertAllClose(model.generate(frames, model.generator, training=True)["base"], expected, atol=1e-6)

    def test_predicting_gives_both_stages(self):
        frames = tiny.clips("mdgan", 2)[:, 0]
        self.assertEqual(set(tiny.model("mdgan", 1)(frames)), {"clip"})
        self.assertEqual(set(tiny.model("mdgan", 2)(frames)), {"clip", "base"})


if __name__ == "__main__":
    tf.test.main()
