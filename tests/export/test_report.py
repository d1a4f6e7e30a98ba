"""Rows of a report: from a measurement to JSON and back, and what a table says of them."""

import dataclasses
import json

import tensorflow as tf

from export import report
from export.report import Row

ACCEPTED = Row(
    "vgan_float16.onnx", "onnx", "float16", lowered=True, bytes=32_700_000, sha256="af50baaf853d0000", load_s=0.1,
    p50_ms=30.7, p95_ms=32.0, clips_per_s=32.6, repeats=20, peak_memory_mb=238.4, max_difference=3.4e-4, psnr_db=80.1,
    status="accepted",
)  # fmt: skip


class RowTest(tf.test.TestCase):
    def test_a_report_is_read_as_it_was_written(self):
        written = {"model": "vgan", "artefacts": [ACCEPTED, Row("a", "tflite", "int8", status="failed", reason="why")]}
        text = report.to_json(written)
        self.assertEqual(report.from_json(text), written)
        self.assertEqual(json.loads(text)["artefacts"][0], dataclasses.asdict(ACCEPTED))

    def test_a_row_may_lack_figures_and_have_names_of_other_versions(self):
        row = Row.of({"artefact": "a.onnx", "format": "onnx", "precision": "int8", "status": "failed", "colour": "red"})
        self.assertEqual(row, Row("a.onnx", "onnx", "int8", status="failed"))
        with self.assertRaises(TypeError):
            Row.of({"artefact": "a.onnx", "format": "onnx"})

    def test_a_table_shows_figures_or_the_reason_why_there_are_none(self):
        failed = Row("a.tflite", "tflite", "int8", lowered=False, status="failed", reason="a | b")
        int8 = dataclasses.replace(
            ACCEPTED, precision="int8", float_share=0.25, gpu_share=0.996, status="rejected", reason="too far"
        )
        *_, first, second, third = report.table_of_rows([ACCEPTED, failed, int8]).splitlines()
        figures = "32.7 | 30.7 | 32.0 | 32.6 | 238 | 3.4e-04 | - | - | onnxruntime "
        self.assertStartsWith(first, f"| `vgan_float16.onnx` | onnx | float16 | 2D | {figures}")
        self.assertEndsWith(first, " | `af50baaf853d` | accepted |")
        self.assertStartsWith(second, f"| `a.tflite` | tflite | int8 | 3D | {'- | ' * 8}ai-edge-litert")
        self.assertEndsWith(second, " | - | failed: a / b |")
        self.assertRegex(third, r"\| 80.1 dB \| 25% \| 99.6% \|.*\| rejected: too far \|$")


if __name__ == "__main__":
    tf.test.main()
