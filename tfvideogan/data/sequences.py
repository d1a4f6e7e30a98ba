"""Which pictures of a folder follow each other, by their names: several videos' frames, and holes in the numbers."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

# A word, a number that may be that of a video, and a number that may be that of a frame.
_NUMBERED_VIDEO = re.compile(r"(\D*[^\W\d_]{2}[\W_]*\d+)[\W_]+\d+")


@dataclasses.dataclass(frozen=True)
class Frames:
    """Pictures that follow each other.

    Attributes:
        name: the names of the first and the last one.
        video: what the names of all frames of their video have in common.
        files: their paths, in order.
    """

    name: str
    video: str
    files: tuple[str, ...]


def of_frames(files: Sequence[str]) -> list[Frames]:
    """The sequences in the pictures of one folder, which come in natural order.

    Frames are of one video if their names differ in numbers only: `run_a_0001` and `walk_0001` are of two. Of names
    such as `clip1_0001` and `clip2_0001` the first number is that of a video, if each has two frames or more. A video
    is divided where its numbers, which are otherwise a constant step apart, leave some out.
    """
    videos: dict[str, list[str]] = {}
    for path in files:
        videos.setdefault(_skeleton(path), []).append(path)
    if 2 * sum(len(frames) == 1 for frames in videos.values()) > len(videos):
        videos = {"": list(files)}  # Such names, as hashes, tell nothing.
    found = []
    for skeleton, frames in videos.items():
        for video, own in _by_number(skeleton, frames).items():
            for part in _without_holes(own):
                first, last = (PurePosixPath(path).stem for path in (part[0], part[-1]))
                found.append(Frames(first if first == last else f"{first} to {last}", video, tuple(part)))
    return found


def _skeleton(path: str) -> str:
    """The name of a frame without its numbers; nothing for a name that has none."""
    stem = PurePosixPath(path).stem
    return re.sub(r"\d+", "#", stem) if re.search(r"\d", stem) else ""


def _by_number(skeleton: str, frames: list[str]) -> dict[str, list[str]]:
    """Frames of one skeleton, by the number of their video if they have one."""
    videos: dict[str, list[str]] = {}
    for path in frames:
        match = _NUMBERED_VIDEO.fullmatch(PurePosixPath(path).stem)
        videos.setdefault(match[1] if match else skeleton, []).append(path)
    return videos if min(map(len, videos.values())) > 1 else {skeleton: frames}


def _without_holes(frames: list[str]) -> Iterable[list[str]]:
    """The frames in parts whose numbers are the usual step apart; all of them if their numbers are no sequence."""
    numbers = [re.findall(r"\d+", PurePosixPath(path).stem) for path in frames]
    steps = [int(b[-1]) - int(a[-1]) for a, b in itertools.pairwise(numbers) if a and a[:-1] == b[:-1]]
    if len(steps) < len(frames) - 1 or not steps or min(steps) < 1:
        return [frames]
    usual = collections.Counter(steps).most_common(1)[0][0]
    starts = [0, *(place for place, step in enumerate(steps, 1) if step > usual), len(frames)]
    return [frames[start:end] for start, end in itertools.pairwise(starts)]
