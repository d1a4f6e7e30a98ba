"""What `fit` and `evaluate` are given: clips [N, T, H, W, 3] in [-1, 1] and nothing beside them, or a ValueError."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3  # Rounding, as of clips that were resized, may pass the ends of the range by so much.
SAMPLE = 64  # The range is checked on so many clips of an array.


def check_data(data: Any, clip_shape: Sequence[int], takes_wind: bool = False) -> Any:
    """Returns what Keras is to iterate over, once it is known to hold clips.

    Of an array or tensor, shape, dtype and the range of up to 64 clips are checked; of a `tf.data.Dataset`, its
    element spec and the range of its first batch, which is read once more for this. Other iterables cannot be read
    twice: of these, the steps check shape and dtype as the first batch comes.

    Args:
        data: clips, a data set of batches of clips, or a tuple or list of one of them alone.
        clip_shape: (T, H, W, 3).
        takes_wind: whether the model wants pairs of clips and their wind [N, 2] in their place.

    Raises:
        ValueError: they are of another shape, dtype or range, or there is something beside them.
    """
    data = _alone(data)
    if takes_wind:
        return _check_pairs(data, clip_shape)
    if isinstance(data, tf.data.Dataset):
        _check_shape_and_dtype(_alone(data.element_spec), clip_shape)
        for batch in data.take(1):
            check_data(batch, clip_shape)
    elif hasattr(data, "shape") or isinstance(data, list | tuple | dict | None):
        _check_shape_and_dtype(data, clip_shape)
        _check_range(np.asarray(data[:: -(-len(data) // SAMPLE)]), data, clip_shape)
    return data


def _check_pairs(data: Any, clip_shape: Sequence[int]) -> Any:
    """`check_data` of clips with their wind."""
    if isinstance(data, tf.data.Dataset):
        clips, _ = apart(data.element_spec, takes_wind=True)
        _check_shape_and_dtype(clips, clip_shape)
        check_data(data.map(lambda clips, _: clips), clip_shape)
    elif isinstance(data, list | tuple) or hasattr(data, "shape"):
        clips, _ = apart(data, takes_wind=True)
        check_data(clips, clip_shape)
        data = tuple(data)
    return data


def apart(data: Any, takes_wind: bool) -> tuple[Any, tf.Tensor | None]:
    """What Keras hands to a step -> the clips, still as it hands them, and their wind [N, 2] if the model takes it.

    Raises:
        ValueError: the model takes wind, and these are no pairs of clips and float winds [N, 2].
    """
    if not takes_wind:
        return data, None
    data = _alone(data)
    pair = data if isinstance(data, list | tuple) else (data,)
    wind = pair[1] if len(pair) == 2 else None
    shape = tf.TensorShape(getattr(wind, "shape", [0]))
    if not shape.is_compatible_with([None, 2]) or "float" not in str(wind.dtype):
        received = [_described(part) if hasattr(part, "shape") else type(part).__name__ for part in pair]
        raise ValueError(f"this model takes clips with their wind, float32 [N, 2]. Received: {', '.join(received)}")
    return pair[0], wind


def training_clips(data: Any, clip_shape: Sequence[int]) -> tf.Tensor:
    """The clips, in float32, of what Keras hands to a training step: clips, (clips,) or (clips, None, None).

    Raises:
        ValueError: as the step is traced, clips of another shape or dtype, or something beside them.
        tf.errors.InvalidArgumentError: as it runs, a batch with fewer clips than replicas.
    """
    clips = _clips_of_step(data, clip_shape)
    message = "every replica needs a clip of every batch: let the data set drop a smaller remainder"
    with tf.control_dependencies([tf.debugging.assert_positive(tf.shape(clips)[0], message)]):
        return tf.identity(clips)


def evaluation_clips(data: Any, clip_shape: Sequence[int]) -> tuple[tf.Tensor, tf.Tensor]:
    """The same for an evaluation, and how many clips count: 0, beside a black one, where a replica has none."""
    clips = _clips_of_step(data, clip_shape)
    rows = tf.shape(clips)[0]
    missing = tf.fill([tf.maximum(1 - rows, 0), *clip_shape], -1.0)  # Convolutions on a CPU take no empty batch.
    return tf.concat([clips, missing], axis=0), rows


def _clips_of_step(data: Any, clip_shape: Sequence[int]) -> tf.Tensor:
    clips = _alone(data)
    _check_shape_and_dtype(clips, clip_shape)
    return tf.ensure_shape(tf.cast(clips, tf.float32), [None, *clip_shape])


def _alone(data: Any) -> Any:
    """(clips,) or (clips, None, None), as Keras packs clips that come without targets -> clips."""
    packed = isinstance(data, list | tuple) and data and all(part is None for part in data[1:])
    return data[0] if packed else data


def _check_shape_and_dtype(clips: Any, clip_shape: Sequence[int]) -> None:
    if not hasattr(clips, "shape"):
        count = f" of {len(clips)}" if isinstance(clips, list | tuple | dict) else ""
        raise _error(clip_shape, f"{type(clips).__name__}{count}", hint=", without targets or sample weights")
    shape = tf.TensorShape(clips.shape)
    if "float" not in str(clips.dtype):
        raise _error(clip_shape, _described(clips), hint=" (from uint8: tf.cast(clips, tf.float32) / 127.5 - 1.0)")
    if not shape.is_compatible_with([None, *clip_shape]) or shape.num_elements() == 0:
        raise _error(clip_shape, _described(clips))


def _check_range(sample: np.ndarray, clips: Any, clip_shape: Sequence[int]) -> None:
    low, high = float(sample.min()), float(sample.max())
    if not (low >= -1.0 - TOLERANCE and high <= 1.0 + TOLERANCE):  # A comparison with NaN is false.
        raise _error(clip_shape, f"{_described(clips)} in [{low:g}, {high:g}]")
    if low >= 0.0:
        logger.warning("the clips have no value below 0: they must be in [-1, 1], and may be in [0, 1]")


def _described(clips: Any) -> str:
    return f"{getattr(clips.dtype, 'name', clips.dtype)} {tf.TensorShape(clips.shape)}"


def _error(clip_shape: Sequence[int], received: str, hint: str = "") -> ValueError:
    wanted = ", ".join(map(str, clip_shape))
    return ValueError(
        f"clips must be floats [N, T, H, W, 3] in [-1, 1], here [N, {wanted}]{hint}. Received: {received}"
    )
