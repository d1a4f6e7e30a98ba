"""What a folder of clips holds, told by its content, and the clips that are cut from it.

A folder may hold
- a list file (`*.txt`) of vertical strips, one path a line, as Video-GAN's loader reads
  (where there are several, as for training and test, name one of them);
- videos of any container, and folders of frames at any depth (the Sky Time-lapse layout
  has two levels), cut into windows;
- pictures that are vertical strips, a clip each.

No TensorFlow here: the processes that decode start in half a second.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import stabilize
from tfvideogan.files import paths, pictures, videos

_IGNORED_SUFFIXES = {".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".html", ".pdf", ".zip", ".py", ".npy"}
_STABILIZED_SIDE = 360  # pixels of the short side of frames that are stabilised, before they are scaled down


@dataclasses.dataclass(frozen=True)
class Input:
    """A video, a sequence of frames, or a vertical strip.

    Attributes:
        name: its path from the root.
        group: the video that it was cut from, as far as names tell; a split must not divide it.
    """

    name: str
    kind: str
    files: tuple[str, ...]
    group: str


@dataclasses.dataclass
class Found:
    """What a folder holds: inputs in natural order, what cannot be one and why, and the names passed over."""

    inputs: list[Input]
    unusable: list[tuple[str, str]]
    ignored: list[str]


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


def find_inputs(root: str) -> Found:
    """The inputs of a folder, or of one video or list file.

    Raises:
        UsageError: nothing is there, or several lists of strips.
    """
    where = paths.path(root)
    if not where.exists():
        raise UsageError(f"{str(root)!r}: no such folder")
    found = Found([], [], [])
    strips = _listed_strips(where)
    _add_listed(strips, where, found)
    if strips and not where.is_dir():
        return found
    listed = set(strips)
    pictures: dict[str, list[str]] = {}
    for name, path in _files(where, found):
        if path in listed:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in pictures.IMAGE_SUFFIXES and strips:
            found.ignored.append(name)  # the list says which ones count
        elif suffix in pictures.IMAGE_SUFFIXES:
            pictures.setdefault(str(PurePosixPath(name).parent), []).append(path)
        elif suffix in _IGNORED_SUFFIXES:
            found.ignored.append(name)
        elif suffix == ".tfrecord":  # FFmpeg would find the pictures in it
            found.unusable.append((name, "a shard of records, no video"))
        else:
            found.inputs.append(Input(name, "video", (path,), group=name))
    for folder, files in pictures.items():
        found.inputs += _pictures(folder, files, where)
    return found


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


def _files(root: paths.Path, found: Found) -> Iterator[tuple[str, str]]:
    """(name, path) of each file below a root, in natural order; what is no file of the folder goes to `found`."""
    if not root.is_dir():
        yield root.name, str(root)
        return
    listed = []

    def unlisted(error: OSError) -> None:
        found.unusable.append((_name(error.filename, root), f"cannot be listed: {error.strerror}"))

    for folder, subfolders, names in root.walk(on_error=unlisted):
        found.ignored += [_name(folder / name, root) for name in subfolders if name.startswith(".")]
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        links = [name for name in subfolders if not paths.is_remote(root) and Path(folder, name).is_symlink()]
        listed += [folder / name for name in [*names, *links]]
    for path in _natural_order(listed):
        name = _name(path, root)
        if path.name.startswith("."):
            found.ignored.append(name)
        elif wrong := None if paths.is_remote(root) else _no_file_of(Path(root), Path(path)):
            found.unusable.append((name, wrong))
        else:
            yield name, str(path)


def _no_file_of(root: Path, path: Path) -> str | None:
    """Why a local path is not a file of this folder, or None."""
    if path.is_symlink():
        if not path.exists():
            return "a link to nothing"
        if path.is_dir():
            return "a link to a folder"
        if not path.resolve().is_relative_to(root.resolve()):
            return "a link out of the folder"
    return None if path.is_file() else "no file, but a pipe, a socket or a device"


def _pictures(folder: str, files: list[str], root: paths.Path) -> list[Input]:
    """The pictures of one folder: a sequence of frames, or each a strip if the first readable one is."""
    if next((known for path in files if (known := pictures.is_strip(path)) is not None), False):
        return [_strip(_name(paths.path(path), root), path) for path in files]
    parent, _, own = folder.rpartition("/")
    is_part = parent and own.startswith(PurePosixPath(parent).name)  # ID/ID_K: the K-th part of a video
    return [Input(folder, "frames", tuple(files), group=parent if is_part else folder)]


def _strip(name: str, path: str) -> Input:
    """Strips cut from one video have its name and a number, or a number in a folder of its name."""
    unnumbered = re.sub(r"[\W_]*\d+$", "", str(PurePosixPath(name).with_suffix("")))
    return Input(name, "strip", (str(path),), group=unnumbered or name)


def _add_listed(strips: list[str], where: paths.Path, found: Found) -> None:
    """The strips of a list as inputs, each once."""
    base = where if where.is_dir() else where.parent
    for path in dict.fromkeys(strips):
        local = not paths.is_remote(path)
        wrong = _no_file_of(Path(base), Path(path)) if local and os.path.lexists(path) else None
        if wrong:
            found.unusable.append((_name(path, base), wrong))
        else:
            found.inputs.append(_strip(_name(path, base), path))


def _listed_strips(where: paths.Path) -> list[str]:
    """The strips of the one list file; a text that names no existing picture is no list."""
    if where.is_dir():
        listings = sorted(path for path in where.iterdir() if path.suffix.lower() == ".txt" and path.is_file())
    else:
        listings = [where] if where.suffix.lower() == ".txt" else []
    lists = {listing: _strips_named_in(listing) for listing in listings}
    lists = {listing: names for listing, names in lists.items() if any(paths.path(name).is_file() for name in names)}
    if len(lists) > 1:
        names = ", ".join(map(str, lists))
        raise UsageError(f"{where} holds several lists of strips, name one of them: {names}")
    return next(iter(lists.values()), [])


def _strips_named_in(listing: paths.Path) -> list[str]:
    """The pictures that a list file names; a class index behind a path is passed over."""
    lines = listing.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    names = [re.sub(r"[\s,]+\d+$", "", line.strip()) for line in lines]
    named = [name for name in names if PurePosixPath(name).suffix.lower() in pictures.IMAGE_SUFFIXES]
    return [str(listing.parent / name) for name in named]


def _name(path: str | paths.Path, root: paths.Path) -> str:
    """A path from the root, or as it stands if it is elsewhere."""
    return str(path).removeprefix(str(root)).lstrip("/") if str(path).startswith(f"{root}/") else str(path)


def _natural_order(found: Iterable[paths.Path]) -> list[paths.Path]:
    """Frame 10 after frame 9, whether or not the numbers are padded."""
    return sorted(
        found, key=lambda path: [int(x) if x.isdecimal() else x.casefold() for x in re.split(r"(\d+)", str(path))]
    )
