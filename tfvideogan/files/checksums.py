"""SHA-256 checksums of files and folders."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tfvideogan.files import paths


def sha256(file: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with paths.path(file).open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_tree(where: Path) -> str:
    """The SHA-256 of a local file, or of the names and checksums of all files in a local folder."""
    if where.is_file():
        return sha256(where)
    lines = [f"{sha256(file)}  {file.relative_to(where)}\n" for file in files_of_tree(where)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files_of_tree(where: Path) -> list[Path]:
    """A local file by itself, or all files in a folder at any depth, in the order of their names."""
    return [where] if where.is_file() else sorted(path for path in where.rglob("*") if path.is_file())
