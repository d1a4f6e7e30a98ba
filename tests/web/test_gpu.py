"""The page's models on a GPU: LiteRT's delegate takes the whole graph, and gives what the processor gives."""

import unittest
from pathlib import Path

import numpy as np
import tensorflow as tf

from export import operators, to_web
from tests.helpers import folders, tiny
from tests.web import browser
from tests.web.case import NODE_MODULES, RUNTIME_MISSING, hosted

PAGE = """<!doctype html>
<script type="importmap">{"imports": {"@litertjs/wasm-utils": "./wasm-utils/dist/index.js"}}</script>
<script type="module">
import { loadAndCompile, loadLiteRt, Tensor } from "./core/dist/index.js";

/** The films [number of values] of random inputs, by `accelerator`. */
window.films = async (file, accelerator) => {
  await loadLiteRt("./core/wasm/");
  const model = await loadAndCompile(file, { accelerator });
  const [{ shape }] = model.getInputDetails();
  let state = 1;
  const next = () => (state = (state * 16807) % 2147483647) / 2147483647 * 2 - 1;
  const input = Float32Array.from({ length: shape.reduce((size, one) => size * one, 1) }, next);
  const [output] = await model.run([new Tensor(input, [...shape])]);
  return [...(await (accelerator === "wasm" ? output : await output.moveTo("wasm")).data())];
};
</script>
"""


def models():
    """One of each kind, and of a frame that drifts and is changed, by name."""
    yield from ((f"{name}-{stage}", tiny.shaken(name, stage)) for name, stage in tiny.MODELS)
    yield "drift", tiny.changing(2, drift="fused")


class GpuTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls)
        for name, model in models():
            Path(cls.folder, f"{name}.tflite").write_bytes(to_web.convert(model, "float32")[0])
        cls.files = sorted(cls.folder.glob("*.tflite"))

    def test_every_operator_is_for_a_gpu(self):
        for file in self.files:
            self.assertEqual(operators.gpu_share(file), 1.0, file.name)

    @browser.needed
    @unittest.skipIf(RUNTIME_MISSING, RUNTIME_MISSING)
    def test_the_delegate_takes_the_whole_graph_and_films_are_those_of_the_processor(self):
        (self.folder / "index.html").write_text(PAGE)
        for name, held in to_web._read_runtime(str(NODE_MODULES)).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(held)
        with hosted(self.folder) as address, browser.chromium(*browser.WEBGPU) as chromium:
            for file in [file for file in self.files if file.stem in ("vgan-1", "vgan_conditional-1", "drift")]:
                films, told = {}, []
                for accelerator in ("wasm", "webgpu"):
                    page = chromium.new_page()
                    page.on("console", lambda message, told=told: told.append(message.text))
                    page.goto(address)
                    films[accelerator] = np.float32(
                        page.evaluate("([file, accelerator]) => films(file, accelerator)", [file.name, accelerator])
                    )
                    page.close()
                said = "\n".join(told)
                self.assertIn("Initializing WebGPU-based API from graph", said, file.name)
                self.assertNotIn("not supported by GPU delegate", said, file.name)
                self.assertGreater(np.std(films["wasm"]), 0.01)
                self.assertAllClose(films["webgpu"], films["wasm"], rtol=0, atol=1e-4, msg=file.name)


if __name__ == "__main__":
    tf.test.main()
