"""What is said of packages, whether they are there or not."""

import platform

import numpy as np
import tensorflow as tf

import tfvideogan
from tfvideogan.files import optional


class OptionalTest(tf.test.TestCase):
    def test_versions_are_those_of_what_is_installed(self):
        expected = {"python": platform.python_version(), "tfvideogan": tfvideogan.__version__, "numpy": np.__version__}
        self.assertEqual(optional.versions(["numpy", "no-package-of-this-name"]), expected)


if __name__ == "__main__":
    tf.test.main()
