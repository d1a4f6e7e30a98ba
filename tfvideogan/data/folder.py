"""A folder of clips that is read as it is and decoded at each start, which suits few clips."""

from __future__ import annotations

import collections
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

# Where some clips are to represent a whole folder, at most so many times as many are kept to choose from.
_KEPT_FOR_EACH = 16
LIMITS = Limits(seconds=600, megabytes=2048)  # Each input has the default limits of `prepare_data`.


class ClipFolder:
    """The clips of a folder, decoded once, in a process with limits (`worker.py`), to an unlinked temporary file.

    The file is mapped into memory.

    Args:
        path: a folder (`data/inputs.py` has the layouts), one video, one file of arrays or one list.
        frame_size: pixels a side; frames are squashed to it, without a crop.
        num_frames: frames a clip.
        max_clips: decoding stops after so many clips.
        stand_in: the number of clips that are to represent the whole folder. Only so many of its inputs are decoded,
            at equal distances, and others only if those give too few clips. Of very many clips 8 to 16 times this
            number are kept, at equal distances.
        allow_outside: whether a list may name files outside of its own folder.
        form: how arrays are read.
        stride: frames from the start of a clip to that of the next in the same input; 0 stands for `num_frames`.
        first_only: each input gives one clip.

    Raises:
        UsageError: the folder is missing or holds nothing usable, or the disk is full.

    Attributes:
        skipped: the name of each input that was not used, or not in whole, and the reason.
        origins: the input of each clip that was kept.
        decoded: how many clips each input gave, by its name, kept or not.
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
        self.decoded: collections.Counter[str] = collections.Counter()
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
                most = _KEPT_FOR_EACH * stand_in if stand_in else None
                count = self._spool(itertools.islice(clips, max_clips), spool, path, most)
            unusable = counted(len(self.skipped), "unusable input")
            others = counted(len(contents.ignored), "other file")
            logger.info("%s: %s, %s, %s", path, counted(self.decoded.total(), "clip"), unusable, others)
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

    def _usable(self, clips: Iterable[EncodedClip | UsageError], item: Input) -> Iterable[tuple[bytes, Input]]:
        for clip in clips:
            if isinstance(clip, EncodedClip):
                self.decoded[item.name] += 1
                yield clip.strip, item
            else:
                self._skip(str(clip))

    def _spool(self, clips: Iterable[tuple[bytes, Input]], spool: BinaryIO, path: str | Path, most: int | None) -> int:
        """Writes clips one behind another, at equal distances if they are more than `most`; how many are written."""
        every = 1
        for number, (clip, item) in enumerate(clips):
            if number % every:
                continue
            try:
                if len(self.origins) == most:  # It is an even number, so that this clip is the next to keep.
                    _keep_every_other(spool, len(clip), most)
                    self.origins, every = self.origins[::2], 2 * every
                spool.write(clip)
                spool.flush()
            except OSError as error:
                where = tempfile.gettempdir()
                raise UsageError(f"--data: {path} decodes to more than {where} holds: {error}") from error
            self.origins.append(item)
        return len(self.origins)

    def _skip(self, reason: str) -> None:
        logger.warning("skipped: %s", reason)
        self.skipped.append(reason)


def _keep_every_other(spool: BinaryIO, size: int, count: int) -> None:
    """Keeps the clips 0, 2, 4, ... of `count` clips of `size` bytes, one behind another."""
    kept = (count + 1) // 2
    for place in range(1, kept):
        spool.seek(2 * place * size)
        clip = spool.read(size)
        spool.seek(place * size)
        spool.write(clip)
    spool.seek(kept * size)
    spool.truncate()
