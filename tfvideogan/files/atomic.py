"""Writes files completely or not at all, and checks where a command may write."""

from __future__ import annotations

import os
from pathlib import Path

from tfvideogan.config import UsageError
from tfvideogan.files import paths


def check_output(flag: str, path: str | Path, suffixes: tuple[str, ...]) -> None:
    """Raises UsageError unless a file of this name and kind can be written; missing folders are made later."""
    path = paths.path(path)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--{flag} must end in {' or '.join(suffixes)}. Received: {path}")
    if path.is_dir():
        raise UsageError(f"--{flag} must be a file. Received: {path}, which is a folder")
    check_folder(flag, path.parent)


def check_folder(flag: str, path: str | Path) -> None:
    """Raises UsageError unless files can be written in this folder, which need not exist yet."""
    where = paths.path(path)
    if paths.is_remote(where):
        return
    existing = next(folder for folder in [where, *where.absolute().parents] if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UsageError(f"--{flag} cannot be written: {existing} is no writable folder. Received: {path}")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file beside `path` and renames it, so that no reader sees half a file."""
    path = paths.path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if paths.is_remote(path):  # An object store shows an object only when it is complete.
        path.write_bytes(content)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # Otherwise a power cut after the renaming could leave an empty file.
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def fsync(path: paths.Path) -> None:
    """Waits until a local file or folder is on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
