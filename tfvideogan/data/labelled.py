"""Clips with their classes, for action classification: a folder for each class, UCF101's lists, or built-in motions.

The class of an input is the first folder of its name (`ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi`), or its name
without the suffix where no folder stands before it. UCF101's lists name one video a line, with or without a class index
behind it, which is not needed.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import lists, synthetic
from tfvideogan.data.folder import ClipFolder
from tfvideogan.data.inputs import Input
from tfvideogan.data.wording import counted
from tfvideogan.files import paths

logger = logging.getLogger(__name__)

_TRAIN, _TEST, _NEITHER = range(3)  # A clip is in one of these parts of the data.
_UCF_PART = re.compile(r"_c\d+(\.\w+)?$")  # Of UCF101, v_Biking_g08_c01 and _c02 are cut from one video.
_TEST_SHARE = 0.2  # This share of each class's videos is for testing, where no list says which.
_BUILT_IN = "synthetic:moves"


@dataclasses.dataclass(frozen=True)
class LabelledClips:
    """Some of a sequence of clips, uint8 [T, H, W, 3] each, with their classes.

    Attributes:
        clips: all clips.
        numbers: int64 [n], which of them these are.
        labels: int64 [n], the class of each, as a place in the tuple of classes.
    """

    clips: Sequence[np.ndarray]
    numbers: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def share(self, share: float, seed: int) -> LabelledClips:
        """The same share of every class, at least one clip of each. With one seed, more of them contain fewer."""
        random = np.random.default_rng(seed)
        chosen = []
        for label in np.unique(self.labels):
            own = random.permutation(np.flatnonzero(self.labels == label))
            chosen.append(own[: max(1, round(share * len(own)))])
        places = np.sort(np.concatenate(chosen))
        return LabelledClips(self.clips, self.numbers[places], self.labels[places])

    def first(self, count: int | None) -> LabelledClips:
        """The first `count` clips, or all of them for None."""
        return LabelledClips(self.clips, self.numbers[:count], self.labels[:count])


@dataclasses.dataclass(frozen=True)
class LabelledData:
    """The classes by name, and the clips to learn from and to test on."""

    classes: tuple[str, ...]
    train: LabelledClips
    test: LabelledClips


def open_labelled(
    data: str,
    frame_size: int,
    num_frames: int,
    seed: int = 0,
    lists: tuple[str, str] | None = None,
    stride: int = 0,
    first_only: bool = False,
) -> LabelledData:
    """The labelled clips of `synthetic:moves`, or of a folder that has a folder for each class.

    Without lists the last fifth of each class's videos is for testing. The parts of one video stay together, except
    where a class has one video only: there it is the last fifth of its clips, and a warning says so.

    Args:
        seed: the seed of built-in clips.
        lists: UCF101's two lists, of the videos to learn from and to test on.
        stride, first_only: as for `ClipFolder`.

    Raises:
        UsageError: there is no such folder or list, there are not two classes, or a class has no clip to learn from.
    """
    if data.startswith("synthetic:"):
        if data != _BUILT_IN:
            raise UsageError(f"--data must be {_BUILT_IN}, or a folder with a folder a class. Received: {data!r}")
        parts = (synthetic.Moves(frame_size, num_frames, split, seed) for split in synthetic.SPLITS)
        return LabelledData(synthetic.Moves.CLASSES, *map(_of_built_in, parts))
    split = _of_lists(*lists) if lists else None
    folder = ClipFolder(data, frame_size, num_frames, stride=stride, first_only=first_only)
    part = _by_lists(folder.origins, split) if split else _by_videos(folder.origins)
    return _divided(folder, [_class_of(item.name) for item in folder.origins], part)


def _of_built_in(moves: synthetic.Moves) -> LabelledClips:
    numbers = np.arange(len(moves))
    return LabelledClips(moves, numbers, np.array([moves.label(number) for number in numbers]))


def _divided(clips: Sequence[np.ndarray], kinds: list[str], part: np.ndarray) -> LabelledData:
    """Clips of these classes, each in the part with its number: `_TRAIN`, `_TEST` or neither."""
    classes, labels = np.unique(kinds, return_inverse=True)
    train, test = (np.flatnonzero(part == which) for which in (_TRAIN, _TEST))
    untaught = np.setdiff1d(np.arange(len(classes)), labels[train])
    if len(classes) < 2 or len(untaught) or not len(test):
        without = f", {classes[untaught[0]]} without any to learn from" if len(untaught) else ""
        raise UsageError("--data must have two classes or more, each with clips to learn from, and clips to test on. "
                         f"Received: {', '.join(classes[:3])}{without}, {len(test)} to test on")  # fmt: skip
    return LabelledData(tuple(classes.tolist()), *(LabelledClips(clips, own, labels[own]) for own in (train, test)))


def _by_lists(origins: Sequence[Input], split: dict[str, int]) -> np.ndarray:
    """The part of each clip. Videos of the lists that no clip is of are told."""
    usable = {item.name for item in origins}
    if missing := [name for name in split if name not in usable]:
        logger.warning("%s of the lists cannot be used, the first: %s", counted(len(missing), "video"), missing[0])
    return np.array([split.get(item.name, _NEITHER) for item in origins])


def _by_videos(origins: Sequence[Input]) -> np.ndarray:
    """The part of each clip: the last fifth of each class's videos is for testing."""
    kinds = np.array([_class_of(item.name) for item in origins])
    part, single = np.full(len(kinds), _TRAIN), []
    for kind in np.unique(kinds):
        own = np.flatnonzero(kinds == kind)
        videos = [_UCF_PART.sub("", origins[place].group) for place in own]
        order = list(dict.fromkeys(videos))
        if len(order) == 1:
            single.append(str(kind))
            part[own[len(own) - _count(len(own)) :]] = _TEST
        else:
            tested = order[len(order) - _count(len(order)) :]
            part[own[[video in tested for video in videos]]] = _TEST
    if single:
        logger.warning("classes of a single video, whose last clips are for testing and much like those learned from: "
                       "%d, the first: %s", len(single), single[0])  # fmt: skip
    return part


def _count(number: int) -> int:
    """How many of so many are for testing: at least one, unless there is only one."""
    return max(1, round(_TEST_SHARE * number)) if number > 1 else 0


def _class_of(name: str) -> str:
    first, *rest = PurePosixPath(name).parts
    return first if rest else PurePosixPath(first).stem


def _of_lists(train: str, test: str) -> dict[str, int]:
    """The names in both lists, and the part of each. Raises UsageError for a name in both."""
    names = {flag: _names(flag, file) for flag, file in (("train_list", train), ("test_list", test))}
    if both := set(names["train_list"]) & set(names["test_list"]):
        raise UsageError(f"--train_list and --test_list must not share a video. Received: {min(both)}")
    return dict.fromkeys(names["train_list"], _TRAIN) | dict.fromkeys(names["test_list"], _TEST)


def _names(flag: str, file: str) -> list[str]:
    try:
        names = [lists.without_class(line) for line in lists.lines_of(paths.path(file))]
        "".join(names).encode()  # It raises a UnicodeEncodeError for what is no text.
    except (OSError, UnicodeEncodeError) as error:
        raise UsageError(f"--{flag} cannot be read: {error}") from error
    if not names:
        raise UsageError(f"--{flag} must name videos, one a line. Received: {file}, which names none")
    return names
