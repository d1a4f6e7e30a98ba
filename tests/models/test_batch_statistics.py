"""Batch normalisation's statistics, estimated over batches."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models import blocks


class BatchStatisticsTest(tf.test.TestCase):
    def test_statistics_are_the_mean_over_the_batches(self):
        for ema in (0.0, 0.9):
            with self.subTest(ema=ema):
                model = tiny.model("mdgan", ema=ema)
                batches = [tiny.clips("mdgan", 4, seed) for seed in range(3)]
                model.estimate_batch_statistics(batches)
                first = blocks.batch_norms(model.sampling_generator)[0]  # behind conv1 and conv2
                probe = keras.Model(model.sampling_generator.input, first.input)
                means, variances = [], []
                for clips in batches:
                    repeated = np.repeat(clips[:, :1].numpy(), tiny.FRAMES, axis=1)
                    x = probe(repeated).numpy().astype(np.float64)
                    means.append(x.mean(axis=(0, 1, 2, 3)))
                    variances.append(x.var(axis=(0, 1, 2, 3)))
                self.assertAllClose(first.moving_mean, np.mean(means, axis=0), atol=1e-5)
                self.assertAllClose(first.moving_variance, np.mean(variances, axis=0), atol=1e-5)
                self.assertEqual(first.momentum, 0.9)

    def test_each_batch_meets_latents_of_its_own(self):
        model = tiny.model("vgan")
        clips = tiny.clips("vgan", 4)
        model.estimate_batch_statistics([clips, clips])
        layer = model.generator.get_layer("f_conv1")  # before the first batch normalisation of its stream
        norm = next(n for n in blocks.batch_norms(model.generator) if n.input is layer.output)
        probe = keras.Model(model.generator.input, layer.output)
        latents = [model.draw_latents(tf.constant(4), 100, tf.constant(step)) for step in range(2)]
        means = [probe(z).numpy().astype(np.float64).mean(axis=(0, 1, 2, 3)) for z in latents]
        self.assertAllClose(norm.moving_mean, np.mean(means, axis=0), atol=1e-5)

    def test_no_batches_are_refused_and_change_nothing(self):
        model = tiny.model("vgan")
        before = model.generator.get_weights()
        with self.assertRaisesRegex(ValueError, "no batches"):
            model.estimate_batch_statistics([])
        for a, b in zip(before, model.generator.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_statistics_that_are_not_finite_are_told_and_change_nothing(self):
        model = tiny.model("mdgan")
        before = model.generator.get_weights()
        clips = tiny.clips("mdgan", 4)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            model.estimate_batch_statistics([clips, clips * float("nan")])
        self.assertIn("batch statistics are not finite over 2 batches: they stay as they were", logs.output[0])
        for a, b in zip(before, model.generator.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_an_exception_leaves_momenta_and_statistics_as_they_were(self):
        clips = tiny.clips("vgan_conditional", 4)

        def failing_source():
            yield clips
            raise OSError("the disk is gone")

        model, reference = tiny.model("vgan_conditional"), tiny.model("vgan_conditional")
        before = model.generator.get_weights()
        for batches, error in (
            (failing_source(), OSError),
            ([clips, clips[:, :, :8]], (ValueError, tf.errors.OpError)),  # of another size
        ):
            with self.assertRaises(error):
                model.estimate_batch_statistics(batches)
            for a, b in zip(before, model.generator.get_weights(), strict=True):
                self.assertAllEqual(a, b)
            self.assertEqual({layer.momentum for layer in blocks.batch_norms(model.generator)}, {0.9})
        for either in (model, reference):
            either.estimate_batch_statistics([clips])
        self.assertAllEqual(tiny.weights(model), tiny.weights(reference))

    def test_the_frozen_base_nets_statistics_stay(self):
        model = tiny.model("mdgan", 2, ema=0.9)
        before = model.base_generator.get_weights()
        model.estimate_batch_statistics([tiny.clips("mdgan", 4)])
        for a, b in zip(before, model.base_generator.get_weights(), strict=True):
            self.assertAllEqual(a, b)

    def test_calling_in_training_mode_takes_batch_statistics_in_both_stages(self):
        model = tiny.model("mdgan", 2, ema=0.9)
        frames = tiny.clips("mdgan", 3)[:, 0]
        inference, batch = model(frames), model(frames, training=True)
        for name in ("base", "clip"):
            self.assertGreater(np.abs(inference[name] - batch[name]).max(), 1e-3, name)


if __name__ == "__main__":
    tf.test.main()
