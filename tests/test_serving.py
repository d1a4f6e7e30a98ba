"""Exported signatures, run through a session as TF Serving runs them, against Keras."""

import numpy as np
import tensorflow as tf
import tiny

from tfvideogan import serving
from tfvideogan.data.clips import to_float, to_uint8
from tfvideogan.models import vgan


def shake(model) -> None:
    """Random batch normalisation statistics: a graph that forgot them would show."""
    random = np.random.default_rng(0)
    for network in {id(n): n for n in (model.generator, getattr(model, "base_generator", model.generator))}.values():
        for variable in network.non_trainable_variables:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))


class SignaturesTest(tf.test.TestCase):
    def exported(self, model) -> str:
        path = self.create_tempdir().full_path + "/1"
        served = serving.ServedModel(model)
        tf.saved_model.save(served, path, signatures=served.signatures())
        return path

    def run_in_session(self, path: str, signature: str, **inputs) -> dict[str, np.ndarray]:
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], path)
            described = loaded.signature_def[signature]
            feeds = {described.inputs[name].name: value for name, value in inputs.items()}
            return session.run({name: info.name for name, info in described.outputs.items()}, feeds)

    def test_generators_from_noise(self):
        for name in ("vgan", "vgan_one_stream"):
            model = tiny.model(name)
            shake(model)
            path = self.exported(model)
            for batch in (1, 3):
                latents = vgan.latents(5, batch)
                video = self.run_in_session(path, "generate_from_latents", latents=latents.numpy())["video"]
                self.assertAllClose(video, model(latents)["clip"], atol=1e-5)
            seeds = np.array([4, 9, 4])
            for signature in ("generate", "serving_default"):
                frames = self.run_in_session(path, signature, seed=seeds)["frames"]
                self.assertEqual((frames.dtype, frames.shape), (np.uint8, (3, 4, 16, 16, 3)))
                self.assertAllEqual(frames[0], frames[2])
                expected = to_uint8(model(vgan.latents(9, 1))["clip"][0]).astype(int)
                self.assertAllClose(frames[1], expected, atol=1)
        streams = self.run_in_session(self.exported(tiny.model("vgan")), "streams", latents=latents.numpy())
        self.assertEqual(set(streams), {"clip", "foreground", "mask", "background"})

    def test_predictors(self):
        for name, stage in (("vgan_conditional", 1), ("mdgan", 1), ("mdgan", 2)):
            model = tiny.model(name, stage)
            shake(model)
            path = self.exported(model)
            for batch in (1, 3):
                size = tiny.frame_size(name)
                frame = np.random.default_rng(batch).integers(0, 256, [batch, size, size, 3], np.uint8)
                frames = self.run_in_session(path, "predict", frame=frame)["frames"]
                expected = to_uint8(model(to_float(frame))["clip"]).astype(int)
                self.assertAllClose(frames, expected, atol=1, msg=f"{name} stage {stage}")


if __name__ == "__main__":
    tf.test.main()
