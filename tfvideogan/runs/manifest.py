"""A checkpoint's manifest: the SHA-256 of each of its files, where it was trained, and a checksum over itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import Any

from tfvideogan.config import UsageError
from tfvideogan.files import checksums, paths
from tfvideogan.runs import versions

MANIFEST = "manifest.json"
_NOT_IN_FORMAT_1 = ("clips", "batch_size")


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What a checkpoint's manifest says beside its files.

    Attributes:
        clips: the number of clips that the stage has taken, which is where its data go on.
        batch_size: the number of clips that its last step took.
        restores: how often the stage has gone back to a checkpoint, each time to another data order.
        replicas: the number of replicas it was trained on.
        hosts: the number of hosts it was trained on.
    """

    clips: int = 0
    batch_size: int = 0
    restores: int = 0
    replicas: int = 1
    hosts: int = 1


def sealed(manifest: dict[str, Any]) -> str:
    """The text of a manifest, with a checksum over the rest of it. All formats are sealed in this way."""
    checksum = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    return json.dumps(manifest | {"checksum": checksum}, indent=2) + "\n"


def of_folder(path: paths.Path, stage: int, step: int, provenance: Provenance) -> str:
    """The text of the manifest for the files that lie in a checkpoint's folder."""
    files = {file.name: checksums.sha256(file) for file in sorted(path.iterdir()) if file.name != MANIFEST}
    return sealed(versions.marked({"stage": stage, "step": step, **vars(provenance), "files": files}))


def verified(path: paths.Path, stage: int, step: int) -> tuple[Provenance, versions.Format]:
    """Where a checkpoint was trained, and its format, if its files are as they were written.

    A manifest of format 1 does not tell the `clips` and the `batch_size`, which are 0 then.

    Raises:
        UsageError: it is of a newer major format.
        ValueError, OSError, tf.errors.OpError: the files, or the manifest, are damaged or of another stage or step.
    """
    text = paths.read_text(path / MANIFEST)
    try:
        content = paths.parse_json(text)
    except ValueError as error:
        raise ValueError(f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(content, dict) or not _is_sealed(text, content):
        raise ValueError(f"{MANIFEST} does not match its own checksum")
    try:
        version = versions.format_of(content)
    except UsageError as error:
        raise UsageError(f"--run_dir: {path / MANIFEST}: {error}") from error
    names = [field.name for field in dataclasses.fields(Provenance)]
    numbers = _numbers(content, [name for name in names if version[0] > 1 or name not in _NOT_IN_FORMAT_1])
    if _numbers(content, ["stage", "step"]) != {"stage": stage, "step": step}:
        raise ValueError(f"{MANIFEST} is of stage {content['stage']}, step {content['step']}")
    _check_files(path, content.get("files"))
    return Provenance(**numbers), version


def _is_sealed(text: str, content: dict[str, Any]) -> bool:
    try:
        return text == sealed({name: value for name, value in content.items() if name != "checksum"})
    except RecursionError:  # It is nested more deeply than a manifest that we have written.
        return False


def _numbers(content: dict[str, Any], names: list[str]) -> dict[str, int]:
    """These fields of a manifest. Raises ValueError for one that is missing or no count."""
    for name in names:
        if type(content.get(name)) is not int or content[name] < 0:
            raise ValueError(f"{MANIFEST} must tell {name!r}, a count. Received: {content.get(name)!r}")
    return {name: content[name] for name in names}


def _check_files(path: paths.Path, files: Any) -> None:
    """Raises ValueError or OSError unless these are files of the folder, by name, with their SHA-256."""
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{MANIFEST} names no files")
    for name, expected in files.items():
        if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
            raise ValueError(f"{MANIFEST} names {name!r}, which is no file of the checkpoint")
        if (path / name).exists() and not paths.is_file(path / name):
            raise ValueError(f"{name} is no regular file")
        if checksums.sha256(path / name) != expected:
            raise ValueError(f"{name} does not match its SHA-256")
