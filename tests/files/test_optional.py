"""What is said of packages, whether they are there or not."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import tfvideogan
from tests.helpers import ROOT
from tfvideogan.files import optional


class OptionalTest(tf.test.TestCase):
    def test_versions_are_those_of_what_is_installed(self):
        expected = {"python": platform.python_version(), "tfvideogan": tfvideogan.__version__, "numpy": np.__version__}
        self.assertEqual(optional.versions(["numpy", "no-package-of-this-name"]), expected)

    def test_pytorch_is_opened_without_triton(self):
        """By a stand-in for both, since Triton beside TensorFlow ends the process."""
        folder = Path(self.create_tempdir().full_path)
        (folder / "torch.py").touch()
        (folder / "triton.py").touch()
        script = "from tfvideogan.files import optional; optional.torch(); import sys; print(sys.modules['triton'])"
        environment = os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"}
        result = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        self.assertEqual(result.stdout, "None\n")


if __name__ == "__main__":
    tf.test.main()
