"""MD-GAN: learning to generate time-lapse videos using multi-stage dynamic GANs.

Xiong, Luo, Ma, Liu, Luo, CVPR 2018, arXiv 1709.07592, with
the layer sizes of the released networks (generators and the stage-2 discriminator).

    Y1 = G1(X)   Base-Net: X is the first frame repeated; content, L1
    Y2 = G2(Y1)  Refine-Net: motion, Gram matrices and a ranking loss

Ours, and off by default: with `residual` each network predicts the change of its input; with `drift` X is the first
frame drifting with a mean wind, which is given beside it, since one frame does not tell which way clouds go.

Deviations: the authors released no training code, so D1 has the layers of their D2, and the
Base-Net is frozen in stage 2 and runs with inference statistics. Sizes other than
128x128x32 are ours: they have fewer or more levels at the coarse end, and the width
stops growing at 16 * base_width.
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
from tfvideogan.models.drift import drifting_clip
from tfvideogan.models.equal_frames import RepeatedFrameNet, repeat_frame
from tfvideogan.models.generative import Inputs, Tensors

SMALLEST_FRAME = config.SMALLEST_FRAME["mdgan"]
_MASK_BIAS = 3.0  # Its sigmoid is 0.95.


def base_generator(
    base_width: int = 32,
    frame_size: int = 128,
    num_frames: int = 32,
    init_stddev: float = 0.02,
    residual: bool = False,
    drift: str = "off",
) -> keras.Model:
    """G1, the Base-Net: a 3D U-Net whose skips are additions.

    Args:
        base_width: channels of the finest feature map; the coarsest has up to 16 times as many.
        frame_size: height and width in pixels, a power of two from 32.
        num_frames: frames a clip, a power of two from 2.
        init_stddev: standard deviation of the initial weights.
        residual: the network predicts the change of its input (`blocks.Residual`, ours). Its last weights are zero at
            the start, so that training begins with copying.
        drift: `on` or `fused` if the clips that come in drift (ours). The network then sees their first frame
            beside them, repeated, in three more channels. With `fused` it predicts the change of
            mask * clip + (1 - mask) * first frame, with a mask of its own, as equation 2 of Video-GAN
            (arXiv 1609.02612) fuses its streams; training begins with the mask at 0.95.

    Returns:
        clip [N, T, H, W, 3] (a frame repeated T times, or drifting) -> clip of the same shape, both in [-1, 1].

    Raises:
        ValueError: a size that cannot be built, or `fused` without `residual`.
    """
    config.check_drift(drift, residual)
    size = base_width, frame_size, num_frames, init_stddev
    return _u_net("base_generator", *size, finest_skip=0, residual=residual, drift=drift)


def refine_generator(
    base_width: int = 32,
    frame_size: int = 128,
    num_frames: int = 32,
    init_stddev: float = 0.02,
    residual: bool = False,
    skips: str = "paper",
) -> keras.Model:
    """G2, the Refine-Net: G1 without the skips from conv1 and conv2.

    Other arguments, result and errors are those of `base_generator`; the input is Y1.

    Args:
        skips: `paper`, or `all` that G1 has (ours, to see what their absence does).
    """
    size = base_width, frame_size, num_frames, init_stddev
    return _u_net("refine_generator", *size, finest_skip=0 if skips == "all" else 2, residual=residual)


def _u_net(
    name: str,
    base_width: int,
    frame_size: int,
    num_frames: int,
    stddev: float,
    finest_skip: int,
    residual: bool,
    drift: str = "off",
) -> keras.Model:
    strides = _check_and_strides(base_width, frame_size, num_frames)
    x = clip = keras.Input([num_frames, frame_size, frame_size, 3], name="clip")
    if drift != "off":
        still = blocks.FirstFrame(name="still")(clip)
        x = keras.layers.Concatenate(name="clip_and_still")([clip, still])
    features = _trunk(x, _widths(base_width, len(strides)), strides, stddev, finest_skip)

    options = blocks.cube(strides[0]) | {"stddev": 0.0 if residual else stddev}
    x = blocks.deconv(features, 3, use_bias=False, **options, name=f"up_conv{len(strides) + 1}")
    if not residual:
        return keras.Model(clip, blocks.head(x, "tanh", "generated"), name=name)
    start = clip
    if drift == "fused":
        m = blocks.deconv(features, 1, bias=_MASK_BIAS, **options, name="mask_conv")
        mask = blocks.head(m, "sigmoid", "mask")
        start = mask * clip + (1.0 - mask) * still
    return keras.Model(clip, blocks.Residual(name="generated")(start, x), name=name)


def _trunk(x: Any, widths: Sequence[int], strides: Sequence[int], stddev: float, finest_skip: int) -> Any:
    """Clips [N, T, H, W, C] -> features [N, T, H/2, W/2, widths[0]]: all of a U-Net but its last convolution."""
    options = {"stddev": stddev, "use_bias": False}
    skips = []
    for level, (width, stride) in enumerate(zip(widths, strides, strict=True)):
        x = blocks.conv(x, width, **blocks.cube(stride), **options, name=f"down_conv{level + 1}")
        if level > 0:
            x = blocks.leaky_relu(blocks.batch_norm(x, name=f"down_bn{level + 1}"))
        skips.append(x)

    seed_shape = x.shape[1:4]  # It is (2, 4, 4) at the paper's size.
    x = blocks.conv(x, widths[-1], seed_shape, padding="valid", **options, name=f"down_conv{len(strides) + 1}")
    x = blocks.deconv(x, widths[-1], seed_shape, padding="valid", **options, name="up_conv1")  # x was [N, 1, 1, 1, C].
    x = blocks.batch_norm_relu(x, name="up_bn1")
    for level in reversed(range(len(strides))):  # x is at the resolution of skips[level].
        if level >= finest_skip:
            x = keras.layers.Add()([x, skips[level]])
        if level > 0:
            number = len(strides) - level + 1
            x = blocks.deconv(x, widths[level - 1], **blocks.cube(strides[level]), **options, name=f"up_conv{number}")
            x = blocks.batch_norm_relu(x, name=f"up_bn{number}")
    return x


def discriminator(
    base_width: int = 32, frame_size: int = 128, num_frames: int = 32, init_stddev: float = 0.02, spectral: bool = False
) -> keras.Model:
    """D1 and D2: a logit a clip, and the features whose Gram matrices describe motion.

    Other arguments, and errors, are those of `base_generator`.

    Args:
        spectral: spectral normalisation of every convolution in place of batch normalisation (ours). The convolutions
            then have biases, since nothing else shifts their outputs.

    Returns:
        clip [N, T, H, W, 3] in [-1, 1] -> dict of `logits` [N, 1] (positive is real) and
        `conv1`, `conv3`, the first and third level after their activation.
    """
    strides = _check_and_strides(base_width, frame_size, num_frames)
    conv = blocks.spectral_conv if spectral else blocks.conv
    options = {"stddev": init_stddev, "use_bias": spectral}
    x = clip = keras.Input([num_frames, frame_size, frame_size, 3], name="clip")
    features = []
    for level, (width, stride) in enumerate(zip(_widths(base_width, len(strides)), strides, strict=True)):
        x = conv(x, width, **blocks.cube(stride), **options, name=f"conv{level + 1}")
        if level > 0 and not spectral:
            x = blocks.batch_norm(x, name=f"bn{level + 1}")
        # The released network's last slope is 0.01, not 0.2.
        x = blocks.leaky_relu(x, slope=0.01 if level == len(strides) - 1 else blocks.LEAKY_SLOPE)
        features.append(x)
    x = conv(x, 1, x.shape[1:4], padding="valid", **options, name="logits_conv")
    logits = keras.layers.Reshape([1], dtype="float32", name="logits")(x)
    return keras.Model(clip, {"logits": logits, "conv1": features[0], "conv3": features[2]}, name="discriminator")


def _check_and_strides(base_width: int, frame_size: int, num_frames: int) -> list[int]:
    """Temporal strides of the levels, finest first; the first convolution halves space only."""
    config.check_networks(base_width, frame_size, num_frames, SMALLEST_FRAME)
    return blocks.temporal_strides(frame_size, num_frames, spatial_levels=1)


def _widths(base_width: int, levels: int) -> list[int]:
    """Channels of the feature maps, finest first: 1, 2, 4, 8, 16, 16, ... * base_width."""
    return [base_width * 2 ** min(level, 4) for level in range(levels)]


@keras.saving.register_keras_serializable(package="tfvideogan")
class MDGAN(AdversarialModel):
    """MD-GAN as a Keras model: a frame to a time-lapse, one stage at a time.

    Without a Refine-Net the model trains stage 1; with one it trains stage 2 on the
    frozen Base-Net. Each stage has a discriminator of its own.

    Args:
        base_generator: G1.
        discriminator: D1 or D2, for clips of the same size.
        refine_generator: G2, for stage 2.
        adversarial_weight: factor of the adversarial term (1 in the paper).
        ranking_weight: lambda of the ranking loss (stage 2 only).
        takes_wind: the Base-Net's clips are frames that drift with a wind, which the model is given beside each.
        seed, ema, ema_warmup: as for `GenerativeModel`.

    Call arguments:
        frames [N, H, W, 3] in [-1, 1], with `takes_wind` the pair of these and of their wind
        [N, 2] (`drift.drifting_clip`) -> dict of `clip` [N, T, H, W, 3], and of `base`,
        what stage 1 made of it, when there is a stage 2.

    Example:
        model = MDGAN(base_generator(8, 64), discriminator(8, 64))
        model.compile()
        model.fit(clips)  # float [N, 32, 64, 64, 3] in [-1, 1]

    Reference: arXiv 1709.07592.
    """

    paper_adam: ClassVar = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.9}
    num_stages = 2

    def __init__(
        self,
        base_generator: keras.Model,
        discriminator: keras.Model,
        refine_generator: keras.Model | None = None,
        adversarial_weight: float = 1.0,
        ranking_weight: float = 1.0,
        takes_wind: bool = False,
        **options: Any,
    ):
        super().__init__(refine_generator or base_generator, discriminator, **options)
        self.base_generator = base_generator
        self._repeated_frame_nets: dict[int, RepeatedFrameNet] = {}  # Each holds its network, so no id comes again.
        self.adversarial_weight = adversarial_weight
        self.ranking_weight = ranking_weight
        self.takes_wind = takes_wind

    @property
    def stage(self) -> int:
        return 1 if self.generator is self.base_generator else 2

    @property
    def predicts(self) -> bool:
        return True

    @property
    def repeats_frame(self) -> bool:
        return not self.takes_wind

    @property
    def is_residual(self) -> bool:
        return isinstance(self.base_generator.get_layer("generated"), blocks.Residual)

    @property
    def sampling_base(self) -> keras.Model:
        """The Base-Net that a sample passes: of a model that trains it, its moving average when there is one."""
        return self.sampling_generator if self.stage == 1 else self.base_generator

    def drifting_share(self) -> keras.Model:
        """X [N, T, H, W, 3] -> the share [N, T, H, W, 1] of it that drifts, of which the rest is its first frame.

        It is the Base-Net's mask, or 1 for one that has none.
        """
        network = self.sampling_base
        if "mask" in {layer.name for layer in network.layers}:
            return keras.Model(network.input, network.get_layer("mask").output)
        return keras.Model(network.input, keras.ops.ones_like(network.input[..., :1]))

    @property
    def networks(self) -> dict[str, keras.Model]:
        return super().networks if self.stage == 1 else {"base": self.base_generator, **super().networks}

    @property
    def figure_names(self) -> tuple[str, ...]:
        scores = ("d_score_real", "d_score_fake")
        return scores if self.stage == 1 else (*scores, "ranking_distance_real", "ranking_distance_base")

    @property
    def loss_names(self) -> tuple[str, ...]:
        names = ("d_real", "d_fake", "g_adversarial", "g_content")
        return names if self.stage == 1 else (*names, "d_ranking", "g_ranking")

    def generator_inputs(self, clips: tf.Tensor, step: tf.Tensor, wind: tf.Tensor | None = None) -> Inputs:  # noqa: ARG002 - the step is for latents
        return (clips[:, 0], wind) if self.takes_wind else clips[:, 0]

    def generate(self, inputs: Inputs, generator: keras.Model, training: bool, base_training: bool = False) -> Tensors:
        """X -> Y1 -> Y2, where `generator` is the network of the model's own stage.

        In stage 2 the frozen Base-Net takes inference statistics, unless `base_training` is set.
        """
        if self.takes_wind:
            return self.generate_from_clip(self.input_clip(inputs), generator, training, base_training)
        if self.stage == 1:
            return {"clip": self._repeated_frame_net(generator)(inputs, training)}
        base = tf.stop_gradient(self._repeated_frame_net(self.base_generator)(inputs, base_training))
        return {"clip": generator(base, training=training), "base": base}

    def _repeated_frame_net(self, network: keras.Model) -> RepeatedFrameNet:
        """A Base-Net, or its moving average, as it is called on a frame, which is repeated."""
        if id(network) not in self._repeated_frame_nets:
            self._repeated_frame_nets[id(network)] = RepeatedFrameNet(network)
        return self._repeated_frame_nets[id(network)]

    def input_clip(self, inputs: Inputs) -> tf.Tensor:
        """X [N, T, H, W, 3] of what the model is called on: the frame repeated, or drifting with the wind."""
        if self.takes_wind:
            if not isinstance(inputs, (tuple, list)) or len(inputs) != 2:
                received = getattr(inputs, "shape", inputs)
                raise ValueError(f"this model takes a pair: frames [N, H, W, 3] and winds [N, 2]. Received: {received}")
            return drifting_clip(*inputs, self.num_frames)
        return repeat_frame(inputs, self.num_frames)

    def generate_from_clip(
        self, clip: tf.Tensor, generator: keras.Model, training: bool, base_training: bool = False
    ) -> Tensors:
        """The same as `generate`, from X itself."""
        if self.stage == 1:
            return {"clip": generator(clip, training=training)}
        base = tf.stop_gradient(self.base_generator(clip, training=base_training))
        return {"clip": generator(base, training=training), "base": base}

    def call(self, inputs: Inputs, training: bool = False) -> Tensors:
        return self.generate(inputs, self.sampling_generator, training, base_training=training)

    def content_losses(self, clips: tf.Tensor, generated: Tensors) -> Tensors:
        return {"g_content": losses.content_l1(generated["clip"], clips)}

    def discriminator_losses(self, clips: tf.Tensor, generated: Tensors, training: bool = True) -> Tensors:
        real = self.discriminator(clips, training=training)
        with frozen_statistics():
            fake = self.discriminator(generated["clip"], training=training)
        figures.note_scores(real["logits"], fake["logits"])
        terms = {
            "d_real": losses.sigmoid_adversarial(real["logits"], losses.REAL),
            "d_fake": losses.sigmoid_adversarial(fake["logits"], losses.FAKE),
        }
        if self.stage == 2:  # D2 maximises the ranking loss that G2 minimises.
            with frozen_statistics():
                base = self.discriminator(generated["base"], training=training)
            terms["d_ranking"] = -self.ranking_weight * losses.ranking_of_distances(_distances(fake, real, base))
        return terms

    @frozen_statistics()
    def generator_losses(self, clips: tf.Tensor, generated: Tensors, training: bool = True) -> Tensors:
        fake = self.discriminator(generated["clip"], training=training)
        adversarial = losses.sigmoid_adversarial(fake["logits"], losses.REAL)
        terms = {
            "g_adversarial": self.adversarial_weight * adversarial,
            **self.content_losses(clips, generated),
        }
        if self.stage == 2:
            real, base = (_features(self.discriminator(x, training=training)) for x in (clips, generated["base"]))
            distances = _distances(fake, real, base)
            terms["g_ranking"] = self.ranking_weight * losses.ranking_of_distances(distances)
            for name, of_layers in zip(("real", "base"), zip(*distances, strict=True), strict=True):
                figures.note(f"ranking_distance_{name}", tf.reduce_mean(tf.add_n(of_layers)))
        return terms

    def get_config(self) -> dict[str, Any]:
        refine_generator = self.generator if self.stage == 2 else None
        return super().get_config() | {
            "base_generator": keras.saving.serialize_keras_object(self.base_generator),
            "refine_generator": keras.saving.serialize_keras_object(refine_generator),
            "adversarial_weight": self.adversarial_weight,
            "ranking_weight": self.ranking_weight,
            "takes_wind": self.takes_wind,
        }


def _features(judged: Tensors) -> Tensors:
    """The features of clips that no gradient is wanted for."""
    return {name: tf.stop_gradient(judged[name]) for name in ("conv1", "conv3")}


def _distances(refined: Tensors, real: Tensors, base: Tensors) -> losses.Distances:
    """Those of the ranking loss over the discriminator's conv1 and conv3, its three branches sharing weights."""
    layers = [[branch["conv1"], branch["conv3"]] for branch in (refined, real, base)]
    return losses.ranking_distances(*layers)
