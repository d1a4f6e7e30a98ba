"""The latents of seeds in NumPy are those of TensorFlow, which nobody needs for them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import ROOT, converted, tiny
from tfvideogan.data.clips import to_uint8
from tfvideogan.inference import latents
from tfvideogan.models import vgan

GENERATE = """
import sys, time
for name in ("tensorflow", "keras", "absl", "av", "tqdm", "skimage", "tensorboard"):
    sys.modules[name] = None  # An import of it fails.
start = time.process_time()
from tfvideogan import load_exported
load = load_exported
print(time.process_time() - start)
import numpy as np
np.save(sys.argv[2], load(sys.argv[1]).generate(seed=[7, -5]))
"""


class LatentsTest(tf.test.TestCase):
    def test_they_are_those_of_tensorflow(self):
        edges = [0, 1, 7, -1, -5, 123456789012, 2**31, 2**32, -(2**32), 2**63 - 1, -(2**63)]
        drawn = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 40).tolist()
        for seed in edges + drawn:
            expected = tf.random.stateless_normal([vgan.LATENT_DIM], tf.constant([seed, 0], tf.int64))
            self.assertAllClose(latents.normal(seed, vgan.LATENT_DIM), expected, rtol=0, atol=2e-6)

    def test_a_count_that_four_does_not_divide(self):
        for count in (1, 2, 3, 5, 102):
            expected = tf.random.stateless_normal([count], [3, 0])
            self.assertAllClose(latents.normal(3, count), expected, rtol=0, atol=2e-6)
            self.assertDTypeEqual(latents.normal(3, count), np.float32)

    def test_a_file_generates_without_what_training_needs(self):
        folder = Path(self.create_tempdir().full_path)
        model = tiny.shaken("vgan")
        (folder / "vgan.tflite").write_bytes(converted.tflite("vgan"))
        command = [sys.executable, "-c", GENERATE, folder / "vgan.tflite", folder / "clips.npy"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(float(done.stdout), 1.0)
        rows = np.concatenate([vgan.latents(seed, 1) for seed in (7, -5)])
        expected = to_uint8(model(rows)["clip"].numpy()).astype(int)
        self.assertAllClose(np.load(folder / "clips.npy").astype(int), expected, atol=1)


if __name__ == "__main__":
    tf.test.main()
