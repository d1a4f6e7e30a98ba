"""What a clip is: float32 [T, H, W, 3] in [-1, 1] inside, uint8 in [0, 255] at the edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def to_float(clips: Any) -> tf.Tensor:
    """uint8 in [0, 255], any shape -> float32 in [-1, 1]."""
    return tf.cast(clips, tf.float32) / 127.5 - 1.0


def to_uint8(clips: Any) -> np.ndarray:
    """Floats in [-1, 1], any shape -> uint8 in [0, 255], rounded; values outside are clipped."""
    scaled = (np.asarray(clips, np.float32) + 1.0) * 127.5
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def to_uint8_tensor(clips: tf.Tensor) -> tf.Tensor:
    """`to_uint8` inside a graph."""
    return tf.cast(tf.clip_by_value(tf.round((clips + 1.0) * 127.5), 0.0, 255.0), tf.uint8)


def persistence(clips: np.ndarray) -> np.ndarray:
    """The baseline of every prediction: the first frame of [N, T, H, W, 3], repeated."""
    return np.repeat(clips[:, :1], clips.shape[1], axis=1)
