"""The plan of a data set: a hash of its name gives every input a split and a shard, before anything is read."""

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
from tfvideogan.data.inputs import Contents, Input, find_inputs
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.files import paths, pictures
from tfvideogan.files.confined import Limits

_INPUTS_A_SHARD, _MOST_SHARDS = 8, 1024


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker needs beside its shard.

    Attributes:
        output: the folder of the data set.
        splits: (name, share) of each split; the shares add up to 1.
    """

    output: str
    cutting: Cutting
    encoding: pictures.StripEncoding
    limits: Limits
    splits: tuple[tuple[str, float], ...]

    @property
    def unfinished(self) -> paths.Path:
        """The folder where the data set lies until it is complete."""
        return paths.path(self.output) / records.UNFINISHED

    def options(self) -> dict[str, Any]:
        """All options that decide what becomes of an input."""
        return {
            **dataclasses.asdict(self.cutting),
            "encoding": self.encoding.name,
            "quality": self.encoding.quality if self.encoding.name == "jpeg" else None,
            "time_limit": self.limits.seconds,
            "memory_limit": self.limits.megabytes,
            "splits": dict(self.splits),
        }

    def fingerprint(self, inputs: Sequence[Input]) -> str:
        """A hash of the options and the files; a job that was killed goes on only if it is the same."""
        files = sorted([item.name, *item.files, *read_as(item).values()] for item in inputs)
        return hashlib.sha256(json.dumps([records.SCHEMA, self.options(), files]).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of the data set: its split, its number in that split, and the inputs whose clips it holds."""

    split: str
    index: int
    inputs: tuple[Input, ...]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.index:05d}"


def read_as(item: Input) -> dict[str, str]:
    """How an array is read, for the description of the data set; nothing of other inputs."""
    return {"layout": item.part.layout, "range": item.part.values} if item.part else {}


def find_all(roots: Sequence[str], allow_outside: bool = False, form: Form = BY_RULE) -> Contents:
    """The contents of all folders together; of several folders, each name begins with that of its folder.

    Args:
        allow_outside: whether a list may name files outside of its own folder.
        form: how arrays are read.

    Raises:
        UsageError: a folder is missing, or two inputs have the same name.
    """
    everything = Contents([], [], [])
    for root in roots:
        try:
            contents = find_inputs(root, allow_outside, form)
        except UsageError as error:
            raise UsageError(f"--input: {error}") from error
        prefix = f"{pathlib.Path(root).absolute().name}/" if len(roots) > 1 else ""
        for item in contents.inputs:
            is_root = item.group == "." and prefix  # The root is itself a sequence of frames.
            group = prefix.rstrip("/") if is_root else item.group
            everything.inputs.append(dataclasses.replace(item, name=prefix + item.name, group=group))
        everything.unusable += [(prefix + name, reason) for name, reason in contents.unusable]
        everything.ignored += [prefix + name for name in contents.ignored]
    for name, times in collections.Counter(item.name for item in everything.inputs).most_common(1):
        if times > 1:
            raise UsageError(f"--input: {times} inputs have the name {name!r}; give folders of different names")
    return everything


def plan(inputs: Sequence[Input], splits: Sequence[tuple[str, float]]) -> list[Shard]:
    """The shards of every split. They follow from the names of the inputs and their number alone."""
    shards = []
    for split, _ in splits:
        members = [item for item in inputs if split_of(item.group, splits) == split]
        members.sort(key=lambda item: (_hash(item.name), item.name))  # The hash makes each shard a mixture.
        count = min(-(-len(members) // _INPUTS_A_SHARD), _MOST_SHARDS)
        shards += [Shard(split, index, tuple(members[index::count])) for index in range(count)]
    return shards


def split_of(group: str, splits: Sequence[tuple[str, float]]) -> str:
    """The split of a video by its name alone, so that adding other videos does not move it."""
    position = _hash(group) / 2**64
    for name, share in splits:
        position -= share
        if position < 0:
            return name
    return splits[-1][0]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
