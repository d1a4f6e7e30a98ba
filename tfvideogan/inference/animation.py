"""A picture of any shape brought to life by a predictor: at the model's size or at its own, and for longer than a clip.

All of this is ours. Pictures are uint8 [H, W, 3], clips uint8 [T, H, W, 3].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf
from PIL import Image

from tfvideogan.data import clips
from tfvideogan.files import pictures
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.generative import Inputs

SEAM = 4  # So many frames of a clip and of the one that goes on from it are blended.


class Animator:
    """A predictor, ready for pictures.

    Args:
        fit: how a picture becomes the model's square: `squash` takes all of it, out of shape; `crop` takes the square
            in its middle; `pad` continues its edges to a square, and cuts them off again.
        full_size: clips have the size of the picture. What a model with `--residual` changes is enlarged, and the
            picture's own details are put on top of it; they move with the wind where the model's mask says so.
            Without `--residual`, or for a conditional Video-GAN, the model's clip is enlarged.
        batch_statistics: batch normalisation works in training mode.
    """

    def __init__(
        self, model: AdversarialModel, fit: str = "squash", full_size: bool = False, batch_statistics: bool = False
    ):
        self._model, self._fit, self._full_size = model, fit, full_size
        share = model.drifting_share() if full_size and model.is_residual else None

        def forward(inputs: Inputs) -> tuple[tf.Tensor, ...]:
            clip = model(inputs, training=batch_statistics)["clip"][0]
            return (clip, share(model.input_clip(inputs), training=batch_statistics)[0]) if share else (clip,)

        self._forward = tf.function(forward, reduce_retracing=True)

    def clip(self, picture: np.ndarray, wind: np.ndarray | None = None) -> np.ndarray:
        """What follows a picture: [T, H', W', 3] in its own shape, unless it was squashed or cropped to a square.

        Args:
            wind: float32 [2], for a model that takes it.
        """
        square, (clip, *share) = _to_square(picture, self._fit), self._forward(self.inputs(picture, wind))
        clip = clip.numpy()
        if self._full_size:
            shares = share[0].numpy() if share else [None] * len(clip)
            clip = np.stack(list(self._enlarged(square, clip, shares, np.zeros(2) if wind is None else wind)))
        else:
            clip = clips.to_uint8(clip)
        return clip if self._fit != "pad" else _without_padding(clip, picture.shape[:2])

    def inputs(self, picture: np.ndarray, wind: np.ndarray | None = None) -> Inputs:
        """What the model is called on for a picture: a batch of one."""
        size = self._model.frame_size
        frame = tf.constant(clips.to_float(pictures.resize(_to_square(picture, self._fit), size, size))[None])
        return frame if wind is None else (frame, tf.constant(wind[None]))

    def longer(self, picture: np.ndarray, wind: np.ndarray | None, num_frames: int) -> np.ndarray:
        """So many frames: clip after clip, each from a late frame of the one before it (`rolled_out`)."""
        return rolled_out(lambda start: self.clip(start, wind), picture, num_frames)

    def _enlarged(
        self, square: np.ndarray, clip: np.ndarray, shares: Iterable[np.ndarray | None], wind: np.ndarray
    ) -> Iterator[np.ndarray]:
        """Frame by frame, the model's clip at the size of the square: its colours, and the square's details.

        Where there is no share of what drifts, there are no details.
        """
        height, width = square.shape[:2]
        still, small = clips.to_float(square), clip.shape[1]
        for time, (frame, share) in enumerate(zip(clip, shares, strict=True)):
            start = np.float32(0)
            if share is not None:
                share = np.clip(_scaled(share, width, height), 0, 1)
                start = share * _moved(still, wind * time) + (1 - share) * still
                frame = frame - _scaled(start, small, small)
            yield clips.to_uint8(start + _scaled(frame, width, height))


def rolled_out(predict: Callable[[np.ndarray], np.ndarray], picture: np.ndarray, num_frames: int) -> np.ndarray:
    """Predictions one after another: each starts at the frame that is SEAM frames before the end of the one before.

    The frames that two clips share are a cross-fade from the earlier to the later one. Of clips of fewer than eight
    frames it is half of them.
    """
    frames = list(predict(picture))
    seam = min(SEAM, len(frames) // 2)
    while len(frames) < num_frames:
        following = predict(frames[-seam])
        for place in range(seam):
            share = (place + 1) / (seam + 1)
            blended = (1 - share) * frames[place - seam] + share * following[place]
            frames[place - seam] = np.uint8(np.rint(blended))
        frames += list(following[seam:])
    return np.stack(frames[:num_frames])


def seam_frames(clip_frames: int, num_frames: int) -> list[int]:
    """The frames of `rolled_out`, counted from 0, that are blended, or follow one that is.

    Args:
        clip_frames: frames of a single prediction.
        num_frames: frames in all.
    """
    seam = min(SEAM, clip_frames // 2)
    starts = range(clip_frames - seam, num_frames, clip_frames - seam)
    return [frame for start in starts for frame in range(start, start + seam + 1) if frame < num_frames]


def _to_square(picture: np.ndarray, fit: str) -> np.ndarray:
    """The part of a picture that a model is shown, as yet at the picture's own scale."""
    if fit == "crop":
        return pictures.centre_crop(picture)
    if fit == "pad":
        side = max(picture.shape[:2])
        missing = [side - length for length in picture.shape[:2]]
        return np.pad(picture, [*((gap // 2, gap - gap // 2) for gap in missing), (0, 0)], mode="edge")
    return picture


def _without_padding(clip: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The part of a square clip that shows a picture of this (height, width)."""
    side = clip.shape[1]
    lengths = [max(1, round(side * length / max(shape))) for length in shape]
    (top, left), (height, width) = ((side - length) // 2 for length in lengths), lengths
    return clip[:, top : top + height, left : left + width]


def _scaled(values: np.ndarray, width: int, height: int) -> np.ndarray:
    """Floats [H, W, C] at another size: bicubic, antialiased."""
    channels = [
        np.asarray(Image.fromarray(channel, "F").resize([width, height], Image.Resampling.BICUBIC))
        for channel in np.float32(values).transpose(2, 0, 1)
    ]
    return np.stack(channels, axis=-1)


def _moved(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Floats [H, W, C] moved by (u, v) widths to the right and heights downwards.

    Beyond its edges the picture goes on as in a mirror, since a continued edge would be drawn out to streaks.
    """
    for axis, share in ((1, shift[0]), (0, shift[1])):
        length = picture.shape[axis]
        last = max(length - 1, 1)
        source = last - np.abs(last - np.mod(np.arange(length) - share * length, 2 * last))
        first = np.minimum(np.int64(source), last - 1)
        rest = np.float32(source - first).reshape(-1, *([1] * (2 - axis)))
        following = np.minimum(first + 1, length - 1)
        picture = picture.take(first, axis) * (1 - rest) + picture.take(following, axis) * rest
    return picture
