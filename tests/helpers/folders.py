"""Folders for tests, which are gone afterwards."""

import shutil
import tempfile
import unittest
from pathlib import Path


def of_class(cls: type[unittest.TestCase], prefix: str = "tfvideogan-") -> Path:
    """A folder that all tests of a class share, made in its `setUpClass`."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    cls.addClassCleanup(shutil.rmtree, folder)
    return folder
