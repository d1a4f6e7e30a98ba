"""What a card that multiplies in TF32 would do to the parity gate, emulated: no GPU is at hand."""

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from export import check_parity, to_saved_model
from tests.helpers import ROOT, tiny
from tfvideogan import cli
from tfvideogan.files import paths
from tfvideogan.runs import loading

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Conv3D, keras.layers.Conv3DTranspose)
ON_GPUS = {
    "import_weights",
    "train",
    "generate",
    "predict",
    "evaluate",
    "benchmark",
    "benchmark_loader",
    "classify",
    "demo",
}


def rounded(x: tf.Tensor) -> tf.Tensor:
    """Float32 numbers as TF32 has them: 10 bits behind the point in place of 23."""
    bits = tf.bitcast(tf.cast(x, tf.float32), tf.uint32)
    return tf.bitcast((bits + np.uint32(1 << 12)) & np.uint32(0xFFFFE000), tf.float32)


@contextlib.contextmanager
def ampere() -> Iterator[list[str]]:
    """A machine with a card on which convolutions round their inputs; gives the list of visible cards."""
    visible = ["a card"]

    def on_card(layer_class):
        compute = layer_class.call

        def call(layer, inputs, *arguments, **options):
            if not visible:
                return compute(layer, inputs, *arguments, **options)
            return compute(layer, rounded(inputs), *arguments, **options)

        return mock.patch.object(layer_class, "call", call)

    def set_visible(devices, _):
        visible[:] = devices

    with contextlib.ExitStack() as patches:
        for layer_class in CONVOLUTIONS:
            patches.enter_context(on_card(layer_class))
        patches.enter_context(mock.patch.object(tf.config, "list_physical_devices", lambda _: ["a card"]))
        patches.enter_context(mock.patch.object(tf.config, "set_visible_devices", set_visible))
        yield visible


class TensorFloat32Test(tf.test.TestCase):
    def test_the_gate_rejects_in_tf32_and_accepts_once_the_card_is_hidden(self):
        folder = Path(self.create_tempdir().full_path)
        model, artefact = loading.load_generator(tiny.run_folder(folder / "run", "vgan")), folder / "vgan" / "1"
        to_saved_model.save(model, paths.path(artefact), lowering=False, max_batch=3)

        def status() -> str:
            reference = check_parity.Reference(model, folder, None, "synthetic:sprites")
            return reference.check(artefact, "float32", repeats=1).status

        with ampere() as visible:
            self.assertEqual(status(), "rejected")
            cli.load_tensorflow()
            self.assertEqual(visible, [])
            self.assertEqual(status(), "accepted")

    def test_only_commands_that_compute_on_gpus_ask_for_them(self):
        asking, hiding = set(), set()
        for path in (*ROOT.glob("tfvideogan/*.py"), *ROOT.glob("export/*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "cli.load_tensorflow":
                    (asking if ast.unparse(node).endswith("(gpus=True)") else hiding).add(path.stem)
        self.assertEqual(asking, ON_GPUS)
        self.assertContainsSubset(["prepare_data", "verify_data", "preview", "all", "check_parity", "measure"], hiding)

    def test_gpus_that_are_asked_for_take_memory_as_they_need_it(self):
        with ampere() as visible, mock.patch.object(tf.config.experimental, "set_memory_growth") as growth:
            cli.load_tensorflow(gpus=True)
            self.assertEqual(visible, ["a card"])
        growth.assert_called_once_with("a card", True)


if __name__ == "__main__":
    tf.test.main()
