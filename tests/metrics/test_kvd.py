"""The unbiased squared MMD by hand, against a plain double loop, and that it is unbiased."""

import numpy as np
import tensorflow as tf

from tfvideogan.metrics import kvd


class KvdTest(tf.test.TestCase):
    def test_by_hand(self):
        """x is 0 and 1, y is 0 and 2: pairs k(0, 1) = k(0, 2) = 1; the mean of 1, 1, 1 and 27 is 7.5."""
        self.assertAllClose(kvd.kernel_distance([[0.0], [1.0]], [[0.0], [2.0]]), 1 + 1 - 2 * 7.5)

    def test_equal_to_a_double_loop(self):
        random = np.random.default_rng(0)
        x, y = random.normal(size=[7, 5]), random.normal(1, 1, size=[9, 5])

        def kernel(a: np.ndarray, b: np.ndarray) -> float:
            return (sum(p * q for p, q in zip(a, b, strict=True)) / 5 + 1) ** 3

        def within(a: np.ndarray) -> float:
            return np.mean([kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j])

        across = np.mean([kernel(p, q) for p in x for q in y])
        self.assertAllClose(kvd.kernel_distance(x, y), within(x) + within(y) - 2 * across, rtol=1e-12)

    def test_sets_of_one_distribution_are_at_no_distance_in_the_mean(self):
        random = np.random.default_rng(1)
        found = [kvd.kernel_distance(*random.normal(size=[2, 6, 4])) for _ in range(2000)]
        self.assertLess(abs(np.mean(found)), 4 * np.std(found) / 2000**0.5)
        self.assertLess(np.min(found), 0.0)


if __name__ == "__main__":
    tf.test.main()
