"""A generator as the same function in 2D operations, which mobile runtimes have fast and quantised kernels for.

A 3D convolution is a sum over temporal taps of 2D ones. Here frames are images of one
batch [N*T, H, W, C]:

    convolution              the frames that its taps see are stacked on the channels, one CONV_2D
    transposed convolution   output phase (p, a, b) of stride 2 x 2 x 2 sees two neighbours along each axis:
                             one 2x2 CONV_2D a phase, whose results DEPTH_TO_SPACE interleaves
      ... of few channels    one CONV_2D for all phases and temporal taps, which are summed afterwards

No product with a padded zero is spent but at the frame's border. Batch normalisation is
folded with its inference statistics, heads on the same feature map are one convolution,
and frames that must be equal are computed once: a Base-Net, which sees one frame
repeated, so encodes three time slices (first, last and those between) instead of T.
`docs/performance.md` tells what else was tried.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.models import vgan
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.mdgan import MDGAN

TRANSPOSED = (keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv3D, *TRANSPOSED)
ELEMENTWISE = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Activation, keras.layers.BatchNormalization)
FEW_CHANNELS = 16  # below, a convolution for each phase would leave most of a vector register empty

Index = tuple[int, ...]  # frame t of a clip is frame index[t] of those that were computed


def input_spec(model: AdversarialModel) -> tf.TensorSpec:
    """What the model samples from: `latents` [N, 100], or `frame` [N, H, W, 3] in [-1, 1]."""
    if not model.predicts:
        return tf.TensorSpec([None, vgan.LATENT_DIM], tf.float32, name="latents")
    return tf.TensorSpec([None, *model.discriminator.input_shape[2:]], tf.float32, name="frame")


def sampler(model: AdversarialModel, lowering: bool) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """What maps the inputs of `input_spec` to the model's dict of outputs: the lowered network, or the model's own."""
    return lower(model) if lowering else lambda inputs: model(inputs, training=False)


def lower(model: AdversarialModel) -> keras.Model:
    """The network that the model samples with, made of 2D operations.

    Its weights are copies, folded with the batch normalisation statistics of this moment.

    Returns:
        latents [N, 100] or frame [N, H, W, 3] in [-1, 1] -> the dict that the model returns.

    Raises:
        ValueError: a layer that has no lowered form.
    """
    spec = input_spec(model)
    inputs = keras.Input(spec.shape[1:], name=spec.name)
    if not isinstance(model, MDGAN):
        return keras.Model(inputs, _lower(model.sampling_generator)(inputs), name="lowered")
    clip = keras.layers.Reshape([1, *spec.shape[1:]])(inputs)
    if model.stage == 1:
        outputs = {"clip": _lower(model.sampling_generator, repeated=True)(clip)}
    else:
        base = _lower(model.base_generator, repeated=True)(clip)
        outputs = {"clip": _lower(model.sampling_generator)(base), "base": base}
    return keras.Model(inputs, outputs, name="lowered")


def _lower(network: keras.Model, repeated: bool = False) -> keras.Model:
    """A functional network layer by layer; `repeated`: its input is one frame [N, 1, H, W, 3], meant T times."""
    shape = network.input_shape[1:]
    inputs = keras.Input([1, *shape[1:]] if repeated else shape)
    walk = _Walk(network)
    if repeated:
        walk.remember(inputs, (0,) * shape[0])
    return keras.models.clone_model(network, input_tensors=inputs, call_function=walk)


class _Walk:
    """Lowers a network's layers in call order; a `call_function` of `keras.models.clone_model`."""

    def __init__(self, network: keras.Model):
        self.network = network
        self.consumers: dict[int, list[keras.layers.Layer]] = {}
        for operation in network.operations:
            for tensor in keras.tree.flatten(operation.input):
                self.consumers.setdefault(id(tensor), []).append(operation)
        self.folded: set[str] = set()
        self.waiting: dict[str, Any] = {}  # outputs of heads that were computed with another's
        self._indices: dict[int, tuple[Any, Index]] = {}  # the tensor is held, so that its id stays its own

    def remember(self, x: Any, index: Index) -> Any:
        """Notes that the frames of `x` [N, U, H, W, C] stand for those of a clip as `index` says."""
        self._indices[id(x)] = (x, index)
        return x

    def index(self, x: Any) -> Index:
        return self._indices[id(x)][1] if id(x) in self._indices else tuple(range(x.shape[1]))

    def __call__(self, layer: Any, *inputs: Any, **options: Any) -> Any:
        if layer.name in self.folded:
            return inputs[0]
        if layer.name in self.waiting:
            return self.waiting.pop(layer.name)
        if isinstance(layer, CONVOLUTIONS):
            return self._convolve(self.network.get_layer(layer.name), inputs[0])
        if isinstance(layer, keras.layers.Add):
            return self._add(layer, *inputs[0])
        outputs = layer(*inputs, **options)
        if isinstance(layer, ELEMENTWISE) and len(outputs.shape) == 5:
            self.remember(outputs, self.index(inputs[0]))
        return outputs

    def _convolve(self, layer: Any, x: Any) -> Any:
        if layer.padding == "valid":
            return Product(self._fold(layer))(self._whole(x))
        if not isinstance(layer, TRANSPOSED):
            index = self.index(x) if len(x.shape) == 5 else (0,)
            lowered = Convolution(self._fold(layer), index)
            return self.remember(lowered(x), lowered.index)
        heads = [layer, *(other for other in self.consumers[id(layer.input)] if _are_twins(layer, other))]
        lowered = TransposedConvolution([self._fold(head) for head in heads])
        outputs = lowered(self._whole(x))
        self.waiting.update({head.name: output for head, output in zip(heads[1:], outputs[1:], strict=True)})
        return outputs[0]

    def _whole(self, x: Any) -> Any:
        """All frames, those that are equal too."""
        if len(x.shape) == 4 or self.index(x) == tuple(range(x.shape[1])):
            return x
        return keras.layers.Lambda(_take, arguments={"frames": self.index(x)})(x)

    def _add(self, layer: keras.layers.Layer, x: Any, y: Any) -> Any:
        if self.index(x) == self.index(y):
            return self.remember(layer([x, y]), self.index(x))
        return keras.layers.Lambda(lambda both: _add_repeated(*both, self.index(y)))([self._whole(x), y])

    def _fold(self, layer: Any) -> Weights:
        """A convolution's weights with the batch normalisation and the ReLU that follow it."""
        weights = Weights.of(layer)
        for kind in (keras.layers.BatchNormalization, keras.layers.ReLU):
            after = self.consumers.get(id(layer.output), [])
            if len(after) == 1 and isinstance(after[0], kind):
                layer = after[0]
                self.folded.add(layer.name)
                weights = weights.normalised(layer) if hasattr(layer, "gamma") else weights.rectified()
        return weights


def _are_twins(one: Any, other: Any) -> bool:
    """Whether two heads can be one convolution."""
    if one is other or type(one) is not type(other):
        return False
    return (one.kernel_size, one.strides, one.padding) == (other.kernel_size, other.strides, other.padding)


@dataclasses.dataclass(frozen=True)
class Weights:
    """A convolution of any kind as a 3D one: kernel [kt, kh, kw, C in, C out] and bias, in float64."""

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
        mean, variance, gamma, beta = (
            variable.numpy().astype(np.float64)
            for variable in (norm.moving_mean, norm.moving_variance, norm.gamma, norm.beta)
        )
        scale = gamma / np.sqrt(variance + norm.epsilon)
        return dataclasses.replace(self, kernel=self.kernel * scale, bias=(self.bias - mean) * scale + beta)

    def rectified(self) -> Weights:
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
    """An unpadded convolution from, or to, a single position: a matrix product."""

    def __init__(self, weights: Weights, transposed: bool):
        super().__init__()
        self.size = weights.kernel.shape[:3] if transposed else (1, 1, 1)
        self.relu = weights.relu
        kernel = np.moveaxis(weights.kernel, 3, 0) if transposed else weights.kernel
        self.matrix = self.constant(kernel.reshape(weights.kernel.shape[3] if transposed else -1, -1 if transposed else kernel.shape[-1]))
        self.bias = self.constant(np.tile(weights.bias, np.prod(self.size)))
