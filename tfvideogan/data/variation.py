"""How a training varies the clips that it draws: windows, strides, mirrors, time reversed, crops and colours.

What is drawn for a clip holds for all its frames, and follows from the clip's seed alone.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import tensorflow as tf

# From RGB to YIQ, in which the colour of a pixel is a plane beside its brightness: to scale the plane is to change
# saturation, and to turn it is to change hue.
_YIQ = np.float32([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_LARGEST_TURN = math.pi / 4  # Hues turn by so many radians at most for a strength of 1.


@dataclasses.dataclass(frozen=True)
class Variation:
    """The options of `--max_temporal_stride`, `--flip`, `--reverse`, `--zoom` and `--color_jitter`.

    Attributes:
        max_temporal_stride: every s-th frame is taken, with s drawn from 1 to this number.
        flip: a clip is mirrored left to right with probability 1/2.
        reverse: a clip runs backwards with probability 1/2.
        zoom: a square whose side is 1/z of the frame's is cut out and enlarged, with log z drawn evenly from log 1 to
            the log of this number, and its place drawn evenly.
        color_jitter: s; contrast and saturation are multiplied by factors drawn from 1 - s to 1 + s, s/2 of the range
            of values is added or taken off at most, and hues turn by up to s * 45 degrees.
    """

    max_temporal_stride: int = 1
    flip: bool = False
    reverse: bool = False
    zoom: float = 1.0
    color_jitter: float = 0.0

    def frames_needed(self, num_frames: int) -> int:
        """How many frames a source's clips need for clips of `num_frames` at the largest stride."""
        return (num_frames - 1) * self.max_temporal_stride + 1

    def of(self, clip: tf.Tensor, num_frames: int, seed: tf.Tensor) -> tf.Tensor:
        """A clip uint8 [T, H, W, 3] of `num_frames` frames, made of a clip that has as many or more.

        Args:
            seed: int64 [2], the clip's own.
        """
        if self.max_temporal_stride > 1 or clip.shape[0] != num_frames:
            clip = self._window(clip, num_frames, seed)
        # `tf.reverse` is used since a slice with step -1 takes longer than decoding the clip.
        if self.flip:
            clip = tf.cond(_coin(_next(seed, 2)), lambda: tf.reverse(clip, [2]), lambda: clip)
        if self.reverse:
            clip = tf.cond(_coin(_next(seed, 3)), lambda: tf.reverse(clip, [0]), lambda: clip)
        if self.zoom > 1:
            clip = _zoomed(clip, self.zoom, _next(seed, 4))
        if self.color_jitter:
            clip = _recoloured(clip, self.color_jitter, _next(seed, 5))
        return clip

    def _window(self, clip: tf.Tensor, num_frames: int, seed: tf.Tensor) -> tf.Tensor:
        """Frames of the clip at a drawn stride, from a drawn first one on."""
        stride = tf.random.stateless_uniform([], seed, 1, self.max_temporal_stride + 1, tf.int32)
        last = tf.shape(clip)[0] - (num_frames - 1) * stride
        first = tf.random.stateless_uniform([], _next(seed, 1), 0, last, tf.int32)
        return tf.gather(clip, first + stride * tf.range(num_frames))


UNVARIED = Variation()


def _coin(seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform([], seed) < 0.5


def _zoomed(clip: tf.Tensor, largest: float, seed: tf.Tensor) -> tf.Tensor:
    """The same square of all frames, enlarged to theirs."""
    frames, height, width, _ = clip.shape
    zoom, down, right = tf.unstack(tf.random.stateless_uniform([3], seed))
    side = tf.exp(-zoom * math.log(largest))
    top, left = down * (1 - side), right * (1 - side)
    boxes = tf.tile([[top, left, top + side, left + side]], [frames, 1])
    return _to_bytes(tf.image.crop_and_resize(clip, boxes, tf.range(frames), [height, width]))


def _recoloured(clip: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Another contrast, saturation, brightness and hue, the same ones for all frames."""
    contrast, saturation, brightness, turn = tf.unstack(
        tf.random.stateless_uniform([4], seed, -strength, strength) * [1.0, 1.0, 255 / 2, _LARGEST_TURN]
    )
    across, along = (1 + saturation) * tf.cos(turn), (1 + saturation) * tf.sin(turn)
    plane = tf.stack([[1.0, 0.0, 0.0], [0.0, across, -along], [0.0, along, across]])
    colours = np.linalg.inv(_YIQ) @ plane @ _YIQ
    values = tf.cast(clip, tf.float32)
    mean = tf.reduce_mean(values)
    return _to_bytes((tf.einsum("thwc,dc->thwd", values, colours) - mean) * (1 + contrast) + mean + brightness)


def _to_bytes(values: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.clip_by_value(tf.round(values), 0, 255), tf.uint8)


def _next(seed: tf.Tensor, number: int) -> tf.Tensor:
    """The seed of another draw for the same clip."""
    return seed + tf.constant([0, number], seed.dtype)
