"""Clips are float32 [T, H, W, 3] in [-1, 1] inside the package, and uint8 in [0, 255] where they are read and written.

Both conversions map arrays to arrays, without TensorFlow, and tensors to tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

Clips = TypeVar("Clips", np.ndarray, "tf.Tensor")


def to_float(clips: Clips) -> Clips:
    """Maps uint8 in [0, 255], of any shape, to float32 in [-1, 1]."""
    if isinstance(clips, np.ndarray):
        return clips.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    import tensorflow as tf

    return tf.cast(clips, tf.float32) / 127.5 - 1.0


def to_uint8(clips: Clips) -> Clips:
    """Maps floats in [-1, 1], of any shape, to uint8 in [0, 255], rounded half to even; values outside are clipped."""
    if isinstance(clips, np.ndarray):
        scaled = (clips.astype(np.float32) + np.float32(1.0)) * np.float32(127.5)
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(tf.round((tf.cast(clips, tf.float32) + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def persistence(clips: np.ndarray) -> np.ndarray:
    """The baseline of every prediction: the first frame of clips [N, T, H, W, 3], repeated."""
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)
