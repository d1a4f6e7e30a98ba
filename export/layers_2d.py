"""Layers of 2D operations that `export/lowering.py` puts in place of the layers of 3D networks.

Each takes clips [N, T, H*W, C] (`rearrange.py`) and works on their frames as images of one batch [N*T, H, W, C].
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from export.rearrange import as_clips, as_images, interleave, pad, shift, take, unfold

TRANSPOSED = (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
FEW_CHANNELS = 16  # With fewer, a convolution for each phase would leave most of a vector register empty.
PHASES = tuple(itertools.product(range(2), range(2)))  # An output pixel of stride 2 has one of these (row, column).

Index = tuple[int, ...]  # Frame t of a clip is frame index[t] of those that were computed.


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights of any convolution, as those of a 3D one, in float64.

    Attributes:
        kernel: [kt, kh, kw, C in, C out], also for transposed convolutions.
        bias: [C out], zeros for a layer without one.
        strides: of time, height and width.
        relu: whether a ReLU follows.
    """

    kernel: np.ndarray
    bias: np.ndarray
    strides: tuple[int, int, int]
    relu: bool = False

    @classmethod
    def of(cls, layer: Any) -> Weights:
        kernel = layer.kernel.numpy().astype(np.float64)
        if isinstance(layer, TRANSPOSED):
            kernel = kernel.swapaxes(-1, -2)
        bias = layer.bias.numpy().astype(np.float64) if layer.use_bias else np.zeros(layer.filters)
        if kernel.ndim == 4:
            return cls(kernel[np.newaxis], bias, (1, *layer.strides))
        return cls(kernel, bias, layer.strides)

    def normalised(self, norm: keras.layers.BatchNormalization) -> Weights:
        """The convolution followed by gamma * (x - mean) / sqrt(variance + epsilon) + beta, as one convolution."""
        variables = (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        mean, variance, gamma, beta = (variable.numpy().astype(np.float64) for variable in variables)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return dataclasses.replace(self, kernel=self.kernel * scale, bias=(self.bias - mean) * scale + beta)

    def rectified(self) -> Weights:
        """The convolution followed by a ReLU."""
        return dataclasses.replace(self, relu=True)


class Lowered(keras.layers.Layer):
    """A layer on clips [N, T, H*W, C], or on images, which are clips of one frame."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")

    def constant(self, value: np.ndarray) -> Any:
        """A weight that is not trained, already in the order of dimensions that its operation takes."""
        initial = value.astype(np.float32)
        return self.add_weight(shape=value.shape, initializer=lambda *_, **__: initial, trainable=False)


class Product(Lowered):
    """An unpadded convolution to a single position, or a transposed one from it, which is a matrix product.

    The input of a transposed one may also be one frame of any size, if its kernel is 1x1 in space.
    """

    def __init__(self, weights: Weights, transposed: bool):
        super().__init__()
        kernel = weights.kernel
        self.relu = weights.relu
        self.transposed = transposed
        self.size = kernel.shape[:3] if transposed else (1, 1, 1)
        matrix = np.moveaxis(kernel, 3, 0).reshape(kernel.shape[3], -1) if transposed else kernel
        self.matrix = self.constant(matrix.reshape(-1, matrix.shape[-1]))
        self.bias = self.constant(np.tile(weights.bias, np.prod(self.size)))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        positions = x.shape[2] if self.transposed else 1
        frames, rows, columns = self.size
        y = tf.reshape(x, [-1, self.matrix.shape[0]]) @ self.matrix + self.bias
        y = tf.nn.relu(y) if self.relu else y
        if positions > 1:  # Then y has a row for each position, which holds all its frames.
            return tf.transpose(tf.reshape(y, [-1, positions, frames, y.shape[-1] // frames]), [0, 2, 1, 3])
        return tf.reshape(y, [-1, frames, rows * columns, y.shape[-1] // np.prod(self.size)])


class Convolution(Lowered):
    """A padded convolution, as a 2D one of frames whose channels are those that all temporal taps see.

    Output frames that see the same input frames are computed once.

    Args:
        index: for each frame of the clip, the frame of the input that stands for it.
        size: height and width of the input.

    Attributes:
        index: for each frame of the output clip, the frame that the layer computes for it.
        frames: for each temporal tap, the padded input frames that it sees.
    """

    def __init__(self, weights: Weights, index: Index, size: tuple[int, int]):
        super().__init__()
        self.size = size
        taps, rows, columns, _, outputs = weights.kernel.shape
        stride, *self.strides = weights.strides
        before = (taps - stride) // 2
        self.margin = int(taps > 1)  # So many frames of zeros are put at either end.
        padded = [0] * self.margin + [i + self.margin for i in index] + [max(index) + 2] * self.margin
        first = self.margin - before
        seen = [tuple(padded[first + start :][:taps]) for start in range(0, len(index), stride)]
        distinct = list(dict.fromkeys(seen))
        self.index = tuple(distinct.index(frames) for frames in seen)
        self.frames = list(zip(*distinct, strict=True))
        self.relu = weights.relu
        self.kernel = self.constant(np.moveaxis(weights.kernel, 0, 2).reshape(rows, columns, -1, outputs))
        self.bias = self.constant(weights.bias)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = pad(x, self.margin)
        x = tf.concat([take(x, frames) for frames in self.frames], -1)
        y = tf.nn.conv2d(as_images(x, self.size), self.kernel, self.strides, "SAME") + self.bias
        return as_clips(tf.nn.relu(y) if self.relu else y, len(self.frames[0]))


class TransposedConvolution(Lowered):
    """Padded transposed convolutions of spatial stride 2 with the same input and geometry; it returns a list of clips.

    Along each axis, output s*q + p (which has phase p) is the sum over its taps (e, j) of input q + e times slice j of
    the kernel. Where heads of more channels are beside it, a head of one has it repeated as often as the widest has
    channels: a mask that multiplies colours would otherwise be broadcast along them, at which runtimes are slow.

    Args:
        heads: the weights of each.
        size: height and width of the input.
    """

    def __init__(self, heads: Sequence[Weights], size: tuple[int, int]):
        super().__init__()
        self.size = size
        self.relu = heads[0].relu
        self.channels = [head.bias.size for head in heads]
        self.bias = self.constant(np.tile(np.concatenate([head.bias for head in heads]), 4))
        taps, stride = heads[0].kernel.shape[0], heads[0].strides[0]
        self.margin = int(taps > 1)
        self.times = [axis_taps(taps, stride, phase) for phase in range(stride)]
        self.summed = len(heads) > 1 or self.channels[0] < FEW_CHANNELS
        self.matrices = [self.constant(matrix) for matrix in _selections(self.channels)] if len(heads) > 1 else []
        # A cell is the part of a kernel that makes one phase, [kt, 2, 2, C in, C out].
        cells = [[_cell(head.kernel, *phase) for phase in PHASES] for head in heads]
        joined = [cell for phase in reversed(list(zip(*cells, strict=True))) for cell in phase]
        groups = [joined] if self.summed else [[cell] for cell in cells[0]]
        kernels = [np.concatenate(group, -1) for group in groups]
        if self.summed:
            self.kernels = [self.constant(tap) for tap in kernels[0]]
        else:
            times = [[j for _, j in time] for time in self.times]
            self.kernels = [[self.constant(np.concatenate(kernel[js], -2)) for kernel in kernels] for js in times]

    def call(self, x: tf.Tensor) -> list[tf.Tensor]:
        if self.summed:
            return self._summed(x)
        frames = x.shape[1]
        x = pad(x, self.margin)
        phases = []
        for taps, kernels in zip(self.times, self.kernels, strict=True):
            starts = [self.margin + offset for offset, _ in taps]
            seen = as_images(tf.concat([take(x, range(start, start + frames)) for start in starts], -1), self.size)
            phases.append(as_clips(self._by_phase(seen, kernels), frames))
        return [interleave(phases)]

    def _by_phase(self, x: tf.Tensor, kernels: Sequence[Any]) -> tf.Tensor:
        """Images -> images of twice the size, by a convolution for each phase, padded on the sides that it sees."""
        bias = self.bias[: self.channels[0]]
        cells = [
            self._activated(_convolve(x, kernel, (1 - a, a), (1 - b, b)) + bias)
            for (a, b), kernel in zip(PHASES, kernels, strict=True)
        ]
        return interleave([interleave(cells[:2], axis=2), interleave(cells[2:], axis=2)])

    def _summed(self, x: tf.Tensor) -> list[tf.Tensor]:
        """One convolution for each temporal tap; with few output channels, adding them up is faster than stacking."""
        frames = x.shape[1]
        images = as_images(x, self.size)
        phases = []
        for taps in self.times:
            summands = []
            for offset, j in taps:
                y = _convolve(images, self.kernels[j], (1, 1), (1, 1))
                windows = tuple(y.shape[1:3])
                y = as_clips(y + self.bias if offset == 0 else y, frames)  # Exactly one tap of a phase has offset 0.
                summands.append(shift(y, offset))
            phases.append(functools.reduce(operator.add, summands))
        y = unfold(self._activated(as_images(interleave(phases), windows)))
        return [as_clips(head, frames * len(phases)) for head in self._apart(y)]

    def _apart(self, y: tf.Tensor) -> list[tf.Tensor]:
        """The images of each head, by products, since runtimes are slow at slices of few channels."""
        if not self.matrices:
            return [y]
        pixels = tf.reshape(y, [-1, y.shape[-1]])
        return [tf.reshape(pixels @ matrix, [-1, *y.shape[1:3], matrix.shape[1]]) for matrix in self.matrices]

    def _activated(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x) if self.relu else x


def axis_taps(kernel: int, stride: int, phase: int) -> list[tuple[int, int]]:
    """The taps of one phase of a padded transposed convolution along one axis: (input offset, kernel slice).

    Input i times slice j is added to output stride * i + j - before. Output stride * q + phase
    therefore has the tap of input q + offset if the slice that this gives exists.
    """
    before = (kernel - stride) // 2
    taps = [(offset, phase - stride * offset + before) for offset in (-1, 0, 1)]
    return [(offset, j) for offset, j in taps if 0 <= j < kernel]


def _convolve(images: tf.Tensor, kernel: Any, rows: tuple[int, int], columns: tuple[int, int]) -> tf.Tensor:
    """A 2D convolution of images with so many rows and columns of zeros on either side, which no runtime copies."""
    return tf.nn.conv2d(images, kernel, 1, [(0, 0), rows, columns, (0, 0)])


def _selections(channels: Sequence[int]) -> list[np.ndarray]:
    """For each head a matrix of 0 and 1, from the channels of all to its own, or to repetitions of its only one."""
    own = np.split(np.eye(sum(channels)), np.cumsum(channels)[:-1], axis=1)
    return [np.tile(matrix, max(channels)) if matrix.shape[1] == 1 else matrix for matrix in own]


def _cell(kernel: np.ndarray, *phase: int) -> np.ndarray:
    """The part of a kernel [kt, 4, 4, C in, C out] that makes the output pixels of one phase: [kt, 2, 2, ...]."""
    rows, columns = ([j for _, j in axis_taps(4, 2, p)] for p in phase)
    return kernel[:, rows][:, :, columns]
