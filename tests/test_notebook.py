"""The notebook runs from its first cell to its last, as a reader of it would run it."""

import os
import sys
import tempfile
from pathlib import Path
from unittest import mock

import tensorflow as tf

from tests.helpers import ROOT

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


class QuickstartTest(tf.test.TestCase):
    def test_all_cells_run_and_pictures_come_out(self):
        try:
            import nbclient
            import nbformat
        except ImportError:
            self.skipTest("nbclient is not installed; `make test-notebook` installs it")
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        self.assertTrue(all(not cell.get("outputs") for cell in notebook.cells), "outputs are not committed")
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        folder = self.enter_context(tempfile.TemporaryDirectory())
        with mock.patch.dict(os.environ, QUICKSTART_STEPS="3", PYTHONPATH=path, PATH=commands):
            nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        pictures = [output for output in outputs if "image/gif" in output.get("data", {})]
        self.assertLen(pictures, 2)  # The photo's clip, and the samples of the training.
        text = "".join(output.get("text", "") for output in outputs)
        self.assertNotIn("Traceback", text)
        self.assertIn("persistence", text)
        self.assertTrue((Path(folder) / "quickstart.tflite").is_file())


if __name__ == "__main__":
    tf.test.main()
