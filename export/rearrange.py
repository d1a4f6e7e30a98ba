"""Clips and images rearranged: frames padded, taken and interleaved, windows unfolded to pixels.

A clip is [N, T, H*W, C] here, and its frames are images [N*T, H, W, C]: delegates for GPUs leave what has five
dimensions to the CPU. All is made of operations that mobile runtimes are fast at: reshapes, slices without strides,
concatenations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def clip_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """The shape (T, H*W, C) in which this module has a clip (T, H, W, C), or an image (H, W, C) as one of one frame."""
    *frames, height, width, channels = shape
    return math.prod(frames), height * width, channels


def as_images(x: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """[N, T, H*W, C] -> [N*T, H, W, C], of this height and width."""
    return tf.reshape(x, [-1, *size, x.shape[-1]])


def as_clips(x: tf.Tensor, frames: int) -> tf.Tensor:
    """[N*T, H, W, C] -> [N, T, H*W, C]."""
    return tf.reshape(x, [-1, frames, x.shape[1] * x.shape[2], x.shape[3]])


def pad(x: tf.Tensor, frames: int) -> tf.Tensor:
    """Puts so many frames of zeros at either end of clips [N, T, H*W, C]."""
    return tf.pad(x, [[0, 0], [frames] * 2, [0, 0], [0, 0]]) if frames else x


def shift(x: tf.Tensor, offset: int) -> tf.Tensor:
    """Clips [N, T, H*W, C] whose frame t was frame t + offset, or zeros where there was none."""
    if offset == 0:
        return x
    kept = x[:, offset:] if offset > 0 else x[:, :offset]
    return tf.pad(kept, [[0, 0], [max(-offset, 0), max(offset, 0)], [0, 0], [0, 0]])


def take(x: tf.Tensor, frames: Sequence[int]) -> tf.Tensor:
    """The frames of clips [N, T, H*W, C] with these numbers, in this order, by slices without strides."""
    frames = list(frames)
    if frames == list(range(x.shape[1])):
        return x
    step = frames[1] - frames[0] if len(frames) > 1 else 1
    offset = frames[0] % max(step, 1)
    first = frames[0] - offset
    if step > 1 and frames == list(range(frames[0], frames[-1] + 1, step)) and first + step * len(frames) <= x.shape[1]:
        blocks = x[:, first : first + step * len(frames)]
        blocks = tf.reshape(blocks, [-1, len(frames), step, np.prod(x.shape[2:])])
        return tf.reshape(blocks[:, :, offset : offset + 1], [-1, len(frames), *x.shape[2:]])
    # A run is frames in a row, which are taken once, or one frame and how often it is taken.
    runs: list[tuple[list[int], int]] = []
    for frame in frames:
        row, times = runs[-1] if runs else ([], 0)
        if times == 1 and frame == row[-1] + 1:
            row.append(frame)
        elif len(row) == 1 and frame == row[0]:
            runs[-1] = (row, times + 1)
        else:
            runs.append(([frame], 1))
    parts = [_repeat(x[:, row[0] : row[-1] + 1], times) for row, times in runs]
    return tf.concat(parts, 1) if len(parts) > 1 else parts[0]


def _repeat(x: tf.Tensor, times: int) -> tf.Tensor:
    """Clips repeated along time by doubling, since runtimes are slow at tiles and at concatenating many tensors."""
    if times == 1:
        return x
    half = _repeat(x, times // 2)
    return tf.concat([half, half] + [x] * (times % 2), 1)


def interleave(phases: Sequence[tf.Tensor], axis: int = 1) -> tf.Tensor:
    """Joins s tensors of every s-th frame, row or column: s times [N, ..., K, ...] -> [N, ..., s*K, ...]."""
    if len(phases) == 1:
        return phases[0]
    before, size, after = phases[0].shape[1:axis], phases[0].shape[axis], phases[0].shape[axis + 1 :]
    stacked = tf.concat([tf.reshape(phase, [-1, size, 1, np.prod(after)]) for phase in phases], 2)
    return tf.reshape(stacked, [-1, *before, size * len(phases), *after])


def unfold(x: tf.Tensor) -> tf.Tensor:
    """Windows [N, H+1, W+1, 4*C] -> pixels [N, 2H, 2W, C].

    Window g covers pixels g-1 and g, and makes phase 1 of pixel g-1 and phase 0 of pixel g, which are outputs 2g-1
    and 2g. Phases are therefore in reversed order, and a border is cut off. The operation DEPTH_TO_SPACE would do the
    same, but some runtimes are slow at it; this transposes whole half rows instead.
    """
    rows, columns, channels = x.shape[1:]
    halves = tf.transpose(tf.reshape(x, [-1, columns, 2, channels // 2]), [0, 2, 1, 3])
    return tf.reshape(halves, [-1, 2 * rows, 2 * columns, channels // 4])[:, 1:-1, 1:-1]
