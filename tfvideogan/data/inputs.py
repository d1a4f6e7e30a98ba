"""What a folder of clips holds, by the content of its files.

A folder may hold
- a list file (`*.txt`) of vertical strips, one path a line, as Video-GAN's loader reads (of several, as for training
  and test, the user has to name one);
- videos of any container, and folders of frames at any depth (the Sky Time-lapse layout has two levels), which are
  cut into windows; where names tell that frames of several videos lie in one folder, each is a sequence of its own, and
  so is what stands on either side of a hole in the numbers (`sequences.py`);
- pictures that are vertical strips, each of which is a clip;
- pictures of several pages (TIFF, animated WebP and PNG), each of which is a sequence, as a video is.

This module needs no TensorFlow, so that the processes that decode start in half a second.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from tfvideogan.config import UsageError
from tfvideogan.data import sequences
from tfvideogan.data.wording import counted
from tfvideogan.files import paths, pictures

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"}
_IGNORED_SUFFIXES = {
    ".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".html", ".pdf", ".py", ".npy", ".npz", *_ARCHIVES,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Input:
    """A video, a sequence of frames, a file of several pages, or a vertical strip.

    Attributes:
        name: its path from the root.
        kind: `video`, `frames`, `pages` or `strip`.
        files: the video, the file of pages, the strip, or the frames in order.
        group: the video that it was cut from, as far as names tell; a split must not divide a group.
    """

    name: str
    kind: str
    files: tuple[str, ...]
    group: str


@dataclasses.dataclass
class Contents:
    """What a folder holds: inputs in natural order, (name, reason) of what cannot be one, and the names ignored."""

    inputs: list[Input]
    unusable: list[tuple[str, str]]
    ignored: list[str]


def find_inputs(root: str, allow_outside: bool = False) -> Contents:
    """The inputs of a folder, or of one video or list file.

    Args:
        allow_outside: whether a list may name pictures outside of its own folder.

    Raises:
        UsageError: nothing is there, a file that was named is of no kind that holds clips, there are several lists of
            strips, or none of the pictures of a list exists.
    """
    where = paths.path(root)
    if not where.exists():
        raise UsageError(f"{str(root)!r}: no such folder")
    _check_named(where)
    contents = Contents([], [], [])
    strips = _listed_strips(where)
    _add_listed(strips, where, contents, allow_outside)
    if strips and not where.is_dir():
        return contents
    listed = set(strips)
    by_folder: dict[str, list[str]] = {}
    for name, path in _files(where, contents):
        if path in listed:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in pictures.IMAGE_SUFFIXES:
            _add_picture(name, path, bool(strips), by_folder, contents)
        elif suffix in _IGNORED_SUFFIXES:
            contents.ignored.append(name)
        elif suffix == ".tfrecord":  # FFmpeg would find the pictures in it and take it for a video.
            contents.unusable.append((name, "a shard of records, no video"))
        else:
            contents.inputs.append(Input(name, "video", (path,), group=name))
    for folder, files in by_folder.items():
        contents.inputs += _pictures(folder, files, where)
    return contents


def _check_named(where: paths.Path) -> None:
    """Raises UsageError for a file, named by itself, of a kind that is passed over in folders."""
    suffix = where.suffix.lower()
    if where.is_dir() or suffix not in _IGNORED_SUFFIXES or suffix == ".txt":
        return
    what = "an archive: unpack it, and name the folder" if suffix in _ARCHIVES else "no video and no list of pictures"
    raise UsageError(f"{str(where)!r}: {what}")


def _add_picture(name: str, path: str, is_listed: bool, by_folder: dict[str, list[str]], contents: Contents) -> None:
    """Sorts a picture: one of several pages is an input by itself, others are of their folder."""
    if is_listed:
        contents.ignored.append(name)  # A list of strips says which pictures count.
    elif pictures.count_pages(path) > 1:
        contents.inputs.append(Input(name, "pages", (path,), group=name))
    else:
        by_folder.setdefault(str(PurePosixPath(name).parent), []).append(path)


def _files(root: paths.Path, contents: Contents) -> Iterator[tuple[str, str]]:
    """(name, path) of each file below a root, in natural order; `contents` is told of all that is passed over."""
    if not root.is_dir():
        yield root.name, str(root)
        return
    listed = []

    def unlisted(error: OSError) -> None:
        contents.unusable.append((_name(error.filename, root), f"cannot be listed: {error.strerror}"))

    for folder, subfolders, names in root.walk(on_error=unlisted):
        contents.ignored += [_name(folder / name, root) for name in subfolders if name.startswith(".")]
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        links = [name for name in subfolders if not paths.is_remote(root) and Path(folder, name).is_symlink()]
        listed += [folder / name for name in [*names, *links]]
    for path in _natural_order(listed):
        name = _name(path, root)
        if path.name.startswith("."):
            contents.ignored.append(name)
        elif reason := None if paths.is_remote(root) else _why_no_file(Path(root), Path(path)):
            contents.unusable.append((name, reason))
        else:
            yield name, str(path)


def _why_no_file(root: Path, path: Path) -> str | None:
    """Why a local path is not a file of this folder, or None if it is one."""
    if path.is_symlink():
        if not path.exists():
            return "a link to nothing"
        if path.is_dir():
            return "a link to a folder"
        if not path.resolve().is_relative_to(root.resolve()):
            return "a link out of the folder"
    return None if path.is_file() else "no file, but a pipe, a socket or a device"


def _pictures(folder: str, files: list[str], root: paths.Path) -> list[Input]:
    """The pictures of one folder: a strip each if the first readable one is a strip, or else sequences of frames."""
    readable = (is_strip for path in files if (is_strip := pictures.is_strip(path)) is not None)
    if next(readable, False):
        return [_strip(_name(paths.path(path), root), path) for path in files]
    parent, _, own = folder.rpartition("/")
    is_part = parent and own.startswith(PurePosixPath(parent).name)  # ID/ID_K is the K-th part of the video ID.
    group, found = parent if is_part else folder, sequences.of_frames(files)
    if len(found) == 1:
        return [Input(folder, "frames", tuple(files), group)]
    several = len({part.video for part in found}) > 1 and not is_part
    groups = [f"{group}/{part.video}" if several else group for part in found]
    names = [str(PurePosixPath(folder, part.name)) for part in found]
    return [Input(name, "frames", part.files, own) for name, part, own in zip(names, found, groups, strict=True)]


def _strip(name: str, path: str) -> Input:
    """A strip, in one group with others whose names differ from its own in the number at the end only."""
    unnumbered = re.sub(r"[\W_]*\d+$", "", str(PurePosixPath(name).with_suffix("")))
    return Input(name, "strip", (str(path),), group=unnumbered or name)


def _add_listed(strips: list[str], where: paths.Path, contents: Contents, allow_outside: bool) -> None:
    """Adds each strip of a list once."""
    base = where if where.is_dir() else where.parent
    for path in dict.fromkeys(strips):
        reason = None if paths.is_remote(path) else _why_not_listed(Path(base), Path(path), allow_outside)
        if reason:
            contents.unusable.append((_name(path, base), reason))
        else:
            contents.inputs.append(_strip(_name(path, base), path))


def _why_not_listed(base: Path, path: Path, allow_outside: bool) -> str | None:
    """Why a local path in a list is not to be read, or None if it is, or does not exist."""
    root = Path("/") if allow_outside else base.resolve()
    if not path.resolve().is_relative_to(root):
        return "outside of the folder of its list; --allow_outside reads it"
    return _why_no_file(root, path) if os.path.lexists(path) else None


def _listed_strips(where: paths.Path) -> list[str]:
    """The strips of the one list file; a text that names no existing picture is no list."""
    if where.is_dir():
        texts = sorted(path for path in where.iterdir() if path.suffix.lower() == ".txt" and paths.is_file(path))
    else:
        texts = [where] if where.suffix.lower() == ".txt" else []
    lists = {text: _strips_named_in(text) for text in texts}
    if lists.get(where) and not any(map(paths.is_file, lists[where])):
        raise UsageError(
            f"{where} lists {counted(len(lists[where]), 'picture')}, none of which exists: {lists[where][0]}"
        )
    lists = {text: names for text, names in lists.items() if any(map(paths.is_file, names))}
    if len(lists) > 1:
        names = ", ".join(map(str, lists))
        raise UsageError(f"{where} holds several lists of strips, name one of them: {names}")
    return next(iter(lists.values()), [])


def _strips_named_in(text: paths.Path) -> list[str]:
    """The paths of the pictures that a text names; a class index behind a path is ignored."""
    lines = text.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    names = [re.sub(r"[\s,]+\d+$", "", line.strip()) for line in lines if "\0" not in line]
    if not any("/" in name for name in names):  # Windows separates folders so.
        names = [name.replace("\\", "/") for name in names]
    return [str(text.parent / name) for name in names if PurePosixPath(name).suffix.lower() in pictures.IMAGE_SUFFIXES]


def _name(path: str | paths.Path, root: paths.Path) -> str:
    """A path from the root, or the whole path if it does not lie below the root."""
    return str(path).removeprefix(str(root)).lstrip("/") if str(path).startswith(f"{root}/") else str(path)


def _natural_order(listed: Iterable[paths.Path]) -> list[paths.Path]:
    """Paths in an order that has frame 10 after frame 9, whether or not the numbers are padded."""
    return sorted(
        listed, key=lambda path: [int(x) if x.isdecimal() else x.casefold() for x in re.split(r"(\d+)", str(path))]
    )
