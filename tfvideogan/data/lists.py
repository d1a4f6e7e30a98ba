"""List files (`*.txt`) of clips, one path a line, also such as Windows writes them.

A list that is named itself may hold strips, videos and arrays, and each of its lines counts. In a folder, where any
text may lie, one that names existing pictures is a list of strips.
"""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path, PurePosixPath

from tfvideogan.config import UsageError
from tfvideogan.data.wording import counted, shown
from tfvideogan.files import paths, pictures

SUFFIX = ".txt"
_BEFORE_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def listed_in(text: paths.Path) -> list[str]:
    """All files that a list names, each once; a class index behind a path is ignored.

    Raises:
        UsageError: it names none, or none of them exists.
    """
    files = list(dict.fromkeys(_named_in(text)))
    if not files:
        raise UsageError(f"{text} lists no file: it is empty")
    if not any(map(_exists, files)):
        raise UsageError(f"{text} lists {counted(len(files), 'file')}, none of which exists: {shown(files[0])}")
    return files


def strips_of(folder: paths.Path) -> list[str]:
    """The strips of the one list in a folder, or nothing if it has none.

    Raises:
        UsageError: there are several.
    """
    lists = {}
    for text in sorted(path for path in folder.iterdir() if path.suffix.lower() == SUFFIX and paths.is_file(path)):
        names = [name for name in _named_in(text) if PurePosixPath(name).suffix.lower() in pictures.IMAGE_SUFFIXES]
        if any(map(_exists, names)):
            lists[text] = list(dict.fromkeys(names))
    if len(lists) > 1:
        raise UsageError(f"{folder} holds several lists of strips, name one of them: {', '.join(map(str, lists))}")
    return next(iter(lists.values()), [])


def why_not(files: list[str], base: paths.Path, allow_outside: bool) -> dict[str, str]:
    """The reason for each local file in a list that is not to be read."""
    local = [path for path in files if not paths.is_remote(path)]
    reasons = {path: _why_not(Path(base), Path(path), allow_outside) for path in local}
    missing = [path for path, reason in reasons.items() if reason == _MISSING]
    if missing:
        there = len(files) - len(missing)
        reasons[missing[0]] = f"{_MISSING}; of {counted(len(files), 'file')} in the list {there} exist"
    return {path: reason for path, reason in reasons.items() if reason}


_MISSING = "no such file"
_WITH_FLAG = "train, preview, evaluate and prepare_data"


def _why_not(base: Path, path: Path, allow_outside: bool) -> str | None:
    root = Path("/") if allow_outside else base.resolve()
    try:
        if not path.resolve().is_relative_to(root):
            return f"outside of the folder of its list; {_WITH_FLAG} read it with --allow_outside"
        return why_no_file(root, path) if os.path.lexists(path) else _MISSING
    except (OSError, ValueError):  # A line may be no path at all.
        return _MISSING


def why_no_file(root: Path, path: Path) -> str | None:
    """Why a local path is not a file of this folder, or None if it is one."""
    if path.is_symlink():
        if not path.exists():
            return "a link to nothing"
        if path.is_dir():
            return "a link to a folder"
        if not path.resolve().is_relative_to(root.resolve()):
            return "a link out of the folder"
    if path.is_dir():
        return "a folder, and no file"
    return None if path.is_file() else "no file, but a pipe, a socket or a device"


def lines_of(text: paths.Path) -> list[str]:
    """The lines of a text that are not empty, with `/` between folders, from whatever system it comes."""
    content = text.read_bytes()
    if content.startswith(_BEFORE_UTF_16):
        lines = content.decode("utf-16", errors="replace").splitlines()
    else:  # Names that are no UTF-8 stay what they are.
        lines = content.decode("utf-8-sig", errors="surrogateescape").splitlines()
    if not any("/" in line for line in lines):  # Windows separates folders so.
        lines = [line.replace("\\", "/") for line in lines]
    return [line.strip() for line in lines if line.strip()]


def without_class(line: str) -> str:
    """A line without the number of a class behind the path, and without quotation marks."""
    return re.sub(r"[\s,]+\d+$", "", line).strip('"')


def _named_in(text: paths.Path) -> list[str]:
    """The paths in a text, one a line, from its own folder on."""
    return [_path_in(line, text.parent) for line in lines_of(text)]


def _path_in(line: str, folder: paths.Path) -> str:
    """The path in a line from its folder on; a number behind it may be a class, or belong to a name that exists."""
    path = str(folder / line.strip('"'))
    return path if _exists(path) else str(folder / without_class(line))


def _exists(path: str) -> bool:
    try:
        return paths.is_file(path)
    except (OSError, ValueError):  # A line may be no path at all.
        return False
