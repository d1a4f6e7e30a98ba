"""Inflated 3D Inception (Carreira and Zisserman, arXiv 1705.07750, figure 3), whose logits are FVD's features.

As in the TF-Hub module i3d-kinetics-400/1: batch normalisation without scale, epsilon 0.001; average pooling over 2x7x7
without padding; the 400 logits are averaged over time, no softmax. 12,704,544 values.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from keras import layers

FRAME_SIZE = 224
FEATURES = 400
# Filters of each block: branch 0, branch 1 (1x1, 3x3), branch 2 (1x1, 3x3), branch 3.
BLOCKS = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def build_i3d(num_frames: int | None = None) -> keras.Model:
    """I3D with random weights: clips [N, T, 224, 224, 3] in [-1, 1] -> logits [N, 400], averaged over time.

    Args:
        num_frames: T, of at least 9; None for any.
    """
    clips = keras.Input([num_frames, FRAME_SIZE, FRAME_SIZE, 3])
    x = _unit(clips, 64, 7, "Conv3d_1a_7x7", stride=2)  # [N, T / 2, 112, 112, 64]
    x = layers.MaxPooling3D((1, 3, 3), (1, 2, 2), "same")(x)
    x = _unit(x, 64, 1, "Conv3d_2b_1x1")
    x = _unit(x, 192, 3, "Conv3d_2c_3x3")
    x = layers.MaxPooling3D((1, 3, 3), (1, 2, 2), "same")(x)  # [N, T / 2, 28, 28, 192]
    for name, filters in BLOCKS.items():
        if name == "Mixed_4b":
            x = layers.MaxPooling3D(3, 2, "same")(x)  # [N, T / 4, 14, 14, 480]
        if name == "Mixed_5b":
            x = layers.MaxPooling3D(2, 2, "same")(x)  # [N, T / 8, 7, 7, 832]
        x = inception_block(x, filters, name)
    x = layers.AveragePooling3D((2, 7, 7), 1, "valid")(x)  # [N, T / 8 - 1, 1, 1, 1024]
    x = layers.Conv3D(FEATURES, 1, name="Logits.Conv3d_0c_1x1.conv_3d")(x)
    return keras.Model(clips, layers.GlobalAveragePooling3D()(x), name="i3d")


def inception_block(x: keras.KerasTensor, filters: tuple[int, ...], name: str) -> keras.KerasTensor:
    """Four branches of a map [N, T, H, W, C], side by side on the channels."""
    second_3x3 = "0a" if name == "Mixed_5b" else "0b"  # That is what the checkpoints call it.
    branch_0 = _unit(x, filters[0], 1, f"{name}.Branch_0.Conv3d_0a_1x1")
    branch_1 = _unit(x, filters[1], 1, f"{name}.Branch_1.Conv3d_0a_1x1")
    branch_1 = _unit(branch_1, filters[2], 3, f"{name}.Branch_1.Conv3d_0b_3x3")
    branch_2 = _unit(x, filters[3], 1, f"{name}.Branch_2.Conv3d_0a_1x1")
    branch_2 = _unit(branch_2, filters[4], 3, f"{name}.Branch_2.Conv3d_{second_3x3}_3x3")
    branch_3 = layers.MaxPooling3D(3, 1, "same")(x)
    branch_3 = _unit(branch_3, filters[5], 1, f"{name}.Branch_3.Conv3d_0b_1x1")
    return layers.Concatenate()([branch_0, branch_1, branch_2, branch_3])


def _unit(x: keras.KerasTensor, filters: int, kernel: int, name: str, stride: int = 1) -> keras.KerasTensor:
    x = layers.Conv3D(filters, kernel, stride, "same", use_bias=False, name=f"{name}.conv_3d")(x)
    x = layers.BatchNormalization(scale=False, epsilon=1e-3, name=f"{name}.batch_norm")(x)
    return layers.ReLU()(x)


def set_weights(network: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Gives I3D the tensors of a checkpoint by their names, as `Mixed_3b/Branch_0/Conv3d_0a_1x1/conv_3d/w`."""
    names = {"kernel": "w", "bias": "b"}
    for layer in network.layers:
        for variable in layer.variables:
            name = f"{layer.name.replace('.', '/')}/{names.get(variable.name, variable.name)}"
            variable.assign(np.reshape(arrays[name], variable.shape))


def resized(clips: tf.Tensor) -> tf.Tensor:
    """Clips [N, T, H, W, 3] with frames of 224 x 224: bilinear between the centres of pixels, not antialiased.

    So do PyTorch's `interpolate` and the tools that are built on it; TensorFlow 1's `resize_bilinear`, of the first
    implementation of FVD, puts the corners of pixels on each other.
    """
    shape = tf.shape(clips)
    frames = tf.image.resize(tf.reshape(clips, tf.concat([[-1], shape[2:]], 0)), [FRAME_SIZE, FRAME_SIZE])
    return tf.reshape(frames, tf.concat([shape[:2], [FRAME_SIZE, FRAME_SIZE, 3]], 0))
