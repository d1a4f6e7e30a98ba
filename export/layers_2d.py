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

TRANSPOSED = (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
FEW_CHANNELS = 16  # below, a convolution for each phase would leave most of a vector register empty
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

    Along each axis output s*q + p is the sum over its taps (e, j) of input q + e times kernel slice j.

    Args:
        heads: their weights; several, or those with few channels, are one convolution.
    """

    def __init__(self, heads: Sequence[Weights]):
        super().__init__()
        self.relu = heads[0].relu
        self.bias = [self.constant(head.bias) for head in heads]
        taps, stride = heads[0].kernel.shape[0], heads[0].strides[0]
        self.margin = int(taps > 1)
        self.times = [axis_taps(taps, stride, phase) for phase in range(stride)]
        self.in_phases = len(heads) == 1 and self.bias[0].shape[0] >= FEW_CHANNELS
        cells = [[_cell(head.kernel, *phase) for phase in PHASES] for head in heads]  # each [kt, 2, 2, C in, C out]
        if self.in_phases:
            times = [[j for _, j in time] for time in self.times]
            self.kernels = [[self.constant(np.concatenate(cell[js], -2)) for cell in cells[0]] for js in times]
        else:  # [2, 2, C in, kt * 4 * C out]; the reversed order of phases is told below
            joined = np.concatenate([cell for four in cells for cell in reversed(four)], -1)
            self.kernel = self.constant(np.moveaxis(joined, 0, 3).reshape(*joined.shape[1:4], -1))

    def on_clips(self, x: tf.Tensor) -> list[tf.Tensor]:
        return [self._in_phases(x)] if self.in_phases else self._at_once(x)

    def _in_phases(self, x: tf.Tensor) -> tf.Tensor:
        """A convolution for each phase of time, row and column, so that none meets a zero between pixels."""
        frames, height, width = x.shape[1:4]
        x = pad(x, self.margin, 1)
        phases = []
        for taps, kernels in zip(self.times, self.kernels, strict=True):
            seen = as_images(tf.concat([self._from(x, e, frames) for e, _ in taps], -1))
            cells = []
            for (a, b), kernel in zip(PHASES, kernels, strict=True):
                window = seen[:, a : a + height + 1, b : b + width + 1]
                y = tf.nn.conv2d(window, kernel, 1, "VALID") + self.bias[0]
                cells.append(tf.nn.relu(y) if self.relu else y)
            phases.append(as_clips(tf.nn.depth_to_space(tf.concat(cells, -1), 2), frames))
        return interleave(phases)

    def _at_once(self, x: tf.Tensor) -> list[tf.Tensor]:
        """One convolution for all phases and temporal taps on unstacked frames; the taps are summed afterwards.

        Window (g, h) of pixels g-1, g and h-1, h makes phase 1 of pixel g-1 and phase 0 of pixel g: the
        rows 2g-1 and 2g of the output. So the phases come in reversed order, and a border is cut off.
        """
        frames, height, width = x.shape[1:4]
        y = as_clips(tf.nn.conv2d(as_images(pad(x, 0, 1)), self.kernel, 1, "VALID"), frames)
        taps = sum(len(taps) for taps in self.times)
        summands = tf.split(pad(y, self.margin, 0), taps, -1) if taps > 1 else [y]
        phases = [
            functools.reduce(operator.add, [self._from(summands[j], e, frames) for e, j in taps]) for taps in self.times
        ]
        y = as_images(interleave(phases))
        parts = tf.split(y, [4 * bias.shape[0] for bias in self.bias], -1) if len(self.bias) > 1 else [y]
        outputs = []
        for part, bias in zip(parts, self.bias, strict=True):
            y = tf.nn.depth_to_space(part, 2)[:, 1 : 2 * height + 1, 1 : 2 * width + 1] + bias
            outputs.append(as_clips(tf.nn.relu(y) if self.relu else y, frames * len(phases)))
        return outputs

    def _from(self, padded: tf.Tensor, offset: int, frames: int) -> tf.Tensor:
        """As many frames as the input has, from that many before or after its first."""
        return take(padded, range(self.margin + offset, self.margin + offset + frames))


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


def as_images(x: tf.Tensor) -> tf.Tensor:
    """[N, T, H, W, C] -> [N*T, H, W, C]."""
    return tf.reshape(x, [-1, *x.shape[2:]])


def as_clips(x: tf.Tensor, frames: int) -> tf.Tensor:
    """[N*T, H, W, C] -> [N, T, H, W, C]."""
    return tf.reshape(x, [-1, frames, *x.shape[1:]])


def pad(x: tf.Tensor, frames: int, pixels: int) -> tf.Tensor:
    """Zeros around clips [N, T, H, W, C]."""
    if not frames and not pixels:
        return x
    return tf.pad(x, [[0, 0], [frames] * 2, [pixels] * 2, [pixels] * 2, [0, 0]])


def take(x: tf.Tensor, frames: Sequence[int]) -> tf.Tensor:
    """These frames of clips [N, T, H, W, C], in this order."""
    if list(frames) == list(range(x.shape[1])):
        return x
    runs: list[list[int]] = []  # of equal steps ahead: each is a slice
    for frame in frames:
        step = frame - runs[-1][-1] if runs else 0
        if step > 0 and (len(runs[-1]) == 1 or step == runs[-1][1] - runs[-1][0]):
            runs[-1].append(frame)
        else:
            runs.append([frame])
    slices = [x[:, run[0] : run[-1] + 1 : run[1] - run[0] if len(run) > 1 else 1] for run in runs]
    return tf.concat(slices, 1) if len(slices) > 1 else slices[0]


def interleave(phases: Sequence[tf.Tensor]) -> tf.Tensor:
    """Clips of every s-th frame -> clips of all frames [N, s*T, H, W, C]."""
    if len(phases) == 1:
        return phases[0]
    frames, *shape = phases[0].shape[1:]
    stacked = tf.concat([tf.reshape(phase, [-1, frames, 1, np.prod(shape)]) for phase in phases], 2)
    return tf.reshape(stacked, [-1, frames * len(phases), *shape])


def add_repeated(x: tf.Tensor, y: tf.Tensor, index: Index) -> tf.Tensor:
    """Clips x [N, T, H, W, C], plus y [N, U, H, W, C] whose frame `index[t]` stands for frame t."""
    sums, start = [], 0
    for frame, run in itertools.groupby(index):
        stop = start + len(list(run))
        sums.append(x[:, start:stop] + y[:, frame : frame + 1])
        start = stop
    return tf.concat(sums, 1)
