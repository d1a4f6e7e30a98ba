"""Video-GAN: generating videos with scene dynamics.

Vondrick, Pirsiavash, Torralba, NIPS 2016, arXiv 1609.02612,
with the layer sizes of the released Torch7 code.

    G(z) = m(z) * f(z) + (1 - m(z)) * b(z)                                   (eq. 2)

A 3D stream makes a moving foreground f and its mask m, a 2D stream a still
background b. With an encoder in place of the noise the same network predicts the
future of a frame.

Deviations: the paper's conditional network has a bottleneck of 100 values, which the
released program lacks, and so does this one. Sizes other than 64x64x32 are ours: they have
fewer or more levels at the coarse end, and the width stops growing at 8 * base_width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfvideogan import config, losses
from tfvideogan.models import blocks, figures
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.batch_norm import frozen_statistics
from tfvideogan.models.generative import Tensors

LATENT_DIM = 100
SMALLEST_FRAME = config.SMALLEST_FRAME["vgan"]


def two_stream_generator(
    base_width: int = 64, frame_size: int = 64, num_frames: int = 32, init_stddev: float = 0.01
) -> keras.Model:
    """Noise to a clip by a still background and a masked moving foreground.

    Args:
        base_width: channels of the finest feature map; the coarsest has 8 times as many.
        frame_size: height and width in pixels, a power of two from 16.
        num_frames: frames a clip, a power of two from 2.
        init_stddev: standard deviation of the initial weights (the paper's 0.01).

    Returns:
        latents [N, 100] -> dict of `clip` [N, T, H, W, 3] and `foreground` of the same
        shape in [-1, 1], `mask` [N, T, H, W, 1] in [0, 1], `background` [N, 1, H, W, 3]
        in [-1, 1].

    Raises:
        ValueError: a size that cannot be built.
    """
    config.check_networks(base_width, frame_size, num_frames, SMALLEST_FRAME)
    latents = keras.Input([LATENT_DIM], name="latents")
    trunk = _video_trunk_from_latents(latents, base_width, frame_size, num_frames, init_stddev)
    noise_map = keras.layers.Reshape([1, 1, LATENT_DIM])(latents)
    widths = _widths(base_width, frame_size)
    x = blocks.deconv(noise_map, widths[0], blocks.SMALLEST_MAP, padding="valid", stddev=init_stddev, name="b_conv1")
    background = _background_stream(blocks.batch_norm_relu(x, name="b_bn1"), widths[1:], init_stddev)
    return keras.Model(latents, _fuse(trunk, background, init_stddev), name="two_stream_generator")


def one_stream_generator(
    base_width: int = 64, frame_size: int = 64, num_frames: int = 32, init_stddev: float = 0.01
) -> keras.Model:
    """The paper's baseline: the foreground trunk with one head, without mask and background.

    Arguments and errors are those of `two_stream_generator`.

    Returns:
        latents [N, 100] -> dict of `clip` [N, T, H, W, 3] in [-1, 1].
    """
    config.check_networks(base_width, frame_size, num_frames, SMALLEST_FRAME)
    latents = keras.Input([LATENT_DIM], name="latents")
    trunk = _video_trunk_from_latents(latents, base_width, frame_size, num_frames, init_stddev)
    clip = blocks.deconv(trunk, 3, 4, strides=2, stddev=init_stddev, name="f_head")
    return keras.Model(latents, {"clip": blocks.head(clip, "tanh", "clip")}, name="one_stream_generator")


def conditional_generator(
    base_width: int = 128, frame_size: int = 64, num_frames: int = 32, init_stddev: float = 0.01
) -> keras.Model:
    """A frame to the clip that follows it: an encoder in place of the noise.

    Arguments and errors are those of `two_stream_generator`.

    Returns:
        frame [N, H, W, 3] in [-1, 1] -> the dict of `two_stream_generator`.
    """
    config.check_networks(base_width, frame_size, num_frames, SMALLEST_FRAME)
    frame = keras.Input([frame_size, frame_size, 3], name="frame")
    widths = _widths(base_width, frame_size)
    code = _frame_encoder(frame, widths[::-1], init_stddev)  # [N, 4, 4, widths[0]]
    background = _background_stream(code, widths[1:], init_stddev)
    strides = blocks.temporal_strides(frame_size, num_frames)
    seed_frames = num_frames // 2 ** strides.count(2)
    x = keras.layers.Reshape([1, *code.shape[1:]])(code)
    x = blocks.deconv(x, widths[0], (seed_frames, 1, 1), padding="valid", stddev=init_stddev, name="f_conv1")
    trunk = _video_trunk(blocks.batch_norm_relu(x, name="f_bn1"), widths[1:], strides, init_stddev)
    return keras.Model(frame, _fuse(trunk, background, init_stddev), name="conditional_generator")


def discriminator(
    base_width: int = 64, frame_size: int = 64, num_frames: int = 32, init_stddev: float = 0.01, spectral: bool = False
) -> keras.Model:
    """A clip to two logits, class 0 fake and class 1 real.

    Other arguments, and errors, are those of `two_stream_generator`.

    Args:
        spectral: spectral normalisation of every convolution in place of batch normalisation (ours).

    Returns:
        clip [N, T, H, W, 3] in [-1, 1] -> logits [N, 2].
    """
    config.check_networks(base_width, frame_size, num_frames, SMALLEST_FRAME)
    x = clip = keras.Input([num_frames, frame_size, frame_size, 3], name="clip")
    conv = blocks.spectral_conv if spectral else blocks.conv
    strides = blocks.temporal_strides(frame_size, num_frames)
    for level, (width, stride) in enumerate(zip(_widths(base_width, frame_size)[::-1], strides, strict=True)):
        x = conv(x, width, **blocks.cube(stride), stddev=init_stddev, name=f"conv{level + 1}")
        if level > 0 and not spectral:
            x = blocks.batch_norm(x, epsilon=1e-3, name=f"bn{level + 1}")
        x = blocks.leaky_relu(x)
    x = conv(x, 2, x.shape[1:4], padding="valid", stddev=init_stddev, name="logits_conv")
    return keras.Model(clip, keras.layers.Reshape([2], dtype="float32", name="logits")(x), name="discriminator")


def _widths(base_width: int, frame_size: int) -> list[int]:
    """Channels of the feature maps from 4x4 up to half the frame size: 8, 4, 2, 1 * base_width."""
    levels = len(blocks.temporal_strides(frame_size, num_frames=1))
    return [base_width * 2 ** min(level, 3) for level in reversed(range(levels))]


def _video_trunk_from_latents(latents: Any, base_width: int, frame_size: int, num_frames: int, stddev: float) -> Any:
    """Latents [N, 100] -> [N, T/2, H/2, W/2, base_width]; the coarsest map is 2x4x4 at the paper's size."""
    widths = _widths(base_width, frame_size)
    strides = blocks.temporal_strides(frame_size, num_frames)
    seed_shape = (num_frames // 2 ** strides.count(2), blocks.SMALLEST_MAP, blocks.SMALLEST_MAP)
    x = keras.layers.Reshape([1, 1, 1, LATENT_DIM])(latents)
    x = blocks.deconv(x, widths[0], seed_shape, padding="valid", stddev=stddev, name="f_conv1")
    return _video_trunk(blocks.batch_norm_relu(x, name="f_bn1"), widths[1:], strides, stddev)


def _video_trunk(x: Any, widths: Sequence[int], strides: Sequence[int], stddev: float) -> Any:
    """3D transposed convolutions up to half the frame's size; the heads make the last doubling."""
    for level, (width, stride) in enumerate(zip(widths, strides[:0:-1], strict=True)):
        x = blocks.deconv(x, width, **blocks.cube(stride), stddev=stddev, name=f"f_conv{level + 2}")
        x = blocks.batch_norm_relu(x, name=f"f_bn{level + 2}")
    return x


def _background_stream(x: Any, widths: Sequence[int], stddev: float) -> Any:
    """[N, 4, 4, C] -> background [N, 1, H, W, 3] in [-1, 1]."""
    for level, width in enumerate(widths):
        x = blocks.deconv(x, width, 4, strides=2, stddev=stddev, name=f"b_conv{level + 2}")
        x = blocks.batch_norm_relu(x, name=f"b_bn{level + 2}")
    x = blocks.head(blocks.deconv(x, 3, 4, strides=2, stddev=stddev, name="b_head"), "tanh", "background_frame")
    return keras.layers.Reshape([1, *x.shape[1:]], dtype="float32", name="background")(x)


def _frame_encoder(x: Any, widths: Sequence[int], stddev: float) -> Any:
    """Frame [N, H, W, 3] -> [N, 4, 4, widths[-1]]."""
    for level, width in enumerate(widths):
        x = blocks.conv(x, width, 4, strides=2, stddev=stddev, name=f"e_conv{level + 1}")
        if level > 0:
            x = blocks.batch_norm(x, epsilon=1e-3, name=f"e_bn{level + 1}")
        x = keras.layers.ReLU()(x)
    return x


def _fuse(trunk: Any, background: Any, stddev: float) -> dict[str, Any]:
    """Both heads on the trunk, and what they compose with the background."""
    f = blocks.deconv(trunk, 3, 4, strides=2, stddev=stddev, name="f_head")
    m = blocks.deconv(trunk, 1, 4, strides=2, stddev=stddev, name="m_head")
    return _composed(blocks.head(f, "tanh", "foreground"), blocks.head(m, "sigmoid", "mask"), background)


def _composed(foreground: Any, mask: Any, background: Any) -> dict[str, Any]:
    """Eq. 2, in which the mask is repeated over colour and the background over time."""
    clip = mask * foreground + (1.0 - mask) * background
    return {"clip": clip, "foreground": foreground, "mask": mask, "background": background}


def _with_joined_heads(generator: keras.Model, inputs: tf.Tensor) -> Tensors:
    """A generator's outputs in training mode, both heads computed by one convolution.

    It takes as long as that of a single head, since so few channels do not fill a processor (docs/performance.md). The
    variables are those of the generator's own layers.
    """
    heads = [generator.get_layer(name) for name in ("f_head", "m_head")]
    streams = keras.Model(generator.input, [heads[0].input, generator.output["background"]])
    trunk, background = streams(inputs, training=True)
    kernel = tf.concat([tf.cast(head.kernel, trunk.dtype) for head in heads], axis=-2)
    x = keras.ops.conv_transpose(trunk, kernel, heads[0].strides, heads[0].padding)
    x += tf.concat([tf.cast(head.bias, x.dtype) for head in heads], axis=0)
    f, m = tf.split(x, [head.filters for head in heads], axis=-1)
    return _composed(generator.get_layer("foreground")(f), generator.get_layer("mask")(m), background)


def latents(seed: int, count: int) -> tf.Tensor:
    """Latents [count, 100] from N(0, 1); row i depends on (seed, i) only, not on the count."""
    return tf.stack([tf.random.stateless_normal([LATENT_DIM], [seed, row]) for row in range(count)])


@keras.saving.register_keras_serializable(package="tfvideogan")
class VGAN(AdversarialModel):
    """Video-GAN as a Keras model: noise, or a frame, to a clip.

    Args:
        generator: one of this module's generators.
        discriminator: this module's discriminator, for clips of the same size.
        mask_prior: lambda of the mask prior (0.1 in the paper), for generators from noise
            that have a mask; the paper gives the conditional network none.
        first_frame_weight: lambda of the conditional network's first-frame loss (10).
        seed, ema, ema_warmup: as for `GenerativeModel`.

    Call arguments:
        latents [N, 100], or frames [N, H, W, 3] in [-1, 1] for the conditional generator.

    Example:
        model = VGAN(two_stream_generator(16), discriminator(16))
        model.compile()
        model.fit(clips)  # float [N, 32, 64, 64, 3] in [-1, 1]

    Reference: arXiv 1609.02612.
    """

    paper_adam: ClassVar = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999}

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        mask_prior: float = 0.1,
        first_frame_weight: float = 10.0,
        **options: Any,
    ):
        super().__init__(generator, discriminator, **options)
        self.mask_prior = mask_prior if self.has_mask and not self.predicts else 0.0
        self.first_frame_weight = first_frame_weight if self.predicts else 0.0

    @property
    def predicts(self) -> bool:
        return len(self.generator.input_shape) == 4

    @property
    def has_mask(self) -> bool:
        return "mask" in self.generator.output

    @property
    def figure_names(self) -> tuple[str, ...]:
        return "d_score_real", "d_score_fake"

    @property
    def loss_names(self) -> tuple[str, ...]:
        names = ["d_real", "d_fake", "g_adversarial"]
        names += ["g_mask_prior"] if self.mask_prior else []
        return tuple(names + (["g_first_frame"] if self.predicts else []))

    def generator_inputs(self, clips: tf.Tensor, step: tf.Tensor, wind: None = None) -> tf.Tensor:  # noqa: ARG002
        return clips[:, 0] if self.predicts else self.draw_latents(tf.shape(clips)[0], LATENT_DIM, step)

    def generate(self, inputs: tf.Tensor, generator: keras.Model, training: bool) -> Tensors:
        if training and self.has_mask:
            return _with_joined_heads(generator, inputs)
        return generator(inputs, training=training)

    def content_losses(self, clips: tf.Tensor, generated: Tensors) -> Tensors:
        terms = {}
        if self.mask_prior:
            terms["g_mask_prior"] = self.mask_prior * losses.mask_prior(generated["mask"])
        if self.predicts:
            first_frame = losses.content_l1(generated["clip"][:, 0], clips[:, 0])
            terms["g_first_frame"] = self.first_frame_weight * first_frame
        return terms

    def discriminator_losses(self, clips: tf.Tensor, generated: Tensors, training: bool = True) -> Tensors:
        # Real and fake clips pass separately, so that each have batch statistics of their own. The moving ones are of
        # real clips.
        real_logits = self.discriminator(clips, training=training)
        with frozen_statistics():
            fake_logits = self.discriminator(generated["clip"], training=training)
        figures.note_scores(real_logits, fake_logits)
        return {
            "d_real": losses.softmax_adversarial(real_logits, losses.REAL),
            "d_fake": losses.softmax_adversarial(fake_logits, losses.FAKE),
        }

    @frozen_statistics()
    def generator_losses(self, clips: tf.Tensor, generated: Tensors, training: bool = True) -> Tensors:
        # This is the non-saturating form: fakes are labelled as real.
        fake_logits = self.discriminator(generated["clip"], training=training)
        adversarial = losses.softmax_adversarial(fake_logits, losses.REAL)
        return {"g_adversarial": adversarial, **self.content_losses(clips, generated)}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "mask_prior": self.mask_prior,
            "first_frame_weight": self.first_frame_weight,
        }
