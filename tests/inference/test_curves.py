"""Curves: their axes have round numbers, and what is drawn stands where it belongs."""

import numpy as np
import tensorflow as tf

from tfvideogan.inference import curves

RED = (200, 60, 40)


class CurvesTest(tf.test.TestCase):
    def test_ticks_are_round_and_enclose_the_values(self):
        for values, expected in (
            ((22.48, 27.8), (22, 24, 26, 28)),
            ((0.0, 1.182), (0, 0.5, 1, 1.5)),
            ((100, 300), (100, 150, 200, 250, 300)),
            ((-0.3, 0.1), (-0.3, -0.2, -0.1, 0, 0.1)),
            ((7.0,), (6, 8)),
            ((0.0,), (0, 0.5)),
        ):
            with self.subTest(values):
                self.assertAllClose(curves._ticks(values), expected)

    def test_a_rising_curve_rises_and_a_value_that_is_none_is_left_out(self):
        nan = float("nan")
        picture = curves.picture({"a": {"held out": [(0, 1.0), (5, nan), (10, 3.0)], "none": [(0, nan)]}, "b": {}})
        self.assertEqual((picture.shape, picture.dtype), ((220, 960, 3), np.uint8))
        rows, columns = np.nonzero((picture[30:186, 64:464] == RED).all(axis=-1))
        left, right = (rows[columns == edge()].mean() for edge in (columns.min, columns.max))
        self.assertAllClose((left, right), (156, 0), atol=4)  # from the lowest line to the highest
        self.assertAllEqual(picture[30:, 480:], np.full_like(picture[30:, 480:], 255))


if __name__ == "__main__":
    tf.test.main()
