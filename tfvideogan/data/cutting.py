"""Clips cut from an input: windows of its frames, stabilised if asked for, square, of one size.

This module needs no TensorFlow, so that the processes that decode start in half a second.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import stabilize
from tfvideogan.data.inputs import Input
from tfvideogan.files import pictures, videos

_STABILIZED_SIDE = 360  # pixels of the short side of frames that are stabilised, before they are scaled down


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How clips are cut from an input.

    Attributes:
        stride: frames from the start of a clip to that of the next; 0 for as many as a clip has.
        frame_step: take every so-many-th frame.
        first_only: one clip of each input, as MD-GAN's released test script takes them.
        resize: `squash` to a square, or `crop` its middle.
    """

    frame_size: int
    num_frames: int
    stride: int = 0
    frame_step: int = 1
    first_only: bool = False
    resize: str = "squash"
    stabilize: bool = False
    split_at_cuts: bool = False


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip uint8 [T, H, W, 3], and the number of its first frame in the input."""

    frames: np.ndarray
    start: int


def clips_of(item: Input, cutting: Cutting) -> Iterator[Clip | UsageError]:
    """An input's clips in order, and in their places what was wrong with it."""
    crop = cutting.resize == "crop" or cutting.stabilize
    side = max(cutting.frame_size, _STABILIZED_SIDE) if cutting.stabilize else cutting.frame_size
    fit = pictures.short_side(side) if crop else pictures.squash(side)
    if item.kind == "strip":
        windows = _strip_window(item, cutting, fit)
    else:
        frames = _or_error(videos.read_video, item.files[:1], fit)
        if item.kind == "frames":
            frames = _or_error(lambda path, fit: iter([pictures.read_image(path, fit)]), item.files, fit)
        windows = _windows(item, frames, cutting)
    for window in windows:
        yield window if isinstance(window, UsageError) else _finished(item, window, cutting)


def _finished(item: Input, clip: Clip, cutting: Cutting) -> Clip | UsageError:
    """Stabilised if asked for, square, of the frame size."""
    frames = clip.frames
    if cutting.stabilize:
        try:
            frames = stabilize.stabilize(frames)
        except stabilize.StabilizationError as error:
            return UsageError(f"{item.name}: not stabilised from frame {clip.start} on: {error}")
    size = cutting.frame_size
    square = map(pictures.centre_crop, frames) if cutting.resize == "crop" else frames
    return Clip(np.stack([pictures.resize(frame, size, size) for frame in square]), clip.start)


def _windows(item: Input, frames: Iterable[np.ndarray | UsageError], cutting: Cutting) -> Iterator[Clip | UsageError]:
    """Windows of a sequence; none spans a frame that cannot be read, or a cut."""
    count, stride = cutting.num_frames, cutting.stride or cutting.num_frames
    window: list[np.ndarray] = []
    gap = made = wrong = taken = 0
    for number, frame in enumerate(frames):
        if isinstance(frame, UsageError):
            yield frame
            window, gap, wrong = [], 0, wrong + 1
            continue
        if number % cutting.frame_step:
            continue
        taken += 1
        if window and _ends_a_scene(window[-1], frame, cutting):
            window, gap = [], 0
        if gap:
            gap -= 1
            continue
        window.append(frame)
        if len(window) == count:
            yield Clip(np.stack(window), number - (count - 1) * cutting.frame_step)
            made += 1
            if cutting.first_only:
                return
            window, gap = window[stride:], max(0, stride - count)
    if not made and not wrong:
        together = " between its cuts" if taken >= count else ""
        frames_there = f"{len(window)} frames" if together else f"{taken} frames"
        yield UsageError(f"{item.name}: {frames_there}{together}, fewer than {count}")


def _ends_a_scene(previous: np.ndarray, frame: np.ndarray, cutting: Cutting) -> bool:
    """Whether no clip may hold both: a cut, or frames of another size."""
    if previous.shape != frame.shape:
        return True
    return cutting.split_at_cuts and stabilize.is_cut(previous, frame)


def _strip_window(item: Input, cutting: Cutting, fit: pictures.Fit) -> Iterator[Clip | UsageError]:
    """A vertical strip of square frames: the first ones, the last repeated when there are too few."""
    try:
        strip = pictures.read_image(item.files[0])
    except UsageError as error:
        yield error
        return
    height, width = strip.shape[:2]
    if height % width or height < 2 * width:
        yield UsageError(f"{item.name}: {width} x {height} pixels are no vertical strip of square frames")
        return
    tiles = strip.reshape(-1, width, width, 3)[:: cutting.frame_step][: cutting.num_frames]
    if any(_ends_a_scene(a, b, cutting) for a, b in itertools.pairwise(tiles)):
        yield UsageError(f"{item.name}: a scene cut in it")
        return
    tiles = np.concatenate([tiles, np.repeat(tiles[-1:], cutting.num_frames - len(tiles), axis=0)])
    yield Clip(np.stack([pictures.resize(tile, *fit(width, width)) for tile in tiles]), 0)


def _or_error(
    read: Callable[[str, pictures.Fit], Iterator[np.ndarray]], files: Iterable[str], fit: pictures.Fit
) -> Iterator[Any]:
    """The frames of files, and in place of those that cannot be read the error that says why."""
    for path in files:
        try:
            yield from read(path, fit)
        except UsageError as error:
            yield error
