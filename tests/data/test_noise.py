"""The textures of built-in clips tile, are standardised, and turn into each other with the same statistics."""

import numpy as np
import tensorflow as tf

from tfvideogan.data.drawing import noise


class TextureTest(tf.test.TestCase):
    NAMES = ("smooth", "rough", "billows", "cells", "wisps")

    def test_mean_deviation_and_independence(self):
        for name in self.NAMES:
            with self.subTest(name):
                a, b = np.moveaxis(noise.texture(name, 0)[0], -1, 0)
                self.assertAllClose([a.mean(), b.mean(), a.std(), b.std()], [0, 0, 1, 1], atol=1e-3)
                self.assertLess(abs((a * b).mean()), 0.3)
                self.assertAllClose((np.cos(0.7) * a + np.sin(0.7) * b).std(), 1, atol=0.2)

    def test_textures_tile(self):
        for name in self.NAMES:
            for field in np.moveaxis(noise.texture(name, 0)[0], -1, 0):
                for turned in (field, field.T):
                    seam, inside = np.abs(turned[0] - turned[-1]).mean(), np.abs(np.diff(turned, axis=0)).mean()
                    self.assertLess(seam, 1.5 * inside, name)

    def test_samples_are_the_texels_and_their_means(self):
        levels = noise.texture("rough", 0)
        x, y = (np.array([[float(cell) + 0.5]]) / noise.CELLS for cell in (37, 401))
        self.assertAllClose(noise.sample(levels, x, y, 1 / noise.CELLS)[0, 0], levels[0][401, 37], atol=1e-4)
        self.assertAllClose(noise.sample(levels, x + 1, y - 1, 1 / noise.CELLS)[0, 0], levels[0][401, 37], atol=1e-3)
        x, y = (np.array([[float(cell) * 4 + 2]]) / noise.CELLS for cell in (9, 100))
        block = levels[0][400:404, 36:40].mean((0, 1))
        self.assertAllClose(noise.sample(levels, x, y, 4 / noise.CELLS)[0, 0], block, atol=1e-4)


if __name__ == "__main__":
    tf.test.main()
