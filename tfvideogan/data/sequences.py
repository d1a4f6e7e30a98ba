"""The order of a folder's files by their names, and which pictures follow each other: several videos' frames, and holes
in the numbers.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from tfvideogan.files import paths

# A number that may be that of a video, and one that may be that of a frame: behind letters, or of three digits or more,
# since two short numbers may be an hour and a minute.
_NUMBERED_VIDEO = re.compile(r"(\D*[^\W\d_][\W_]*\d+)[\W_]+\d+|(\d+)[\W_]+\d{3,}")


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
    such as `clip1_0001` and `clip2_0001` the first number is that of a video, unless most videos would have one frame.
    A video is divided where its numbers, which are otherwise a constant step apart, leave some out.
    """
    videos: dict[str, list[str]] = {}
    for path in files:
        videos.setdefault(_skeleton(path), []).append(path)
    if _are_mostly_single(videos):
        videos = {"": list(files)}  # Such names, as hashes, tell nothing.
    sequences = []
    for skeleton, frames in videos.items():
        for video, own in _by_number(skeleton, frames).items():
            for part in _without_holes(own):
                first, last = (PurePosixPath(path).stem for path in (part[0], part[-1]))
                sequences.append(Frames(first if first == last else f"{first} to {last}", video, tuple(part)))
    return sequences


def _skeleton(path: str) -> str:
    """The name of a frame without its numbers; nothing for a name that has none."""
    stem = PurePosixPath(path).stem
    return re.sub(r"\d+", "#", stem) if re.search(r"\d", stem) else ""


def _by_number(skeleton: str, frames: list[str]) -> dict[str, list[str]]:
    """Frames of one skeleton, by the number of their video if they have one."""
    videos: dict[str, list[str]] = {}
    for path in frames:
        match = _NUMBERED_VIDEO.fullmatch(PurePosixPath(path).stem)
        videos.setdefault(match[1] or match[2] if match else skeleton, []).append(path)
    return {skeleton: frames} if _are_mostly_single(videos) else videos


def _are_mostly_single(videos: dict[str, list[str]]) -> bool:
    """Whether most of these videos would have one frame, which tells that they are none."""
    return 2 * sum(len(frames) == 1 for frames in videos.values()) > len(videos)


def _without_holes(frames: list[str]) -> Iterable[list[str]]:
    """The frames in parts whose numbers are the usual step apart; all of them if their numbers are no sequence."""
    columns = list(zip(*(map(int, re.findall(r"\d+", PurePosixPath(path).stem)) for path in frames), strict=False))
    varying = [column for column in columns if len(set(column)) > 1]
    steps = [b - a for a, b in itertools.pairwise(varying[0])] if len(varying) == 1 else []
    if not steps or min(steps) < 0:  # Two pictures may have one number, as of two formats.
        return [frames]
    usual = collections.Counter(step for step in steps if step).most_common(1)[0][0]
    starts = [0, *(place for place, step in enumerate(steps, 1) if step > usual), len(frames)]
    return [frames[start:end] for start, end in itertools.pairwise(starts)]


def natural_order(listed: Iterable[paths.Path]) -> list[paths.Path]:
    """Paths in an order that has frame 10 after frame 9, whether or not the numbers are padded."""
    return sorted(
        listed, key=lambda path: [int(x) if x.isdecimal() else x.casefold() for x in re.split(r"(\d+)", str(path))]
    )
