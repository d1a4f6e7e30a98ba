"""A checkpoint's manifest: the SHA-256 of each of its files, where it was trained, and a checksum over itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from tfvideogan.files import checksums, paths

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What a checkpoint's manifest says beside its files.

    Attributes:
        restores: how often the stage has gone back to a checkpoint, each time to another data order.
        replicas, hosts: it was trained on.
    """

    restores: int = 0
    replicas: int = 1
    hosts: int = 1


def sealed(manifest: dict[str, Any]) -> str:
    """A manifest's text, with a checksum over the rest of it."""
    checksum = hashlib.sha256(json.dumps(manifest).encode()).hexdigest()
    return json.dumps(manifest | {"checksum": checksum}, indent=2) + "\n"


def verified(path: paths.Path) -> Provenance:
    """Where a checkpoint was trained if its files are as they were written.

    Raises:
        ValueError, OSError, tf.errors.OpError: they are not.
    """
    text = (path / MANIFEST).read_text(encoding="utf-8")
    try:
        said = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(said, dict) or text != sealed({k: v for k, v in said.items() if k != "checksum"}):
        raise ValueError(f"{MANIFEST} does not match its own checksum")
    for name, expected in said["files"].items():
        if checksums.sha256(path / name) != expected:
            raise ValueError(f"{name} does not match its SHA-256")
    return Provenance(**{field.name: said[field.name] for field in dataclasses.fields(Provenance)})
