"""The losses of both papers, as pure functions of logits, clips and features.

Every function computes in float32, whatever precision its arguments have. Every loss
is a scalar averaged over the batch.

Sources: Vondrick et al., NIPS 2016, arXiv 1609.02612 (Video-GAN);
Xiong et al., CVPR 2018, arXiv 1709.07592 (MD-GAN).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Distances = list[tuple[tf.Tensor, tf.Tensor]]

FAKE, REAL = 0, 1  # The class indices of Video-GAN's two logits.
_BLOCKS = 4  # A symmetric product is computed in so many rows of blocks, those below the diagonal only: 10 of 16.
_SMALLEST_BLOCKED = 256  # Smaller matrices are faster in one product.


def softmax_adversarial(logits: tf.Tensor, target: int) -> tf.Tensor:
    """Video-GAN's adversarial term: -log softmax(logits)[target].

    The discriminator minimises it with REAL on real clips and FAKE on generated
    ones; the generator minimises it with REAL on generated ones (the
    non-saturating form).

    Args:
        logits: [N, 2], class 0 is fake and class 1 is real.
        target: `REAL` or `FAKE`.
    """
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(-tf.nn.log_softmax(logits)[:, target])


def sigmoid_adversarial(logits: tf.Tensor, target: int) -> tf.Tensor:
    """MD-GAN's adversarial term: the standard log loss, computed on logits.

    With D = sigmoid(logits) it is -log D for a real target, and -log(1 - D) for a fake one.

    Args:
        logits: [N, 1], positive means real.
        target: `REAL` or `FAKE`.
    """
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(tf.nn.softplus(-logits if target == REAL else logits))


def mask_prior(mask: tf.Tensor) -> tf.Tensor:
    """Video-GAN's sparsity prior: the mean of the mask (a mean, not a sum).

    Args:
        mask: [N, T, H, W, 1] in [0, 1].
    """
    return tf.reduce_mean(tf.cast(mask, tf.float32))


def content_l1(generated: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of two clips (or frames) of the same shape in [-1, 1].

    On whole clips it is MD-GAN's content loss, on frames conditional Video-GAN's
    first-frame loss.
    """
    return tf.reduce_mean(tf.abs(tf.cast(generated, tf.float32) - tf.cast(real, tf.float32)))


def gram_matrix(features: tf.Tensor) -> tf.Tensor:
    """MD-GAN's motion features: g = H H^T / (M S), one matrix a clip.

    The rows of H are the channels at each time, so g holds which features occur
    together, within a frame and between frames.

    Args:
        features: [N, T, H, W, C], a layer of the discriminator.

    Returns:
        [N, M, M] in float32, M = C * T (channel-major), S = H * W.
    """
    features = tf.transpose(tf.cast(features, tf.float32), [0, 4, 1, 2, 3])  # [N, C, T, H, W]
    _, channels, times, height, width = features.shape
    rows, pixels = channels * times, height * width
    return _symmetric_product(tf.reshape(features, [-1, rows, pixels])) / float(rows * pixels)


@tf.custom_gradient
def _symmetric_product(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """x x^T of [N, M, S]. Its gradient is one product, (g + g^T) x, where TensorFlow's own takes two.

    The product itself is symmetric, so blocks above the diagonal are those below, transposed.
    """

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.matmul(upstream + tf.linalg.matrix_transpose(upstream), x)

    return _blocked_product(x), gradient


def _blocked_product(x: tf.Tensor) -> tf.Tensor:
    """x x^T of [N, M, S] from the blocks on and below its diagonal."""
    rows = x.shape[1]
    if rows < _SMALLEST_BLOCKED or rows % _BLOCKS:
        return tf.matmul(x, x, transpose_b=True)
    size = rows // _BLOCKS
    ends = range(size, rows + 1, size)
    below = [tf.matmul(x[:, end - size : end], x[:, :end], transpose_b=True) for end in ends]  # each [N, size, end]
    lines = []
    for i, line in enumerate(below):
        above = [tf.linalg.matrix_transpose(other[:, :, i * size : (i + 1) * size]) for other in below[i + 1 :]]
        lines.append(tf.concat([line, *above], axis=2))
    return tf.concat(lines, axis=1)


def probability_of_real(logits: tf.Tensor) -> tf.Tensor:
    """The mean probability of being real that a discriminator gives to clips: near 0 or 1 where it is saturated.

    Args:
        logits: [N, 1] of MD-GAN or [N, 2] of Video-GAN.
    """
    logits = tf.cast(logits, tf.float32)
    margins = logits[:, REAL] - logits[:, FAKE] if logits.shape[1] == 2 else logits[:, 0]
    return tf.reduce_mean(tf.sigmoid(margins))


def ranking_loss(refined: Any, real: Any, base: Any) -> tf.Tensor:
    """MD-GAN's ranking loss: the refined clip's motion near the real one's, far from stage 1's.

    With d(a, b) = ||g(a) - g(b)||_1, each layer gives
    -log(exp(-d(Y2, Y)) / (exp(-d(Y2, Y)) + exp(-d(Y2, Y1)))), which equals
    softplus(d(Y2, Y) - d(Y2, Y1)), a form that cannot overflow. The loss is the sum over
    the layers.

    Args:
        refined, real, base: the discriminator's features of Y2, Y and Y1: a tensor
            [N, T, H, W, C] of one layer, or a list or dict of several layers.
            Gram matrices [N, M, M] are taken as they are.

    Raises:
        ValueError: the three do not have the same number of layers.
    """
    return ranking_of_distances(ranking_distances(refined, real, base))


def ranking_of_distances(distances: Distances) -> tf.Tensor:
    """The ranking loss from what `ranking_distances` gives."""
    return tf.add_n([tf.reduce_mean(tf.nn.softplus(to_real - to_base)) for to_real, to_base in distances])


def ranking_distances(refined: Any, real: Any, base: Any) -> Distances:
    """d(Y2, Y) and d(Y2, Y1), each [N], of each layer. Arguments and errors are those of `ranking_loss`."""
    layers = zip(tf.nest.flatten(refined), tf.nest.flatten(real), tf.nest.flatten(base), strict=True)
    return [_distances_of_layer(*layer) for layer in layers]


def _distances_of_layer(refined: tf.Tensor, real: tf.Tensor, base: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    grams = [gram_matrix(x) if len(x.shape) == 5 else tf.cast(x, tf.float32) for x in (refined, real, base)]
    to_real = tf.reduce_sum(tf.abs(grams[0] - grams[1]), axis=[1, 2])  # [N]
    to_base = tf.reduce_sum(tf.abs(grams[0] - grams[2]), axis=[1, 2])
    return to_real, to_base
