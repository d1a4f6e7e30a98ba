"""SHA-256 checksums of files."""

from __future__ import annotations

import hashlib
import os

from tfvideogan.files import paths


def sha256(file: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with paths.path(file).open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()
