"""Samples of a trained model: what a clip depends on, and what it does not."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.inference import latents, sampling
from tfvideogan.models import vgan


class SamplingTest(tf.test.TestCase):
    def test_a_clip_depends_on_the_seed_and_its_number_only(self):
        model = tiny.shaken("vgan")
        parts = list(sampling.generate(model, num_clips=11, seed=5))
        self.assertEqual([len(part["clip"]) for part in parts], [8, 3])
        expected = model(vgan.latents(5, 11))
        self.assertEqual(set(parts[0]), {"clip", "foreground", "mask", "background"})
        for name, value in expected.items():
            self.assertAllClose(np.concatenate([part[name] for part in parts]), value)
        (few,) = sampling.generate(model, num_clips=2, seed=5)
        self.assertAllClose(few["clip"], expected["clip"][:2])
        self.assertNotAllClose(next(sampling.generate(model, num_clips=2, seed=6))["clip"], few["clip"])

    def test_a_walk_passes_each_latent_on_great_circles_and_its_time_runs_to_and_fro(self):
        model = tiny.shaken("vgan")
        frames = np.stack(list(sampling.walk(model, num_clips=3, seed=5, steps=4)))
        self.assertLen(frames, 12)
        clips = model(vgan.latents(5, 3))["clip"].numpy()
        for number, time in ((0, 0), (1, 2), (2, 2)):  # frames 0, 4 and 8 of times 0 1 2 3 2 1 0 1 2 3 2 1
            self.assertAllClose(frames[4 * number], clips[number, time], atol=1e-5)
        # Worked by hand: between perpendicular latents of lengths 2 and 2, thirds of the way are 30 degrees apart.
        start, end = np.float32([2, 0]), np.float32([0, 2])
        expected = [[2, 0], [2 * np.cos(np.pi / 6), 1], [1, 2 * np.cos(np.pi / 6)]]
        self.assertAllClose(latents.great_circle(start, end, np.arange(3) / 3), expected)

    def test_batch_statistics_alone_make_a_clip_depend_on_its_neighbours(self):
        model = tiny.shaken("vgan_conditional")
        frames = tiny.clips("vgan_conditional", 3)[:, 0]
        for batch_statistics in (False, True):
            with self.subTest(batch_statistics=batch_statistics):
                together, alone = sampling.sample(model, [frames, frames[:1]], batch_statistics)
                self.assertAllClose(together["clip"], model(frames, training=batch_statistics)["clip"])
                differs = np.abs(together["clip"][:1] - alone["clip"]).max() > 1e-3
                self.assertEqual(differs, batch_statistics)

    def test_xla_compiles_what_is_sampled_and_estimated_beside_a_training_with_it(self):
        latents, clips, models = vgan.latents(0, 2), tiny.clips("vgan", 4), {}
        for xla in (False, True):
            models[xla] = model = tiny.model("vgan")
            model.compile(xla=xla)
            model.estimate_batch_statistics([clips])
        self.assertAllClose(tiny.weights(models[True]), tiny.weights(models[False]), atol=1e-5)
        forward = sampling.forward_pass(models[True])
        self.assertAllClose(forward(latents)["clip"], models[False](latents)["clip"], atol=1e-5)
        for xla, model in models.items():
            self.assertEqual(sampling.forward_pass(model)._jit_compile, xla)
            estimation = model._pass_through.get_concrete_function(clips, tf.constant(0)).graph.as_graph_def()
            self.assertEqual([f.attr["_XlaMustCompile"].b for f in estimation.library.function].count(True), int(xla))


if __name__ == "__main__":
    tf.test.main()
