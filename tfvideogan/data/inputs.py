"""What a folder of clips holds, told by its content.

A folder may hold
- a list file (`*.txt`) of vertical strips, one path a line, as Video-GAN's loader reads
  (where there are several, as for training and test, name one of them);
- videos of any container, and folders of frames at any depth (the Sky Time-lapse layout
  has two levels), cut into windows;
- pictures that are vertical strips, a clip each.

This module needs no TensorFlow, so that the processes that decode start in half a second.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from tfvideogan.config import UsageError
from tfvideogan.files import paths, pictures

_IGNORED_SUFFIXES = {".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".html", ".pdf", ".zip", ".py", ".npy"}


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
    by_folder: dict[str, list[str]] = {}
    for name, path in _files(where, found):
        if path in listed:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in pictures.IMAGE_SUFFIXES and strips:
            found.ignored.append(name)  # the list says which ones count
        elif suffix in pictures.IMAGE_SUFFIXES:
            by_folder.setdefault(str(PurePosixPath(name).parent), []).append(path)
        elif suffix in _IGNORED_SUFFIXES:
            found.ignored.append(name)
        elif suffix == ".tfrecord":  # FFmpeg would find the pictures in it
            found.unusable.append((name, "a shard of records, no video"))
        else:
            found.inputs.append(Input(name, "video", (path,), group=name))
    for folder, files in by_folder.items():
        found.inputs += _pictures(folder, files, where)
    return found


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
