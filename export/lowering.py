"""A generator as the same function in 2D operations, for which mobile runtimes have fast and quantised kernels.

A 3D convolution is a sum of 2D ones over its temporal taps. With the frames as images of one batch, it becomes:

    convolution              one CONV_2D, of frames that are stacked on the channels as the taps see them
    transposed convolution   an output pixel of stride 2 x 2 x 2 has one of eight phases, each of which sees two
                             neighbours along each axis: a 2x2 CONV_2D for each phase, interleaved afterwards
      ... of few channels    a CONV_2D for each temporal tap, whose channels are the four spatial phases; they are
                             summed afterwards

Batch normalisation is folded into the weights with its inference statistics, and heads on the
same feature map become one convolution. Frames that must be equal are computed once: the Base-Net
sees one frame repeated T times, and so encodes three slices of time (the first, the last, and one
for all between) instead of T. Nothing inside has more than four dimensions, since delegates for
GPUs leave what has more to the CPU (`operators.gpu_share`).

`docs/performance.md` says what else was tried and what each step gained.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from export import layers_2d, operators
from export.layers_2d import TRANSPOSED, Index, Weights
from export.rearrange import clip_shape, take
from tfvideogan.models import blocks
from tfvideogan.models.adversarial import AdversarialModel

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.Conv3D, *TRANSPOSED)
ELEMENTWISE = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.Activation, keras.layers.BatchNormalization)


@dataclasses.dataclass(frozen=True)
class Sampler:
    """What an exported function computes.

    Attributes:
        specs: its inputs.
        sample: from a tensor for each of them to the dict of outputs.
        variables: those that it reads.
    """

    specs: tuple[tf.TensorSpec, ...]
    sample: Callable[..., dict[str, tf.Tensor]]
    variables: list[Any]


def sampler(model: AdversarialModel, lowering: bool, from_clip: bool = False, share: bool = False) -> Sampler:
    """The lowered network, or the model itself.

    Args:
        from_clip: a model that takes wind is given `clip` [N, T, H, W, 3] in its place, the frame as it drifts.
        share: a lowered network gives `share` [N, T, H, W, 1] as well, if it has one (`MDGAN.drifting_share`).
    """
    from_clip = from_clip and model.takes_wind
    specs = (tf.TensorSpec([None, *model.clip_shape], tf.float32, name="clip"),) if from_clip else model.sampling_inputs
    network = lower(model, from_clip, share) if lowering else model

    def sample(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        if from_clip and not lowering:
            return model.generate_from_clip(*inputs, model.sampling_generator, training=False)
        return network(inputs if len(inputs) > 1 else inputs[0], training=False)

    return Sampler(specs, sample, network.variables)


def lower(model: AdversarialModel, from_clip: bool = False, share: bool = False) -> keras.Model:
    """The network that the model samples with, made of 2D operations.

    Its weights are copies, into which the present statistics of batch normalisation are folded.

    Args:
        from_clip, share: as for `sampler`.

    Returns:
        A network from what the model is called on (`sampling_inputs`) to the dict that the model returns.
    """
    if model.takes_wind:
        return _lower_drifting(model, from_clip, share)
    (spec,) = model.sampling_inputs
    inputs = keras.Input(spec.shape[1:], name=spec.name)
    if not model.repeats_frame:
        return keras.Model(inputs, _lower(model.sampling_generator)(inputs), name="lowered")
    clip = _reshape(inputs, (1, *spec.shape[1:]))
    return keras.Model(inputs, _stages(model, clip, repeated=True), name="lowered")


def _lower_drifting(model: AdversarialModel, from_clip: bool, share: bool) -> keras.Model:
    """`lower` for a model that takes wind."""
    if from_clip:
        inputs = clip = keras.Input(model.clip_shape, name="clip")
    else:
        inputs = tuple(keras.Input(spec.shape[1:], name=spec.name) for spec in model.sampling_inputs)
        clip = keras.layers.Lambda(model.input_clip, name=operators.DRIFT)(inputs)
    return keras.Model(inputs, _stages(model, clip, repeated=False, share=share), name="lowered")


def _stages(model: AdversarialModel, clip: Any, repeated: bool, share: bool = False) -> dict[str, Any]:
    """MD-GAN's stages, lowered, from the Base-Net's clip, which `repeated` may be one frame for all."""
    base = model.sampling_base
    outputs = {"clip": base.output}
    if share and has_share(model):
        outputs["share"] = base.get_layer("mask").output
    of_base = _lower(keras.Model(base.input, outputs), repeated)(clip)
    if model.stage == 1:
        return of_base
    return of_base | {"clip": _lower(model.sampling_generator)(of_base["clip"]), "base": of_base["clip"]}


def has_share(model: AdversarialModel) -> bool:
    """Whether a model says of each pixel how much of it drifts."""
    return model.takes_wind and "mask" in {layer.name for layer in model.base_generator.layers}


def _lower(network: keras.Model, repeated: bool = False) -> keras.Model:
    """Lowers a functional network; with `repeated`, its input is one frame [N, 1, H, W, 3] that stands for all T."""
    shape = network.input_shape[1:]
    outer = keras.Input([1, *shape[1:]] if repeated else shape)
    inputs = keras.Input(clip_shape(outer.shape[1:]) if len(shape) > 1 else shape)
    walk = _Walk(network)
    if repeated:
        walk.remember(inputs, (0,) * shape[0])
    lowered = keras.models.clone_model(network, input_tensors=inputs, call_function=walk)
    outputs = keras.Model(inputs, lowered.output)(_reshape(outer, inputs.shape[1:]))
    return keras.Model(outer, keras.tree.map_structure(_in_shape_of, network.output, outputs))


class _Walk:
    """Lowers a network's layers in the order of their calls, as the `call_function` of `keras.models.clone_model`."""

    def __init__(self, network: keras.Model):
        self.network = network
        self.consumers: dict[int, list[Any]] = {}
        for operation in network.operations:
            for tensor in keras.tree.flatten(operation.input):
                self.consumers.setdefault(id(tensor), []).append(operation)
        self.folded: set[str] = set()
        self.waiting: dict[str, Any] = {}  # Outputs of heads that were computed together with an earlier one wait here.
        self._indices: dict[int, tuple[Any, Index]] = {}  # It holds the tensors, so that no other one gets the same id.

    def remember(self, x: Any, index: Index) -> Any:
        """Notes that frame `index[t]` of `x` [N, U, H*W, C] stands for frame t of a clip, and returns `x`."""
        self._indices[id(x)] = (x, index)
        return x

    def index(self, x: Any) -> Index:
        """For each frame of the clip that `x` stands for, the frame of `x` that it is."""
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
        if isinstance(layer, keras.layers.Concatenate):
            return layer([self._all_frames(x) for x in inputs[0]])
        if isinstance(layer, blocks.FirstFrame):
            first = keras.layers.Lambda(take, arguments={"frames": (0,)})(inputs[0])
            return self.remember(first, (0,) * inputs[0].shape[1])
        if isinstance(layer, keras.layers.Reshape):
            return _reshape(inputs[0], clip_shape(layer.target_shape))
        outputs = layer(*inputs, **options)
        return self.remember(outputs, self.index(inputs[0])) if isinstance(layer, ELEMENTWISE) else outputs

    def _convolve(self, layer: Any, x: Any) -> Any:
        if layer.padding == "valid":
            return layers_2d.Product(self._fold(layer), isinstance(layer, TRANSPOSED))(self._all_frames(x))
        size = layer.input.shape[-3:-1]
        if not isinstance(layer, TRANSPOSED):
            lowered = layers_2d.Convolution(self._fold(layer), self.index(x), size)
            return self.remember(lowered(x), lowered.index)
        twins = [other for other in self.consumers[id(layer.input)] if _are_twins(layer, other)]
        lowered = layers_2d.TransposedConvolution([self._fold(head) for head in [layer, *twins]], size)
        outputs = lowered(self._all_frames(x))
        self.waiting.update({head.name: output for head, output in zip(twins, outputs[1:], strict=True)})
        return outputs[0]

    def _add(self, layer: keras.layers.Layer, x: Any, y: Any) -> Any:
        """The sum of a decoder's features and a skip's, in each of which one frame may stand for several."""
        if self.index(x) == self.index(y):
            return self.remember(layer([x, y]), self.index(x))
        # All frames are added at once: TFLite's converter leaves a sum for each run of equal frames in float, even
        # for int8.
        return layer([self._all_frames(x), self._all_frames(y)])

    def _all_frames(self, x: Any) -> Any:
        if self.index(x) == tuple(range(x.shape[1])):
            return x
        return keras.layers.Lambda(take, arguments={"frames": self.index(x)})(x)

    def _fold(self, layer: Any) -> Weights:
        """A convolution's weights, including a batch normalisation and a ReLU that take nothing but its output."""
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
    """Reshapes each row. Keras' layer works out the batch size inside the graph, and runtimes then plan no memory."""
    return keras.layers.Lambda(tf.reshape, arguments={"shape": (-1, *shape)})(x)


def _in_shape_of(output: Any, lowered: Any) -> Any:
    """What a network gives, in its shape, with one channel where the lowered head beside others has it repeated."""
    channels = output.shape[-1]
    return _reshape(lowered if lowered.shape[-1] == channels else lowered[..., :channels], output.shape[1:])


def _are_twins(one: Any, other: Any) -> bool:
    """Whether two heads on the same features can become one convolution."""
    if one is other or type(one) is not type(other):
        return False
    return (one.kernel_size, one.strides, one.padding) == (other.kernel_size, other.strides, other.padding)
