"""Video-GAN's discriminator as a classifier of actions (Vondrick et al., NIPS 2016, arXiv 1609.02612).

Its last layer is removed; dropout of 0.5 and a convolution from its 512 channels to the classes come in its place. All
layers are trained on (fine-tuning), or the new one alone on what the others give (the paper's logistic regression).
"""

from __future__ import annotations

from typing import Any

import keras

from tfvideogan.models import blocks

DROPOUT = 0.5


def encoder(discriminator: keras.Model) -> keras.Model:
    """Clips [N, T, H, W, 3] in [-1, 1] -> what the last layer of `vgan.discriminator` sees, [N, t, h, w, C].

    It shares the discriminator's layers, so that training it changes those.
    """
    return keras.Model(discriminator.input, discriminator.get_layer("logits_conv").input, name="encoder")


def head(features: keras.Model, num_classes: int, init_stddev: float) -> keras.Model:
    """Features of an `encoder` [N, t, h, w, C] -> logits [N, num_classes], in float32."""
    inputs = keras.Input(features.output_shape[1:], name="features")
    return keras.Model(inputs, _classes(inputs, num_classes, init_stddev), name="head")


def action_classifier(discriminator: keras.Model, num_classes: int, init_stddev: float) -> keras.Model:
    """Clips [N, T, H, W, 3] in [-1, 1] -> logits [N, num_classes], in float32; shares the discriminator's layers."""
    features = encoder(discriminator)
    return keras.Model(features.input, _classes(features.output, num_classes, init_stddev), name="action_classifier")


def _classes(x: Any, num_classes: int, stddev: float) -> Any:
    x = keras.layers.Dropout(DROPOUT, name="dropout")(x)
    x = blocks.conv(x, num_classes, x.shape[1:4], padding="valid", stddev=stddev, name="classes_conv")
    return keras.layers.Reshape([num_classes], dtype="float32", name="classes")(x)
