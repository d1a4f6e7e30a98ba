"""The layers of 3D networks as 2D operations: what `export/lowering.py` puts in their place.

Each takes clips [N, T, H, W, C] and works on their frames as images of one batch [N*T, H, W, C].
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
FEW_CHANNELS = 16  # below, a convolution for each phase would leave most of a vector register empty
LARGE_MAP = 32  # pixels a side from which the border of a map costs less than copies of its windows
PHASES = tuple(itertools.product(range(2), range(2)))  # of an output pixel, under stride 2

Index = tuple[int, ...]  # frame t of a clip is frame index[t] of those that were computed


@dataclasses.dataclass(frozen=True)
class Weights:
    """A convolution of any kind as a 3D one: kernel [kt, kh, kw, C in, C out] and bias [C out] in float64."""

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
        """gamma * (x - mean) / sqrt(variance + epsilon) + beta, as part of the convolution."""
        variables = (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        mean, variance, gamma, beta = (variable.numpy().astype(np.float64) for variable in variables)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return dataclasses.replace(self, kernel=self.kernel * scale, bias=(self.bias - mean) * scale + beta)

    def rectified(self) -> Weights:
        """With a ReLU behind it."""
        return dataclasses.replace(self, relu=True)


class Lowered(keras.layers.Layer):
    """A layer on clips [N, T, H, W, C], or on images [N, H, W, C] taken as clips of one frame."""

    def __init__(self) -> None:
        super().__init__(dtype="float32")

    def constant(self, value: np.ndarray) -> Any:
        """A weight, arranged beforehand as its operation takes it."""
        initial = value.astype(np.float32)
        return self.add_weight(shape=value.shape, initializer=lambda *_, **__: initial, trainable=False)

    def call(self, x: tf.Tensor) -> Any:
        if len(x.shape) == 5:
            return self.on_clips(x)
        outputs = self.on_clips(tf.reshape(x, [-1, 1, *x.shape[1:]]))
        return tf.nest.map_structure(lambda y: tf.reshape(y, [-1, *y.shape[2:]]), outputs)

    def on_clips(self, x: tf.Tensor) -> Any:
        raise NotImplementedError


class Product(Lowered):
    """An unpadded convolution to a single position, or a transposed one from it: a matrix product.

    A transposed one may also see one frame of any size through a 1x1 window.
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

    def on_clips(self, x: tf.Tensor) -> tf.Tensor:
        height, width = x.shape[2:4] if self.transposed else (1, 1)
        frames, rows, columns = self.size
        y = tf.reshape(x, [-1, self.matrix.shape[0]]) @ self.matrix + self.bias
        y = tf.nn.relu(y) if self.relu else y
        if height * width > 1:  # a row for each position, which holds all frames
            y = tf.reshape(y, [-1, height * width, frames, y.shape[-1] // frames])
            y = tf.transpose(y, [0, 2, 1, 3])
        return tf.reshape(y, [-1, frames, height * rows, width * columns, self.bias.shape[0] // np.prod(self.size)])


class Convolution(Lowered):
    """A padded convolution: the frames that its temporal taps see are stacked on the channels.

    Output frames that see the same input frames are computed once.

    Args:
        index: which frames of the input stand for those of the clip; `self.index` is the output's.
    """

    def __init__(self, weights: Weights, index: Index):
        super().__init__()
        taps, rows, columns, _, outputs = weights.kernel.shape
        stride, *self.strides = weights.strides
        before = (taps - stride) // 2
        self.margin = int(taps > 1)  # frames of zeros at either end
        padded = [0] * self.margin + [i + self.margin for i in index] + [max(index) + 2] * self.margin
        first = self.margin - before
        seen = [tuple(padded[first + start :][:taps]) for start in range(0, len(index), stride)]
        distinct = list(dict.fromkeys(seen))
        self.index = tuple(distinct.index(frames) for frames in seen)
        self.frames = list(zip(*distinct, strict=True))  # a list of frames for each tap
        self.relu = weights.relu
        self.kernel = self.constant(np.moveaxis(weights.kernel, 0, 2).reshape(rows, columns, -1, outputs))
        self.bias = self.constant(weights.bias)

    def on_clips(self, x: tf.Tensor) -> tf.Tensor:
        x = pad(x, self.margin, 0)
        x = tf.concat([take(x, frames) for frames in self.frames], -1)
        y = tf.nn.conv2d(as_images(x), self.kernel, self.strides, "SAME") + self.bias
        return as_clips(tf.nn.relu(y) if self.relu else y, len(self.frames[0]))


class TransposedConvolution(Lowered):
    """Padded transposed convolutions of spatial stride 2 that share input and geometry; returns a list.

    Along each axis output s*q + p, of phase p, is the sum over its taps (e, j) of input q + e times kernel slice j.

    Args:
        heads: their weights.
        size: height and width of the input; it decides which of the forms is the fastest.
    """

    def __init__(self, heads: Sequence[Weights], size: int):
        super().__init__()
        self.relu = heads[0].relu
        self.channels = [head.bias.size for head in heads]
        self.bias = self.constant(np.concatenate([np.tile(head.bias, 4) for head in heads]))
        taps, stride = heads[0].kernel.shape[0], heads[0].strides[0]
        self.margin = int(taps > 1)
        self.times = [axis_taps(taps, stride, phase) for phase in range(stride)]
        self.summed = len(heads) > 1 or self.channels[0] < FEW_CHANNELS
        self.joined = self.summed or size >= LARGE_MAP
        cells = [[_cell(head.kernel, *phase) for phase in PHASES] for head in heads]  # each [kt, 2, 2, C in, C out]
        groups = [[cell for four in cells for cell in reversed(four)]] if self.joined else [[cell] for cell in cells[0]]
        kernels = [np.concatenate(group, -1) for group in groups]
        if self.summed:
            self.kernels = [self.constant(tap) for tap in kernels[0]]
        else:
            times = [[j for _, j in time] for time in self.times]
            self.kernels = [[self.constant(np.concatenate(kernel[js], -2)) for kernel in kernels] for js in times]

    def on_clips(self, x: tf.Tensor) -> list[tf.Tensor]:
        if self.summed:
            return self._summed(x)
        frames = x.shape[1]
        x = pad(x, self.margin, 1)
        phases = []
        for taps, kernels in zip(self.times, self.kernels, strict=True):
            starts = [self.margin + offset for offset, _ in taps]
            seen = as_images(tf.concat([take(x, range(start, start + frames)) for start in starts], -1))
            y = self._joined(seen, kernels[0]) if self.joined else self._by_phase(seen, kernels)
            phases.append(as_clips(y, frames))
        return [interleave(phases)]

    def _by_phase(self, x: tf.Tensor, kernels: Sequence[Any]) -> tf.Tensor:
        """Padded images -> images of twice the size. No window of a phase is computed in vain."""
        height, width = (side - 2 for side in x.shape[1:3])
        bias = self.bias[: self.channels[0]]
        cells = []
        for (a, b), kernel in zip(PHASES, kernels, strict=True):
            window = x[:, a : a + height + 1, b : b + width + 1]
            cells.append(self._activated(tf.nn.conv2d(window, kernel, 1, "VALID") + bias))
        return interleave([interleave(cells[:2], axis=2), interleave(cells[2:], axis=2)])

    def _joined(self, x: tf.Tensor, kernel: Any) -> tf.Tensor:
        """The same by one convolution, which needs no copy of each phase's windows, but computes a border in vain."""
        return unfold(self._activated(tf.nn.conv2d(x, kernel, 1, "VALID") + self.bias))

    def _summed(self, x: tf.Tensor) -> list[tf.Tensor]:
        """A convolution for each temporal tap: where few channels come out, summing them beats stacking the input."""
        frames = x.shape[1]
        images = as_images(pad(x, 0, 1))
        phases = []
        for taps in self.times:
            summands = []
            for offset, j in taps:
                y = tf.nn.conv2d(images, self.kernels[j], 1, "VALID")
                y = as_clips(y + self.bias if offset == 0 else y, frames)  # each phase has one tap of offset 0
                summands.append(shift(y, offset))
            phases.append(functools.reduce(operator.add, summands))
        y = as_images(interleave(phases))
        outputs, start = [], 0
        for channels in self.channels:
            head = unfold(self._activated(y[..., start : start + 4 * channels]))
            outputs.append(as_clips(head, frames * len(phases)))
            start += 4 * channels
        return outputs

    def _activated(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.relu(x) if self.relu else x


def axis_taps(kernel: int, stride: int, phase: int) -> list[tuple[int, int]]:
    """What a padded transposed convolution sums along one axis: (input offset, kernel slice), by offset.

    Input i times slice j goes to output stride * i + j - before, of which every output
    stride * q + phase picks its own.
    """
    before = (kernel - stride) // 2
    found = [(offset, phase - stride * offset + before) for offset in (-1, 0, 1)]
    return [(offset, j) for offset, j in found if 0 <= j < kernel]


def _cell(kernel: np.ndarray, *phase: int) -> np.ndarray:
    """The part of a kernel [kt, 4, 4, C in, C out] that makes output pixels of a phase: [kt, 2, 2, C in, C out]."""
    rows, columns = ([j for _, j in axis_taps(4, 2, p)] for p in phase)
    return kernel[:, rows][:, :, columns]
