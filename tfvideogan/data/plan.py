"""The plan of a data set: every input has its split and its shard, by a hash of its name, before anything is read."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.inputs import Found, Input, find_inputs
from tfvideogan.data.worker import Limits
from tfvideogan.files import paths, pictures

_INPUTS_A_SHARD, _MOST_SHARDS = 8, 1024


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker needs beside its shard.

    Attributes:
        splits: (name, share) of each split; the shares add up to 1.
    """

    output: str
    cutting: Cutting
    encoding: pictures.StripEncoding
    limits: Limits
    splits: tuple[tuple[str, float], ...]

    @property
    def unfinished(self) -> paths.Path:
        return paths.path(self.output) / records.UNFINISHED

    def options(self) -> dict[str, Any]:
        """All that decides what becomes of an input."""
        return {
            **dataclasses.asdict(self.cutting),
            "encoding": self.encoding.name,
            "quality": self.encoding.quality if self.encoding.name == "jpeg" else None,
            "time_limit": self.limits.seconds,
            "memory_limit": self.limits.megabytes,
            "splits": dict(self.splits),
        }

    def fingerprint(self, inputs: Sequence[Input]) -> str:
        """What must be equal for a job that was killed to go on: options, and the very same files."""
        files = sorted([item.name, *item.files] for item in inputs)
        return hashlib.sha256(json.dumps([records.SCHEMA, self.options(), files]).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of the job: its split, its number there, and its inputs."""

    split: str
    index: int
    inputs: tuple[Input, ...]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.index:05d}"


def find_all(roots: Sequence[str]) -> Found:
    """The inputs of all folders; names begin with the folder's where there are several."""
    whole = Found([], [], [])
    for root in roots:
        try:
            found = find_inputs(root)
        except UsageError as error:
            raise UsageError(f"--input: {error}") from error
        prefix = f"{pathlib.Path(root).absolute().name}/" if len(roots) > 1 else ""
        for item in found.inputs:
            own = prefix.rstrip("/") if item.group == "." and prefix else item.group  # a root that is itself a sequence
            whole.inputs.append(dataclasses.replace(item, name=prefix + item.name, group=own))
        whole.unusable += [(prefix + name, reason) for name, reason in found.unusable]
        whole.ignored += [prefix + name for name in found.ignored]
    name, times = max(
        collections.Counter(item.name for item in whole.inputs).items(), key=lambda x: x[1], default=("", 0)
    )
    if times > 1:
        raise UsageError(f"--input: {times} inputs have the name {name!r}; give folders of different names")
    return whole


def plan(inputs: Sequence[Input], splits: Sequence[tuple[str, float]]) -> list[Shard]:
    """Every input's split and shard: functions of names alone, and of how many there are."""
    shards = []
    for split, _ in splits:
        members = [item for item in inputs if split_of(item.group, splits) == split]
        members.sort(key=lambda item: (_hash(item.name), item.name))  # so that each shard is a mixture
        count = min(-(-len(members) // _INPUTS_A_SHARD), _MOST_SHARDS)
        shards += [Shard(split, index, tuple(members[index::count])) for index in range(count)]
    return shards


def split_of(group: str, splits: Sequence[tuple[str, float]]) -> str:
    """The split of a video, by its name: adding other videos does not move it."""
    position = _hash(group) / 2**64
    for name, share in splits:
        position -= share
        if position < 0:
            return name
    return splits[-1][0]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
