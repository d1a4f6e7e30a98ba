"""Paths on this machine, and at gs:// and s3://, which go through `tf.io.gfile` (by etils.epath).

gs:// needs no more than TensorFlow. s3:// needs tensorflow-io, whose last release loads with TensorFlow 2.16 only.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from etils import epath

from tfvideogan.config import UsageError
from tfvideogan.files import optional

Path = epath.Path
_LONGEST_LINE = 1000  # A longer line of a message is cut to so many letters.


def path(name: str | os.PathLike[str]) -> epath.Path:
    """A path, local or remote; `~` stands for the home folder.

    Raises:
        UsageError: the scheme is neither gs:// nor s3://, the name is a bucket itself, or s3:// lacks tensorflow-io.
    """
    scheme, separator, rest = os.fspath(name).partition("://")
    if not separator:
        return epath.Path(at_home(name))
    if scheme == "s3":
        optional.tensorflow_io()
    elif scheme != "gs":
        raise UsageError(f"paths are local, gs:// or s3://. Received: {os.fspath(name)!r}")
    if not rest.strip("/").count("/"):  # A bucket is no folder, and object stores answer with misleading errors.
        raise UsageError(f"a remote path must name a folder or a file in a bucket. Received: {os.fspath(name)!r}")
    return epath.Path(name)


def at_home(name: str | os.PathLike[str]) -> str:
    """A local name with the home folder for `~`; that of a user whom this machine does not know stays as it is."""
    return os.path.expanduser(os.fspath(name))  # noqa: PTH111 - pathlib's own raises RuntimeError for such a user


def is_remote(where: str | os.PathLike[str]) -> bool:
    """Whether a name has a scheme, as gs:// and s3:// paths have."""
    return "://" in os.fspath(where)


def is_file(where: str | os.PathLike[str]) -> bool:
    """Whether this is a file, remote or local. Unlike epath's own `is_file`, it does not take a pipe for one."""
    return path(where).is_file() if is_remote(where) else pathlib.Path(path(where)).is_file()


def read_text(where: str | os.PathLike[str], most: int = 2**28) -> str:
    """The text of a file in UTF-8.

    Raises:
        OSError: there is no such file, or it is a pipe or a device, which could be read for ever.
        ValueError: it has more than `most` bytes, or is no UTF-8.
    """
    where = path(where)
    if where.exists() and not is_file(where):
        raise OSError(f"{where} is no regular file")
    if where.exists() and where.stat().length > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return where.read_text(encoding="utf-8")


def parse_json(text: str) -> Any:
    """What a text in JSON says. Raises ValueError if it is none, or nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def absolute(name: str) -> str:
    """The name as an absolute path, which means the same in any directory; remote names are left as they are."""
    return name if is_remote(name) else os.fspath(pathlib.Path(at_home(name)).absolute())


@contextlib.contextmanager
def local(name: str | os.PathLike[str]) -> Iterator[str]:
    """The name of a local file, or of a temporary copy of a remote one, since decoders seek too often in it.

    Raises:
        FileNotFoundError: there is no such remote file.
    """
    if not is_remote(name):
        yield os.fspath(path(name))
        return
    source = path(name)
    if not source.is_file():
        raise FileNotFoundError(os.fspath(name))
    with tempfile.NamedTemporaryFile(prefix="tfvideogan-", suffix=source.suffix) as copy:
        source.copy(copy.name, overwrite=True)
        yield copy.name


def move(source: epath.Path, target: epath.Path) -> None:
    """Renames a file. Object stores rename whatever has this prefix, so there the file is copied and removed."""
    if is_remote(source):
        source.copy(target, overwrite=True)
        source.unlink()
    else:
        source.replace(target)


def publish(complete: str | os.PathLike[str], final: epath.Path) -> None:
    """Gives a complete local folder its final name, or copies it to an object store.

    There the files of the top level, which readers look for, come last.
    """
    if not is_remote(final):
        epath.Path(complete).rename(final)
        return
    files = [folder / name for folder, _, names in epath.Path(complete).walk() for name in names]
    for file in sorted(files, key=lambda file: -len(file.parts)):
        file.copy(final / str(file.relative_to(complete)))


def remove_folder(folder: epath.Path) -> None:
    """Removes a folder with all that is in it."""
    if is_remote(folder):
        folder.rmtree()
    else:
        shutil.rmtree(folder)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class if it has no message; a file may have made it long."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ..."
