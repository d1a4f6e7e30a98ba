"""The Frechet distance by hand, in closed form and against SciPy, and what the names of distances say."""

import numpy as np
import scipy.linalg
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.metrics import fvd
from tfvideogan.metrics.fvd import Distance


class FrechetTest(tf.test.TestCase):
    def test_closed_form_of_one_dimension(self):
        """(m_a - m_b)^2 + (s_a - s_b)^2 of standard deviations; samples of -1, 1 and of 0, 6 deviate by 2^.5, 18^.5."""
        self.assertAllClose(fvd.frechet_distance([[-1.0], [1.0]], [[0.0], [6.0]]), 9 + (18**0.5 - 2**0.5) ** 2)

    def test_closed_form_of_covariances_that_commute(self):
        turn = np.array([[0.6, -0.8], [0.8, 0.6]])
        a, b = (turn @ np.diag(values) @ turn.T for values in ([4.0, 9.0], [1.0, 0.0]))
        found = fvd.of_gaussians(np.array([1.0, 2.0]), a, np.array([1.0, 5.0]), b)
        self.assertAllClose(found, 9 + (2 - 1) ** 2 + (3 - 0) ** 2)  # b is singular.

    def test_equal_to_scipys_root(self):
        random = np.random.default_rng(0)
        a = random.normal(size=[60, 12]) @ random.normal(size=[12, 12])
        b = random.normal(size=[50, 12]) + 0.3
        cov_a, cov_b = np.cov(a.T), np.cov(b.T)
        root = scipy.linalg.sqrtm(cov_a @ cov_b).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
        self.assertAllClose(fvd.frechet_distance(a, b), expected, rtol=1e-9)

    def test_a_set_is_at_no_distance_from_itself_also_where_it_is_singular(self):
        few = np.random.default_rng(1).normal(size=[5, 40]).astype(np.float32)
        self.assertAllClose(fvd.frechet_distance(few, few), 0.0, atol=1e-5)
        self.assertAllClose(fvd.frechet_distance(few + 1, few), 40.0, rtol=1e-4)


class DistanceTest(tf.test.TestCase):
    def test_the_name_is_the_protocol(self):
        self.assertEqual(Distance.parse("fvd2048_16f"), Distance("fvd", 2048, 16))
        self.assertEqual(Distance.parse("kvd10_128f").name, "kvd10_128f")
        for other in ("psnr", "fvd", "fvd2048", "fvd2048_16", "FVD2048_16f", "fvd-1_16f", "fvd2048_16f "):
            self.assertIsNone(Distance.parse(other), other)

    def test_what_is_not_defined_is_refused(self):
        for name in ("fvd2048_9f", "kvd2048_0f"):
            with self.assertRaisesRegex(UsageError, f"10 frames or more. Received: {name}"):
                Distance.parse(name)
        for name in ("fvd1_16f", "kvd0_16f"):
            with self.assertRaisesRegex(UsageError, f"2 clips or more. Received: {name}"):
                Distance.parse(name)

    def test_what_is_defined_but_another_number_is_warned_of(self):
        self.assertEmpty(Distance("fvd", 2048, 16).warnings())
        self.assertLen(Distance("fvd", 401, 16).warnings(), 1)
        few, singular = Distance("fvd", 400, 16).warnings()
        self.assertIn("2048", few)
        self.assertIn("singular", singular)
        self.assertLen(Distance("kvd", 2, 16).warnings(), 1)


if __name__ == "__main__":
    tf.test.main()
