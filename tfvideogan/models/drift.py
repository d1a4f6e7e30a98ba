"""The first frame drifting with a mean wind: what an MD-GAN with `--drift` sees in place of the frame repeated (ours).

Arrays give arrays, without TensorFlow, and tensors give tensors, by operations that all formats of an export have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tfvideogan.config import UsageError

if TYPE_CHECKING:
    import tensorflow as tf

Array = TypeVar("Array", np.ndarray, "tf.Tensor")

DEFAULT_WIND = (0.005, 0.0)
FASTEST_WIND = 1.0  # A frame that has moved by its own width shows nothing but its mirror image.


def parse_wind(text: str, others: str = "") -> np.ndarray:
    """The value of a flag `--wind=DX,DY` as float32 [2].

    Raises:
        UsageError: it is not two numbers from -1 to 1; `others` tells what else the flag may be.
    """
    try:
        wind = np.float32([float(part) for part in text.split(",")])
    except ValueError:
        wind = np.zeros(0)
    if wind.shape != (2,) or not np.all(np.abs(wind) <= FASTEST_WIND):
        raise UsageError(f"--wind must be {others}DX,DY with numbers from -1 to 1. Received: {text!r}")
    return wind


def drifting_clip(frame: Array, wind: Array, num_frames: int) -> Array:
    """The clip whose frame t is the first frame moved by t times the wind.

    Args:
        frame: [N, H, W, 3], H and W at least 2.
        wind: float32 [N, 2], (u, v): so many frame widths to the right and frame heights downwards a frame.
        num_frames: T.

    Returns:
        [N, T, H, W, 3], bilinear between pixels. Outside of the frame it goes on as in a mirror, since an edge that is
        continued is drawn out to streaks. Without wind it is the frame repeated.
    """
    ops: Any = np
    if not isinstance(frame, np.ndarray):
        import tensorflow as ops
    height, width, channels = frame.shape[1:]
    steps = np.arange(num_frames, dtype=np.float32)
    columns = _weights(ops, wind[:, :1] * steps * float(width), width)
    rows = _weights(ops, wind[:, 1:] * steps * float(height), height)
    # Moving along an axis is a matrix product, since neither TFLite nor ONNX interpolates at places that it computes.
    by_column = ops.reshape(ops.transpose(frame, (0, 2, 1, 3)), (-1, 1, width, height * channels))
    moved = ops.reshape(ops.matmul(columns, by_column), (-1, num_frames, width, height, channels))
    by_row = ops.reshape(ops.transpose(moved, (0, 1, 3, 2, 4)), (-1, num_frames, height, width * channels))
    return ops.reshape(ops.matmul(rows, by_row), (-1, num_frames, height, width, channels))


def _weights(ops: Any, shift: Array, size: int) -> Array:
    """Shifts along an axis in pixels [N, T] -> the share [N, T, size, size] of each old pixel in each new one."""
    pixels, last = np.arange(size, dtype=np.float32), float(size - 1)
    source = pixels - shift[..., None]
    source = last - ops.abs(last - source + 2 * last * ops.floor(source / (2 * last)))
    return ops.maximum(1.0 - ops.abs(source[..., None] - pixels), 0.0)
