"""A generator as the same function in 2D operations, which mobile runtimes have fast and quantised kernels for.

A 3D convolution is a sum of 2D ones over temporal taps. With frames as images of one batch:

    convolution              the frames that its taps see are stacked on the channels: one CONV_2D
    transposed convolution   an output pixel of stride 2 x 2 x 2 is of one of eight phases, each of which sees two
neighbours along each axis: a 2x2 CONV_2D a phase, interleaved
      ... of large maps      the four spatial phases are channels of one CONV_2D: no copies of windows
      ... of few channels    a CONV_2D a temporal tap for all spatial phases, summed afterwards

Batch normalisation is folded with its inference statistics, and heads on the same feature
map are one convolution. Frames that must be equal are computed once: the Base-Net, which
sees one frame repeated, encodes three time slices (first, last, those between) instead of T.

`docs/performance.md` tells what else was tried and what each gave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from export import layers_2d
from export.layers_2d import TRANSPOSED, Index, Weights
from export.rearrange import take
from tfvideogan.models.adversarial import AdversarialModel

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv3D, *TRANSPOSED)
ELEMENTWISE = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Activation, keras.layers.BatchNormalization)


def sampler(model: AdversarialModel, lowering: bool) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """From a batch of `model.sampling_input` to the dict of outputs: the lowered network, or the model itself."""
    return lower(model) if lowering else lambda inputs: model(inputs, training=False)


def lower(model: AdversarialModel) -> keras.Model:
    """The network that the model samples with, made of 2D operations.

    Its weights are copies, folded with the batch normalisation statistics of this moment.

    Returns:
        latents [N, 100] or frame [N, H, W, 3] in [-1, 1] -> the dict that the model returns.
    """
    spec = model.sampling_input
    inputs = keras.Input(spec.shape[1:], name=spec.name)
    if not model.repeats_frame:
        return keras.Model(inputs, _lower(model.sampling_generator)(inputs), name="lowered")
    clip = _reshape(inputs, (1, *spec.shape[1:]))
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
    """Lowers a network's layers in call order: a `call_function` of `keras.models.clone_model`."""

    def __init__(self, network: keras.Model):
        self.network = network
        self.consumers: dict[int, list[Any]] = {}
        for operation in network.operations:
            for tensor in keras.tree.flatten(operation.input):
                self.consumers.setdefault(id(tensor), []).append(operation)
        self.folded: set[str] = set()
        self.waiting: dict[str, Any] = {}  # outputs of heads that were computed with another's
        self._indices: dict[int, tuple[Any, Index]] = {}  # holds the tensors, so that an id stays one tensor's

    def remember(self, x: Any, index: Index) -> Any:
        """Notes that frame `index[t]` of `x` [N, U, H, W, C] stands for frame t of a clip."""
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
        if isinstance(layer, keras.layers.Reshape):
            return _reshape(inputs[0], layer.target_shape)
        outputs = layer(*inputs, **options)
        return self.remember(outputs, self.index(inputs[0])) if isinstance(layer, ELEMENTWISE) else outputs

    def _convolve(self, layer: Any, x: Any) -> Any:
        if layer.padding == "valid":
            return layers_2d.Product(self._fold(layer), isinstance(layer, TRANSPOSED))(self._all_frames(x))
        if not isinstance(layer, TRANSPOSED):
            lowered = layers_2d.Convolution(self._fold(layer), self.index(x) if len(x.shape) == 5 else (0,))
            return self.remember(lowered(x), lowered.index)
        twins = [other for other in self.consumers[id(layer.input)] if _are_twins(layer, other)]
        lowered = layers_2d.TransposedConvolution([self._fold(head) for head in [layer, *twins]], x.shape[-2])
        outputs = lowered(self._all_frames(x))
        self.waiting.update({head.name: output for head, output in zip(twins, outputs[1:], strict=True)})
        return outputs[0]

    def _add(self, layer: keras.layers.Layer, x: Any, y: Any) -> Any:
        """A decoder's features and those of a skip; either may stand for several frames each."""
        if self.index(x) == self.index(y):
            return self.remember(layer([x, y]), self.index(x))
        # Not each run of equal frames by itself: TFLite's converter then leaves int8's sums in float.
        return layer([self._all_frames(x), self._all_frames(y)])

    def _all_frames(self, x: Any) -> Any:
        if len(x.shape) == 4 or self.index(x) == tuple(range(x.shape[1])):
            return x
        return keras.layers.Lambda(take, arguments={"frames": self.index(x)})(x)

    def _fold(self, layer: Any) -> Weights:
        """A convolution's weights, with the batch normalisation and the ReLU that only it feeds."""
        weights = Weights.of(layer)
        for kind in (keras.layers.BatchNormalization, keras.layers.ReLU):
            after = self.consumers.get(id(layer.output), [])
            if len(after) == 1 and isinstance(after[0], kind):
                layer = after[0]
                self.folded.add(layer.name)
                normalises = isinstance(layer, keras.layers.BatchNormalization)
                weights = weights.normalised(layer) if normalises else weights.rectified()
        return weights


def _reshape(x: Any, shape: tuple[int, ...]) -> Any:
    """Keras' layer without the batch size, which it works out inside the graph: mobile runtimes then plan no memory."""
    return keras.layers.Lambda(tf.reshape, arguments={"shape": (-1, *shape)})(x)


def _are_twins(one: Any, other: Any) -> bool:
    """Whether two heads on the same features can be one convolution."""
    if one is other or type(one) is not type(other):
        return False
    return (one.kernel_size, one.strides, one.padding) == (other.kernel_size, other.strides, other.padding)
