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
from tfvideogan.data.wording import counted
from tfvideogan.files import arrays, pictures, videos

_STABILIZED_SIDE = 360  # Frames are stabilised at this short side, in pixels, and scaled down afterwards.


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How clips are cut from an input.

    Attributes:
        frame_size: pixels a side of a clip's frames.
        num_frames: frames a clip.
        stride: frames from the start of a clip to that of the next; 0 stands for `num_frames`.
        frame_step: every so-many-th frame is taken.
        first_only: each input gives one clip, as in MD-GAN's released test script.
        resize: `squash` distorts a frame to a square, `crop` takes its middle.
        stabilize: the background of each clip is made to stand still; frames are then cropped.
        split_at_cuts: no clip spans a scene cut.
    """

    frame_size: int
    num_frames: int
    stride: int = 0
    frame_step: int = 1
    first_only: bool = False
    resize: str = "squash"
    stabilize: bool = False
    split_at_cuts: bool = False

    @property
    def frames_needed(self) -> int:
        """The frames from the first to the last one of a clip."""
        return (self.num_frames - 1) * self.frame_step + 1


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip uint8 [T, H, W, 3], and the number of its first frame in the input."""

    frames: np.ndarray
    start: int


def clips_of(item: Input, cutting: Cutting) -> Iterator[Clip | UsageError]:
    """The clips of an input in order, and errors in the places of what cannot be used."""
    crop = cutting.resize == "crop" or cutting.stabilize
    side = max(cutting.frame_size, _STABILIZED_SIDE) if cutting.stabilize else cutting.frame_size
    fit = pictures.short_side(side) if crop else pictures.squash(side)
    is_strip = item.kind == "strip"
    for window in _strip_window(item, cutting, fit) if is_strip else _windows(item, _frames(item, fit), cutting):
        yield window if isinstance(window, UsageError) else _finished(item, window, cutting)


def _frames(item: Input, fit: pictures.Fit) -> Iterator[Any]:
    """The frames of a sequence, and errors in the places of those that cannot be read."""
    if item.kind == "frames":
        return _or_error(lambda path, fit: iter([pictures.read_image(path, fit)]), item.files, fit)
    if item.part:
        return _or_error(lambda path, fit: arrays.read_frames(path, item.part, fit), item.files, fit)
    return _or_error(pictures.read_pages if item.kind == "pages" else videos.read_past_damage, item.files, fit)


def _finished(item: Input, clip: Clip, cutting: Cutting) -> Clip | UsageError:
    """The clip, stabilised if asked for, with square frames of the frame size."""
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
    """The windows of a sequence of frames; none spans a frame that cannot be read, or a scene cut."""
    count, stride = cutting.num_frames, cutting.stride or cutting.num_frames
    window: list[np.ndarray] = []
    to_skip = windows = unreadable = taken = 0
    number = -1
    for frame in frames:
        number += frame.frames if isinstance(frame, videos.GapError) else 1
        if isinstance(frame, UsageError):
            yield frame
            window, to_skip, unreadable = [], 0, unreadable + 1
            continue
        if number % cutting.frame_step:
            continue
        taken += 1
        if window and _ends_a_scene(window[-1], frame, cutting):
            window, to_skip = [], 0
        if to_skip:
            to_skip -= 1
            continue
        window.append(frame)
        if len(window) == count:
            yield Clip(np.stack(window), number - (count - 1) * cutting.frame_step)
            windows += 1
            if cutting.first_only:
                return
            window, to_skip = window[stride:], max(0, stride - count)
    if not windows and not unreadable:
        scene = taken >= count  # There are enough frames, but not between two cuts.
        length = counted(len(window), "frame") + " between its cuts" if scene else counted(taken, "frame")
        yield UsageError(f"{item.name}: {length}, fewer than {count}")


def _ends_a_scene(previous: np.ndarray, frame: np.ndarray, cutting: Cutting) -> bool:
    """Whether no clip may hold both frames, as there is a cut between them or they differ in size."""
    if previous.shape != frame.shape:
        return True
    return cutting.split_at_cuts and stabilize.is_cut(previous, frame)


def _strip_window(item: Input, cutting: Cutting, fit: pictures.Fit) -> Iterator[Clip | UsageError]:
    """The first frames of a vertical strip of square frames, the last one repeated where there are too few."""
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
        yield UsageError(f"{item.name}: there is a scene cut in it")
        return
    tiles = np.concatenate([tiles, np.repeat(tiles[-1:], cutting.num_frames - len(tiles), axis=0)])
    yield Clip(np.stack([pictures.resize(tile, *fit(width, width)) for tile in tiles]), 0)


def _or_error(
    read: Callable[[str, pictures.Fit], Iterator[np.ndarray]], files: Iterable[str], fit: pictures.Fit
) -> Iterator[Any]:
    """The frames of files, and errors in the places of those that cannot be read."""
    for path in files:
        try:
            yield from read(path, fit)
        except UsageError as error:
            yield error
