"""The README.md of an export: what the model is, which artefacts there are, and how to call each kind of them.

The tests run its snippets as they stand, in the folder of the export.
"""

from __future__ import annotations

from typing import Any

from export.report import table_of_rows
from tfvideogan.models.drift import DEFAULT_WIND

TITLES = {
    "vgan": "Video-GAN, two streams",
    "vgan_one_stream": "Video-GAN, one stream",
    "vgan_conditional": "Video-GAN, conditional",
    "mdgan": "MD-GAN",
}
WIND = "{}, {}".format(*DEFAULT_WIND)
PAPERS = {"vgan": "1609.02612", "mdgan": "1709.07592"}

CARD = """# {title}

From {takes} to a clip of {frames} frames of {size} x {size} pixels, RGB, made to be played at {fps} frames a second.
Floats are in [-1, 1], pictures are uint8.

- Paper: https://arxiv.org/abs/{paper}
- Weights: step {step} of a run on `{data}`, SHA-256 `{weights_sha256}`.
- Made {created} by tfvideogan {version}.
- It knows what it was trained on; whatever it is given, it makes clips that are like those.

## Artefacts

Each was loaded by its own runtime in a fresh process and compared with Keras on 8 inputs ({inputs}), in
batches of 1 and 3: the largest difference, or the PSNR of int8. Times are of one clip on {processor}, {threads}
threads, memory is the whole process's. `export_report.json` has all digits.

{table}

## Use

{snippets}
"""

ANY = """Any of them, by tfvideogan:

```python
from tfvideogan import load_exported

clips = load_exported("{path}").{call}  # uint8 [N, {frames}, {size}, {size}, 3]
```"""

ALONE = {
    "saved_model": """The SavedModel, by TensorFlow alone (or TF Serving, which takes the folder above it):

```python
import tensorflow as tf

signatures = tf.saved_model.load("{path}").signatures
frames = signatures["{signature}"]({tensor})["frames"]  # uint8 [B, {frames}, {size}, {size}, 3]
```""",
    "tflite": """A TFLite file, by LiteRT alone:

```python
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter("{path}")
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], {array})
interpreter.invoke()
video = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])  # [1, {frames}, {size}, {size}, 3]
```""",
    "onnx": """An ONNX file, by ONNX Runtime alone:

```python
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{path}")
(video,) = session.run(["video"], {{{input}}})  # [1, {frames}, {size}, {size}, 3]
```""",
}


def model_card(report: dict[str, Any]) -> str:
    """The report of `report.describe` as Markdown, with a snippet for each format that has an accepted artefact."""
    stages = {1: ", stage 1", 2: ", both stages"}[report["stage"]] if report["model"] == "mdgan" else ""
    fields = {
        "title": TITLES[report["model"]] + stages,
        "takes": _taken(report),
        "inputs": f"first frames of `{report['checked_on']}`" if report["predicts"] else report["checked_on"],
        "frames": report["clip"][0],
        "size": report["clip"][1],
        "paper": PAPERS[report["model"].partition("_")[0]],
        "version": report["versions"]["tfvideogan"],
        "table": table_of_rows(report["artefacts"]),
    }
    return CARD.format(**report | report["machine"] | fields, snippets=_snippets(report))


def _taken(report: dict[str, Any]) -> str:
    if report["takes_wind"]:
        return (
            "a frame and its wind (how far what is seen moves a frame, in frame widths to the right and heights "
            f"downwards, such as {WIND}; a TFLite file takes the clip in which the frame so drifts)"
        )
    return "a frame" if report["predicts"] else "100 latents from N(0, 1)"


def _snippets(report: dict[str, Any]) -> str:
    frames, size = report["clip"][:2]
    first = {row.format: row.artefact for row in reversed(report["artefacts"]) if row.status == "accepted"}
    if report["predicts"]:
        code = {
            "call": 'predict("photo.jpg")',
            "signature": "predict",
            "tensor": f"frame=tf.zeros([1, {size}, {size}, 3], tf.uint8)",
            "input": f'"frame": np.zeros([1, {size}, {size}, 3], np.float32)',
            "array": f"np.zeros([1, {size}, {size}, 3], np.float32)",
        }
    else:
        code = {
            "call": "generate(seed=[1, 2])",
            "signature": "generate",
            "tensor": "seed=tf.constant([1, 2], tf.int64)",
            "input": '"latents": np.random.default_rng(1).normal(size=[1, 100]).astype(np.float32)',
            "array": "np.random.default_rng(1).normal(size=[1, 100]).astype(np.float32)",
        }
    if report["takes_wind"]:
        code["call"] = f'predict("photo.jpg", wind=({WIND}))'
        code["tensor"] += f", wind=tf.constant([[{WIND}]])"
        code["input"] += f', "wind": np.float32([[{WIND}]])'
        code["array"] = f"np.zeros([1, {frames}, {size}, {size}, 3], np.float32)"
    texts = [(ANY, next(iter(first.values())))] if first else []
    texts += [(ALONE[name], path) for name, path in first.items()]
    return "\n\n".join(text.format(path=path, frames=frames, size=size, **code) for text, path in texts)
