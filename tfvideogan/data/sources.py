"""Where clips come from: a data set's records, a folder, or clips made on the fly, all opened by `open_sources`.

A source hands out keys in a seeded order, numbers or compressed records, and loads the clip of a key, uint8
[T, H, W, 3]. What is shuffled are numbers alone, so that memory holds neither records nor decoded clips for it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.data import records, scenes, skies, synthetic
from tfvideogan.data.folder import ClipFolder
from tfvideogan.data.indexed import Indexed
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.data.record_source import Records
from tfvideogan.files import paths

SYNTHETIC = {
    "sky": synthetic.Sky,
    "sprites": synthetic.Sprites,
    "moves": synthetic.Moves,
    "skies": skies.Skies,
    "skies-common-wind": skies.SkiesCommonWind,
    "scenes": scenes.Scenes,
}


class ClipSource(Protocol):
    """Clips, each loaded by its key."""

    def __len__(self) -> int:
        """How many clips an epoch has."""

    def shuffled(self, seed: int, first: int, worker: int = 0, workers: int = 1) -> tf.data.Dataset:
        """Endless keys from position `first` of this worker on, which follow from seed and position alone.

        Each epoch is a permutation, of which each worker has its part.
        """

    def in_order(self) -> tf.data.Dataset:
        """All keys, once."""

    def spread(self, count: int) -> tf.data.Dataset:
        """`count` keys in order that stand for all, or all keys if they are fewer."""

    def load(self, key: tf.Tensor) -> tf.Tensor:
        """The clip of a key, uint8 of static shape [T, H, W, 3]."""


@dataclasses.dataclass(frozen=True)
class Weighted:
    """A source, and its share of the clips that a training draws, relative to the other sources' weights."""

    source: ClipSource
    weight: float


def open_source(
    data: str,
    frame_size: int,
    num_frames: int,
    seed: int = 0,
    max_clips: int | None = None,
    max_bad_shards: int = 0,
    allow_outside: bool = False,
    form: Form = BY_RULE,
    stand_in: int | None = None,
) -> ClipSource:
    """The one source that `--data` names, for commands that look at clips in their order.

    Args:
        num_frames: frames of the clips that are loaded.
        seed: the seed of clips that are made on the fly.
        max_clips: no more clips of a folder are decoded than this.
        stand_in: so many clips of a folder, by `spread`, are to stand for all; see `ClipFolder`.
        max_bad_shards, allow_outside, form: as for `open_sources`.

    Raises:
        UsageError: there is no such source, nothing in it is usable, or `data` names several.
    """
    names = split_names(data)
    if len(names) > 1:
        raise UsageError(f"--data must name one source here. Received: {data!r}")
    return _open(names[0][0], frame_size, num_frames, seed, max_bad_shards, allow_outside, form, max_clips, stand_in)


def open_sources(
    data: str,
    frame_size: int,
    num_frames: int,
    seed: int = 0,
    max_bad_shards: int = 0,
    allow_outside: bool = False,
    form: Form = BY_RULE,
) -> list[Weighted]:
    """The sources that `--data` names, separated by commas, each with `@WEIGHT` behind it or the weight 1.

    Args:
        num_frames: frames of the clips that are loaded.
        seed: the seed of clips that are made on the fly.
        max_bad_shards: so many damaged shards of each source are left out with a warning.
        allow_outside: whether a list may name files outside of its own folder.
        form: how arrays are read.

    Raises:
        UsageError: there is no such source, or nothing in it is usable.
    """
    return [
        Weighted(_open(name, frame_size, num_frames, seed, max_bad_shards, allow_outside, form), weight)
        for name, weight in split_names(data)
    ]


def split_names(data: str) -> list[tuple[str, float]]:
    """(name, weight) of each source; a file or folder that exists under the whole name is a single source.

    Raises:
        UsageError: there is no name, or a weight that is not above 0.
    """
    if not data:
        raise UsageError("--data must be a folder, records or synthetic:NAME. Received: ''")
    if not paths.is_remote(data) and Path(paths.at_home(data)).exists():
        return [(data, 1.0)]
    weights = []
    for part in data.split(","):
        match = re.fullmatch(r"(.+)@(\d*\.?\d+)", part)
        weights.append((match[1], float(match[2])) if match else (part, 1.0))
    if any(not name or weight <= 0 for name, weight in weights):
        raise UsageError(f"--data must be sources as NAME or NAME@WEIGHT, a weight above 0. Received: {data!r}")
    return weights


def is_built_in(data: str) -> bool:
    """Whether all sources are clips that are made on the fly, so that no file is opened."""
    return all(part.startswith("synthetic:") for part in data.split(","))


def held_out(data: str) -> str:
    """The test split of the source that a run was trained on, or the same source if it has none beside that one."""
    ((data, _),) = split_names(data)
    if data.startswith("synthetic:"):
        return f"{data.removesuffix(':train')}:test" if data.count(":") == 1 or data.endswith(":train") else data
    where = paths.path(data)
    for folder in (where, where.parent):  # `where` is a data set, or one of its splits.
        if paths.is_file(folder / records.DATASET) and (folder is where or not where.exists()):
            has_split = "test" in records.read_dataset(folder)["shards"]
            return f"{str(folder).rstrip('/')}/test" if has_split else data
    return data


def share_clips(data: str, others: str) -> bool:
    """Whether a source has clips of any of other ones: it is the same split by whatever name, or one is in the other.

    The other ones are told by their names alone and not opened, since a stranger's config may name anything.

    Raises:
        UsageError: `data` names a split that its data set does not have.
    """
    own = split_names(data)[0][0]
    return any(_same_clips(own, other) for other, _ in split_names(others))


def _same_clips(own: str, other: str) -> bool:
    if own.startswith("synthetic:") or other.startswith("synthetic:"):
        first, second = (name if name.count(":") > 1 else f"{name}:train" for name in (own, other))
        return first == second
    place, shards = _place(other), records.find_shards(own)
    if shards is None:
        here = _place(own)
        return here == place or here in place.parents or place in here.parents
    files = {_place(shard) for shard in shards}
    names = {own, *shards, *(str(file.parent / file.name.rsplit("-", 3)[0]) for file in files)}
    for folder in {str(file.parent) for file in files}:  # It stands for one of its splits.
        names |= {folder} if files & {_place(shard) for shard in records.find_shards(folder) or ()} else set()
    return place in map(_place, names) or any(file.match(str(place)) for file in files)


def _place(name: str) -> PurePath:
    return PurePath(name) if paths.is_remote(name) else Path(paths.at_home(name)).resolve()


def absolute(data: str) -> str:
    """The value of `--data` with the sources in it named so that they are found from any directory."""
    if not paths.is_remote(data) and Path(paths.at_home(data)).exists():
        return paths.absolute(data)
    return ",".join(part if part.startswith("synthetic:") else paths.absolute(part) for part in data.split(","))


def _open(
    name: str,
    frame_size: int,
    num_frames: int,
    seed: int,
    max_bad_shards: int,
    allow_outside: bool,
    form: Form,
    max_clips: int | None = None,
    stand_in: int | None = None,
) -> ClipSource:
    if name.startswith("synthetic:"):
        return Indexed(_synthetic(name, frame_size, num_frames, seed))
    shards = records.find_shards(name)
    if shards is not None:
        return Records(name, shards, frame_size, num_frames, max_bad_shards)
    return Indexed(ClipFolder(name, frame_size, num_frames, max_clips, allow_outside, form, stand_in=stand_in))


def _synthetic(data: str, frame_size: int, num_frames: int, seed: int) -> Sequence[np.ndarray]:
    """The clips that `synthetic:NAME` or `synthetic:NAME:SPLIT` names."""
    _, name, *split = data.split(":")
    if name not in SYNTHETIC or split not in ([], ["train"], ["test"]):
        names = ", ".join(f"synthetic:{kind}[:test]" for kind in SYNTHETIC)
        raise UsageError(f"--data names no built-in clips; there are {names}. Received: {data!r}")
    return SYNTHETIC[name](frame_size, num_frames, *split, seed=seed)
