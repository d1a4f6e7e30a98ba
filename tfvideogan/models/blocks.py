"""What both papers' networks are made of: convolutions, batch normalisation, the ladder of sizes.

Functions on symbolic tensors: each adds layers to a functional Keras network.
4x4x4 convolutions of stride 2 with padding 1 are Keras' "same" on even sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfvideogan.models.batch_norm import BatchNormalization
from tfvideogan.models.spectral import SpectralConv3D

LEAKY_SLOPE = 0.2
# A value nearer to -1 or 1 could hardly be changed. This is the largest distance from which a copy, rounded to uint8,
# is still the value itself: half a level is 1 / 255.
RESIDUAL_MARGIN = 2.0**-8
SMALLEST_MAP = 4  # Every ladder ends at feature maps of 4x4 pixels.


def temporal_strides(frame_size: int, num_frames: int, spatial_levels: int = 0) -> list[int]:
    """Temporal stride of each spatial halving from `frame_size` down to 4x4, finest first.

    Time is halved with space for as long as there is more than one frame left. Sizes other
    than the papers' have fewer or more levels at the coarse end.

    Args:
        spatial_levels: how many of the finest levels leave the number of frames as it is (1 in MD-GAN).
    """
    levels = (frame_size // SMALLEST_MAP).bit_length() - 1
    strides = []
    for level in range(levels):
        halve = level >= spatial_levels and num_frames > 1
        strides.append(2 if halve else 1)
        num_frames //= strides[-1]
    return strides


def cube(temporal_stride: int) -> dict[str, Any]:
    """Kernel and strides of a level: 4x4x4 of stride 2, or 3x4x4 where the number of frames stays."""
    return {"kernel": (4 if temporal_stride == 2 else 3, 4, 4), "strides": (temporal_stride, 2, 2)}


def conv(x: Any, filters: int, kernel: int | Sequence[int], **options: Any) -> Any:
    """A 2D or 3D convolution, by the rank of `x`; see `_convolution` for the options."""
    layer = keras.layers.Conv2D if len(x.shape) == 4 else keras.layers.Conv3D
    return _convolution(layer, x, filters, kernel, **options)


def spectral_conv(x: Any, filters: int, kernel: int | Sequence[int], **options: Any) -> Any:
    """A 3D convolution under spectral normalisation; see `_convolution` for the options."""
    return _convolution(SpectralConv3D, x, filters, kernel, **options)


def deconv(x: Any, filters: int, kernel: int | Sequence[int], **options: Any) -> Any:
    """A 2D or 3D transposed convolution, by the rank of `x`; see `_convolution` for the options."""
    layer = keras.layers.Conv2DTranspose if len(x.shape) == 4 else keras.layers.Conv3DTranspose
    return _convolution(layer, x, filters, kernel, **options)


def _convolution(
    layer: type,
    x: Any,
    filters: int,
    kernel: int | Sequence[int],
    strides: int | Sequence[int] = 1,
    padding: str = "same",
    stddev: float = 0.02,
    use_bias: bool = True,
    bias: float = 0.0,
    name: str | None = None,
) -> Any:
    return layer(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=keras.initializers.RandomNormal(stddev=stddev),
        bias_initializer=keras.initializers.Constant(bias) if bias else "zeros",
        name=name,
    )(x)


def batch_norm(x: Any, epsilon: float = 1e-5, name: str | None = None) -> Any:
    """Batch normalisation as Torch had it: momentum 0.9 (Keras sense), gamma from N(1, 0.02)."""
    gamma = keras.initializers.RandomNormal(mean=1.0, stddev=0.02)
    return BatchNormalization(momentum=0.9, epsilon=epsilon, gamma_initializer=gamma, name=name)(x)


def batch_norm_relu(x: Any, name: str | None = None) -> Any:
    """Batch normalisation, then ReLU."""
    return keras.layers.ReLU()(batch_norm(x, name=name))


def leaky_relu(x: Any, slope: float = LEAKY_SLOPE) -> Any:
    """LeakyReLU with the papers' slope."""
    return keras.layers.LeakyReLU(negative_slope=slope)(x)


def head(x: Any, activation: str, name: str) -> Any:
    """A network's output: the activation, in float32 under every precision policy."""
    return keras.layers.Activation(activation, dtype="float32", name=name)(x)


@keras.saving.register_keras_serializable(package="tfvideogan")
class Residual(keras.layers.Layer):
    """A clip changed by a network: tanh(atanh(x) + u), in float32 under every precision policy (ours).

    Values x of the clip nearer to -1 or 1 than `RESIDUAL_MARGIN` are moved there, since their atanh would be infinite
    and their gradient zero. The layer computes the same by the addition theorem, as (x + tanh u) / (1 + x tanh u),
    since TFLite has no atanh.

    Call arguments:
        clip x [N, T, H, W, 3] in [-1, 1], and change u of the same shape, any real numbers -> clip in [-1, 1]. At
        u = 0 it is x. A clip of one frame stands for all.
    """

    def __init__(self, **kwargs: Any):  # Keras puts the name into copies and files only if this is called `kwargs`.
        super().__init__(**kwargs | {"dtype": "float32"})

    def call(self, clip: Any, change: Any) -> Any:
        limit = 1.0 - RESIDUAL_MARGIN
        clip, change = keras.ops.clip(clip, -limit, limit), keras.ops.tanh(change)
        return (clip + change) / (1.0 + clip * change)


@keras.saving.register_keras_serializable(package="tfvideogan")
class FirstFrame(keras.layers.Layer):
    """The first frame of clips [N, T, H, W, C], repeated T times, in float32 under every precision policy."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs | {"dtype": "float32"})

    def call(self, clip: Any) -> Any:
        return keras.ops.repeat(clip[:, :1], clip.shape[1], axis=1)


def batch_norms(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalisation layers of a functional network, in call order."""
    return [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]


def copy_layers(source: keras.Model, target: keras.Model) -> tuple[list[str], list[str]]:
    """Gives a network's layers the weights of another's layers of the same names, where their shapes agree.

    A layer of nothing but zeros keeps them: by it, a residual network begins with copying its input.

    Returns:
        The names of the layers that took weights, and of those that kept their own.
    """
    weights = {layer.name: layer.get_weights() for layer in source.layers}
    taken, kept = [], []
    for layer in target.layers:
        own, others = layer.get_weights(), weights.get(layer.name, [])
        fits = any(weight.any() for weight in own) and [w.shape for w in own] == [w.shape for w in others]
        if fits:
            layer.set_weights(others)
        if own:
            (taken if fits else kept).append(layer.name)
    return taken, kept


def synchronize(*networks: keras.Model) -> None:
    """Makes batch normalisation take its statistics over the clips of all replicas, not of each by itself."""
    for network in networks:
        for layer in batch_norms(network):
            layer.synchronized = True
