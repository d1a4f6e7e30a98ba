"""Decodes inputs in a process with limits on time and memory, so that one evil file cannot take a job down.

with Worker(cutting, encoding, limits) as worker:
    for clip in worker.clips(item):  # an EncodedClip, or a UsageError that says what is wrong
        ...
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator

from tfvideogan.config import UsageError
from tfvideogan.data.cutting import Clip, Cutting, clips_of
from tfvideogan.data.inputs import Input
from tfvideogan.files import confined, pictures
from tfvideogan.files.confined import Confined, Limits
from tfvideogan.files.framed import Answer

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EncodedClip:
    """A clip as a compressed film-strip, its frames under each other, or as the bytes of uint8 [T, H, W, 3].

    Attributes:
        start: the number of its first frame.
    """

    strip: bytes
    start: int


class Worker(contextlib.AbstractContextManager):
    """A process that makes clips of inputs, one input at a time.

    Args:
        encoding: how clips are compressed; None for not at all.
        note: is called with what is done to an input beside, such as that a video is deinterlaced.
    """

    def __init__(
        self,
        cutting: Cutting,
        encoding: pictures.StripEncoding | None,
        limits: Limits,
        note: Callable[[str], None] = logger.warning,
    ):
        self._process = Confined(__name__, (cutting, encoding), limits, note)
        self._bytes_a_clip = None if encoding else cutting.num_frames * cutting.frame_size**2 * 3

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; the next input starts another one."""
        self._process.close()

    def clips(self, item: Input) -> Iterator[EncodedClip | UsageError]:
        """The clips of one input and the errors of `clips_of`, or an error if it broke a limit or the process."""
        with contextlib.closing(self._process.answers(item, item.name)) as answers:
            for answer in answers:
                yield answer if isinstance(answer, UsageError) else self._clip(answer)

    def _clip(self, answer: Answer) -> EncodedClip | UsageError:
        if self._bytes_a_clip not in (None, length := len(answer.content)):  # A file may have taken the process over.
            return UsageError(f"the decoder gave a clip of {length} bytes in place of {self._bytes_a_clip}")
        return EncodedClip(answer.content, answer.number)


def main() -> None:
    """Runs the process."""
    confined.serve(_work)


def _work(setting: tuple[Cutting, pictures.StripEncoding | None]) -> confined.Work:
    cutting, encoding = setting

    def answers(item: Input) -> Iterator[Answer | UsageError]:
        for clip in clips_of(item, cutting):
            if isinstance(clip, Clip):
                strip = pictures.encode_strip(clip.frames, encoding) if encoding else clip.frames.tobytes()
                yield Answer(strip, clip.start)
            else:
                yield clip

    return answers
