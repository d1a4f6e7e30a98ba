"""tfvideogan: Video-GAN and MD-GAN in Keras 3 on TensorFlow.

    from tfvideogan import load_generator

    model = load_generator("runs/mdgan")
    clips = model(frames)["clip"]  # [N, H, W, 3] -> [N, T, H, W, 3], floats in [-1, 1]

Names are loaded when first used, so that a command's `--help` does not wait for TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
_HOMES = {
    "VGAN": "tfvideogan.models.vgan",
    "MDGAN": "tfvideogan.models.mdgan",
    "load_generator": "tfvideogan.runs.loading",
    "load_exported": "tfvideogan.inference.artefacts",
    "RemoteModel": "tfvideogan.inference.remote",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
