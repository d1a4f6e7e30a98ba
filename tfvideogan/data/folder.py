"""A folder of clips that is read as it is and decoded at each start, which suits few clips."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.indexed import evenly
from tfvideogan.data.inputs import Input, find_inputs
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.data.wording import counted
from tfvideogan.data.worker import EncodedClip, Worker
from tfvideogan.files import arrays, pictures
from tfvideogan.files.confined import Limits

logger = logging.getLogger(__name__)

LIMITS = Limits(seconds=600, megabytes=2048)  # for each input, as `prepare_data` has them by default


class ClipFolder:
    """The clips of a folder, decoded once, in a process with limits (`worker.py`), to an unlinked temporary file.

    The file is mapped into memory.

    Args:
        path: a folder (`data/inputs.py` has the layouts), one video, one file of arrays or one list.
        frame_size: pixels a side; frames are squashed to it, without a crop.
        num_frames: frames a clip.
        max_clips: decoding stops after so many clips.
        stand_in: so many clips are to stand for all: of more inputs as many are decoded, at equal distances, and others
            only if those give too few clips.
        allow_outside: whether a list may name files outside of its own folder.
        form: how arrays are read.
        stride: frames from the start of a clip to that of the next in the same input; 0 stands for `num_frames`.
        first_only: each input gives one clip.

    Raises:
        UsageError: the folder is missing or holds nothing usable, or the disk is full.

    Attributes:
        skipped: the name of each input that was not used, or not in whole, and the reason.
        origins: the input of each clip.
        num_inputs: how many inputs there are, decoded or not.
    """

    def __init__(
        self,
        path: str | Path,
        frame_size: int,
        num_frames: int,
        max_clips: int | None = None,
        allow_outside: bool = False,
        form: Form = BY_RULE,
        stride: int = 0,
        first_only: bool = False,
        stand_in: int | None = None,
    ):
        self.skipped: list[str] = []
        self.origins: list[Input] = []
        try:
            contents = find_inputs(str(path), allow_outside, dataclasses.replace(form, least=num_frames))
        except UsageError as error:
            raise UsageError(f"--data: {error}") from error
        self.num_inputs, few = len(contents.inputs), len(contents.inputs) < 2
        for name, reason in contents.unusable:
            self._skip(f"{name}: {reason}")
        with tempfile.TemporaryFile(prefix="tfvideogan-clips-") as spool:
            items = tqdm(self._chosen(contents.inputs, stand_in), f"reading {path}", unit="", leave=False, disable=few)
            cutting = Cutting(frame_size, num_frames, stride=stride, first_only=first_only)
            with Worker(cutting, None, LIMITS) as worker:
                clips = itertools.chain.from_iterable(self._usable(worker.clips(item), item) for item in items)
                count = _spool(itertools.islice(clips, max_clips), spool, path)
            unusable = counted(len(self.skipped), "unusable input")
            others = counted(len(contents.ignored), "other file")
            logger.info("%s: %s, %s, %s", path, counted(count, "clip"), unusable, others)
            if self.skipped:
                unusable += f", the first: {self.skipped[0]}"
            if not count:
                raise UsageError(
                    f"--data: nothing usable in {path} ({unusable}). It may hold videos, folders of frames "
                    f"({', '.join(pictures.IMAGE_SUFFIXES)}), arrays ({', '.join(arrays.SUFFIXES)}) and list files "
                    f"(*.txt) of vertical strips, each of {num_frames} frames or more"
                )
            shape = (count, num_frames, frame_size, frame_size, 3)
            self._clips = np.memmap(spool, np.uint8, "r", shape=shape)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(self._clips[index])

    def _chosen(self, inputs: list[Input], stand_in: int | None) -> Iterable[Input]:
        """The inputs to decode; whether further ones are needed is known when the first ones are decoded."""
        if stand_in is None or len(inputs) <= stand_in:
            return inputs
        places = evenly(stand_in, len(inputs)).tolist()
        others = (item for place, item in enumerate(inputs) if place not in places)
        return itertools.chain(
            (inputs[place] for place in places),
            itertools.takewhile(lambda _: len(self.origins) < stand_in, others),
        )

    def _usable(self, clips: Iterable[EncodedClip | UsageError], item: Input) -> Iterable[bytes]:
        for clip in clips:
            if isinstance(clip, EncodedClip):
                self.origins.append(item)
                yield clip.strip
            else:
                self._skip(str(clip))

    def _skip(self, reason: str) -> None:
        logger.warning("skipped: %s", reason)
        self.skipped.append(reason)


def _spool(clips: Iterable[bytes], spool: BinaryIO, path: str | Path) -> int:
    """Writes clips one behind another and returns how many they are."""
    count = 0
    for clip in clips:
        try:
            spool.write(clip)
            spool.flush()
        except OSError as error:
            where = tempfile.gettempdir()
            raise UsageError(f"--data: {path} decodes to more than {where} holds: {error}") from error
        count += 1
    return count
