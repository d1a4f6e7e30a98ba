"""Where files lie: on this machine, or at gs:// and s3://, which go through `tf.io.gfile` (by etils.epath).

gs:// needs no more than TensorFlow. s3:// needs tensorflow-io, whose last release loads with TensorFlow 2.16 only.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from etils import epath

from tfvideogan.config import UsageError
from tfvideogan.files import optional

Path = epath.Path


def path(name: str | os.PathLike[str]) -> epath.Path:
    """A path, local or remote; `~` stands for the home folder.

    Raises:
        UsageError: a scheme that cannot be read here, with what it needs.
    """
    scheme, found, rest = os.fspath(name).partition("://")
    if not found:
        return epath.Path(name).expanduser()
    if scheme == "s3":
        optional.tensorflow_io()
    elif scheme != "gs":
        raise UsageError(f"paths are local, gs:// or s3://. Received: {os.fspath(name)!r}")
    if not rest.strip("/").count("/"):  # object stores have no such folder, and answer strangely
        raise UsageError(f"a remote path must name a folder or a file in a bucket. Received: {os.fspath(name)!r}")
    return epath.Path(name)


def is_remote(where: str | os.PathLike[str]) -> bool:
    """Whether a name has a scheme, as gs:// and s3:// paths have."""
    return "://" in os.fspath(where)


def absolute(name: str) -> str:
    """A name that means the same in any directory; remote ones do already."""
    return name if is_remote(name) else os.fspath(pathlib.Path(name).expanduser().absolute())


@contextlib.contextmanager
def local(name: str | os.PathLike[str]) -> Iterator[str]:
    """The file itself, or a temporary copy of a remote one: decoders seek more than object stores bear.

    Raises:
        FileNotFoundError: there is none.
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
    """Renames a file. On object stores, where renaming goes by prefix, copies it and removes the old one."""
    if is_remote(source):
        source.copy(target, overwrite=True)
        source.unlink()
    else:
        source.replace(target)


def publish(made: str | os.PathLike[str], final: epath.Path) -> None:
    """Gives a complete local folder its final name; copies it to object stores, the files of the top level last."""
    if not is_remote(final):
        epath.Path(made).rename(final)
        return
    files = [folder / name for folder, _, names in epath.Path(made).walk() for name in names]
    for file in sorted(files, key=lambda file: -len(file.parts)):
        file.copy(final / str(file.relative_to(made)))


def remove_folder(folder: epath.Path) -> None:
    """With all that is in it."""
    if is_remote(folder):
        folder.rmtree()
    else:
        shutil.rmtree(folder)


def first_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
