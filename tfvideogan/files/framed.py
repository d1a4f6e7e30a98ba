"""The answers of a process that reads a stranger's files, as frames: a kind, a number, and so many bytes.

A file that has taken the process over could write anything. So its answers are no pickles, which run code where they
are read, and lengths that nothing has are refused.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import BinaryIO

from tfvideogan.config import UsageError

READY, ANSWER, NOTE, ERROR, FULL, END = b"R", b"A", b"W", b"E", b"M", b"N"
FRAME = struct.Struct("<cqQ")  # kind, number, bytes that follow
_LONGEST = 2**30  # More bytes than an answer can have.


@dataclasses.dataclass(frozen=True)
class Answer:
    """Bytes, and a number that says what they are."""

    content: bytes
    number: int


class FullError(UsageError):
    """The process has no memory left for a request."""


def send(answers: BinaryIO, kind: bytes, content: bytes = b"", number: int = 0) -> None:
    """Writes one frame."""
    answers.write(FRAME.pack(kind, number, len(content)) + content)
    answers.flush()


def received(answers: BinaryIO) -> Answer | UsageError | str | None:
    """What the next frame says: an answer, an error, a note, or None for READY and END.

    Raises:
        EOFError, ValueError: the process has ended, or written what is no frame.
    """
    header = answers.read(FRAME.size)
    if len(header) < FRAME.size:
        raise EOFError
    kind, number, length = FRAME.unpack(header)
    if length > _LONGEST or kind not in (READY, ANSWER, NOTE, ERROR, FULL, END):
        raise ValueError("no answer")
    content = answers.read(length)
    if len(content) < length:
        raise EOFError
    if kind == ANSWER:
        return Answer(content, number)
    text = content.decode(errors="replace")
    return {NOTE: text, ERROR: UsageError(text), FULL: FullError(text)}.get(kind)
