"""Weights in one small file, which stands in a checkpoint's folder in place of TensorFlow's: what sampling needs.

`weights.npz` holds an array a variable by `NETWORK/LAYER/VARIABLE`. Kernels are of float16, whose rounding changes a
clip by less than a level of 8 bits or two; all else, such as the statistics of batch normalisation, is of float32.
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from tfvideogan.files import paths
from tfvideogan.runs.state import State

NAME = "weights.npz"


def content(state: State) -> bytes:
    """The file for these variables."""
    arrays = {f"{part}/{name}": _small(v.numpy()) for part, named in state.items() for name, v in named.items()}
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read(path: paths.Path, most: int) -> dict[str, np.ndarray]:
    """The arrays of a file. Raises ValueError if it is damaged, or unpacks to more than `most` bytes."""
    try:
        file = io.BytesIO(path.read_bytes())
        with zipfile.ZipFile(file) as entries:
            unpacked = sum(entry.file_size for entry in entries.infolist())
        if unpacked > most:
            raise ValueError(f"it unpacks to {unpacked:,} bytes, and its model has {most:,} at most")
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # NumPy's reader raises anything on evil files, MemoryError and TokenError too.
        raise ValueError(f"{NAME} cannot be read: {paths.first_line(error)}") from error


def _small(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16) if values.ndim > 1 else values
