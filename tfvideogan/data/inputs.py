"""What a folder of clips holds, by the content of its files.

A folder may hold
- a list file (`*.txt`) of vertical strips, one path a line, as Video-GAN's loader reads (of several, as for training
  and test, the user has to name one); a list that is named itself may hold videos and arrays too (`lists.py`);
- videos of any container, and folders of frames at any depth (the Sky Time-lapse layout has two levels), which are
  cut into windows; where names tell that frames of several videos lie in one folder, each is a sequence of its own, and
  so is what stands on either side of a hole in the numbers (`sequences.py`);
- pictures that are vertical strips, each of which is a clip;
- pictures of several pages (TIFF, animated WebP and PNG), each of which is a sequence, as a video is;
- NumPy's arrays (`.npy`, `.npz`) of one sequence or of many (`layouts.py`).

This module needs no TensorFlow, so that the processes that decode start in half a second.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from tfvideogan.config import UsageError
from tfvideogan.data import layouts, lists, sequences
from tfvideogan.data.wording import shown
from tfvideogan.files import arrays, paths, picture_reader, pictures

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z"}
_IGNORED_SUFFIXES = {lists.SUFFIX, ".md", ".json", ".csv", ".xml", ".yaml", ".html", ".pdf", ".py"}
_AN_ARCHIVE = "an archive: unpack it, and name the folder"

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Input:
    """A video, a sequence of frames, a file of several pages, a vertical strip, or a sequence in an array.

    Attributes:
        name: its path from the root.
        kind: `video`, `frames`, `pages`, `strip` or `array`.
        files: the video, the file of pages, the strip, the array, or the frames in order.
        group: the video that it was cut from, as far as names tell; a split must not divide a group.
        part: the sequence in the array.
    """

    name: str
    kind: str
    files: tuple[str, ...]
    group: str
    part: arrays.Part | None = None


@dataclasses.dataclass
class Contents:
    """What a folder holds: inputs in natural order, (name, reason) of what cannot be one, and the names ignored."""

    inputs: list[Input]
    unusable: list[tuple[str, str]]
    ignored: list[str]


def find_inputs(root: str, allow_outside: bool = False, form: layouts.Form = layouts.BY_RULE) -> Contents:
    """The inputs of a folder, or of one file of clips, or of one list of such files.

    Args:
        allow_outside: whether a list may name files outside of its own folder.
        form: how arrays are read.

    Raises:
        UsageError: nothing is there, a file that was named is of no kind that holds clips, there are several lists of
            strips, or none of the files of a list exists.
    """
    where = paths.path(root)
    if not where.exists():
        raise UsageError(f"{str(root)!r}: no such folder")
    contents = Contents([], [], [])
    if where.is_dir():
        listed = lists.strips_of(where)
        _add_listed(listed, where, contents, allow_outside, form)
        _add_found(where, set(listed), contents, form)
    else:
        _check_named(where)
        if where.suffix.lower() == lists.SUFFIX:
            _add_listed(lists.listed_in(where), where.parent, contents, allow_outside, form)
        else:
            _add_found(where, set(), contents, form)
    _tell_of_arrays(contents.inputs)
    return contents


def _check_named(where: paths.Path) -> None:
    """Raises UsageError for what was named by itself and is no file, or of a kind that is passed over in folders."""
    suffix = where.suffix.lower()
    if not paths.is_file(where):
        raise UsageError(f"{str(where)!r}: no file and no folder, but a pipe, a socket or a device")
    if suffix in _ARCHIVES:
        raise UsageError(f"{str(where)!r}: {_AN_ARCHIVE}")
    if suffix in _IGNORED_SUFFIXES and suffix != lists.SUFFIX:
        raise UsageError(f"{str(where)!r}: no video, no picture, no array and no list of them (*{lists.SUFFIX})")


def _add_found(where: paths.Path, listed: set[str], contents: Contents, form: layouts.Form) -> None:
    """Adds what lies in a folder and is not listed, or the one file."""
    by_folder: dict[str, list[str]] = {}
    for name, path in _files(where, contents):
        if path in listed:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in pictures.IMAGE_SUFFIXES:
            _add_picture(name, path, bool(listed), by_folder, contents)
        elif suffix in _IGNORED_SUFFIXES:
            contents.ignored.append(name)
        elif suffix in _ARCHIVES:
            contents.unusable.append((name, _AN_ARCHIVE))
        else:
            _add_sequences(name, path, contents, form, is_named=not where.is_dir())
    for folder, files in by_folder.items():
        contents.inputs += _pictures(folder, files, where)


def _add_sequences(name: str, path: str, contents: Contents, form: layouts.Form, is_named: bool) -> None:
    """Adds a video, or the sequences of an array."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in arrays.SUFFIXES:
        _add_array(name, path, contents, form, is_named)
    elif suffix == ".tfrecord":  # FFmpeg would find the pictures in it and take it for a video.
        contents.unusable.append((name, "a shard of records, no video"))
    else:
        contents.inputs.append(Input(name, "video", (path,), group=name))


def _add_array(name: str, path: str, contents: Contents, form: layouts.Form, is_named: bool) -> None:
    """Adds each sequence of a file of arrays, a group of its own; arrays that are no clips, as labels, are ignored."""
    try:
        headers = arrays.headers(path)
    except UsageError as error:
        contents.unusable.append((name, str(error).removeprefix(f"{path}: ")))
        return
    for header in headers:
        own = f"{name}/{header.member}" if header.member else name
        if not layouts.may_hold_clips(header) and not (is_named and len(headers) == 1):
            contents.ignored.append(own)
            continue
        try:
            parts = layouts.parts(header, form)
        except ValueError as error:
            contents.unusable.append((own, str(error)))
            continue
        for part in parts:
            sequence = own if part.index is None else f"{own}/{part.index}"
            contents.inputs.append(Input(sequence, "array", (path,), sequence, part))


def _tell_of_arrays(inputs: Iterable[Input]) -> None:
    """Logs how arrays are read, once for each way."""
    first: dict[tuple[str, str], Input] = {}
    for item in inputs:
        if item.part:
            first.setdefault((item.part.layout, item.part.values), item)
    for (layout, values), item in first.items():
        logger.info(
            "arrays such as %s are read as [%s], black to white as %s (--array_layout, --array_range say otherwise)",
            *(item.name, ", ".join(layout), values),
        )


def _add_picture(name: str, path: str, is_listed: bool, by_folder: dict[str, list[str]], contents: Contents) -> None:
    """Sorts a picture: one of several pages is an input by itself, others are of their folder."""
    if is_listed:
        contents.ignored.append(name)  # A list of strips says which pictures count.
        return
    try:
        pages = picture_reader.count_pages(path)
    except UsageError as error:
        contents.unusable.append((name, str(error).removeprefix(f"{path}: ")))
        return
    if pages > 1:
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
    for path in sequences.natural_order(listed):
        name = _name(path, root)
        if path.name.startswith("."):
            contents.ignored.append(name)
        elif reason := None if paths.is_remote(root) else lists.why_no_file(Path(root), Path(path)):
            contents.unusable.append((name, reason))
        else:
            yield name, str(path)


def _pictures(folder: str, files: list[str], root: paths.Path) -> list[Input]:
    """The pictures of one folder: a strip each if the first readable one is a strip, or else sequences of frames."""
    readable = (is_strip for path in files if (is_strip := picture_reader.is_strip(path)) is not None)
    if next(readable, False):
        return [_strip(_name(paths.path(path), root), path) for path in files]
    parent, _, own = folder.rpartition("/")
    is_part = parent and own.startswith(PurePosixPath(parent).name)  # ID/ID_K is the K-th part of the video ID.
    group, parts = parent if is_part else folder, sequences.of_frames(files)
    if len(parts) == 1:
        return [Input(folder, "frames", tuple(files), group)]
    several = len({part.video for part in parts}) > 1 and not is_part
    groups = [f"{group}/{part.video}" if several else group for part in parts]
    names = [str(PurePosixPath(folder, part.name)) for part in parts]
    return [Input(name, "frames", part.files, own) for name, part, own in zip(names, parts, groups, strict=True)]


def _strip(name: str, path: str) -> Input:
    """A strip, in one group with others whose names differ from its own in the number at the end only."""
    unnumbered = re.sub(r"[\W_]*\d+$", "", str(PurePosixPath(name).with_suffix("")))
    return Input(name, "strip", (str(path),), group=unnumbered or name)


def _add_listed(
    files: list[str], base: paths.Path, contents: Contents, allow_outside: bool, form: layouts.Form
) -> None:
    """Adds each file of a list: pictures are strips."""
    reasons = lists.why_not(files, base, allow_outside)
    for path in files:
        name = _name(path, base)
        if path in reasons:
            contents.unusable.append((shown(name), reasons[path]))
        elif PurePosixPath(path).suffix.lower() in pictures.IMAGE_SUFFIXES:
            contents.inputs.append(_strip(name, path))
        else:
            _add_sequences(name, path, contents, form, is_named=True)


def _name(path: str | paths.Path, root: paths.Path) -> str:
    """A path from the root, or the whole path if it does not lie below the root."""
    return str(path).removeprefix(str(root)).lstrip("/") if str(path).startswith(f"{root}/") else str(path)
