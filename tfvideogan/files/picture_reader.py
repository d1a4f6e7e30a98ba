"""Pictures read in a process with limits on time and memory, whatever is in their files.

The process is started when it is first needed, serves all of this process's pictures, and ends with it.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import confined, optional, paths, pictures
from tfvideogan.files.confined import Confined, Limits
from tfvideogan.files.framed import Answer

# A picture has these limits. On a busy machine a good one may take long; only one that hangs takes as much as the wall
# time. With the start of the process (half a second) a hostile one has 5 s of processor time.
LIMITS = Limits(seconds=60, megabytes=512, cpu_seconds=4.5)

_Request = tuple[str, str, pictures.Fit | None]


def start() -> None:
    """Starts the process, which takes a moment, so that it is ready when the first picture comes."""
    _process(os.getpid())[0].start()


def read_image(path: str | Path, fit: pictures.Fit) -> np.ndarray:
    """As `pictures.read_image`. Raises UsageError for a picture that breaks a limit or the process, too."""
    answer = _ask("read", path, fit)
    height, length = answer.number, len(answer.content)
    if height < 1 or not length or length % (3 * height):  # A file may have taken the process over.
        raise UsageError(f"{path}: the decoder gave {length} bytes for {height} rows")
    return np.frombuffer(answer.content, np.uint8).reshape(height, -1, 3)


def count_pages(path: str | Path) -> int:
    """As `pictures.count_pages`. Raises UsageError for a picture that breaks a limit or the process."""
    return _ask("pages", path).number if pictures.may_have_pages(path) else 1


def is_strip(path: str | Path) -> bool | None:
    """As `pictures.is_strip`; None for a picture that breaks a limit or the process, too."""
    try:
        answer = _ask("strip", path)
    except UsageError:
        return None
    return None if answer.number < 0 else bool(answer.number)


def _ask(what: str, path: str | Path, fit: pictures.Fit | None = None) -> Answer:
    """The one answer about a picture, of which a copy is made if it is remote."""
    process, one_at_a_time = _process(os.getpid())
    answer: Answer | UsageError = UsageError("the decoder gave no answer")
    try:
        with paths.local(path) as file, one_at_a_time:
            if Path(file).exists() and not Path(file).is_file():
                raise UsageError(f"{path}: no file, but a folder, a pipe, a socket or a device")
            for answer in process.answers((what, file, fit), file):  # noqa: B007 - honest processes give one
                pass
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if isinstance(answer, UsageError):
        raise UsageError(f"{path}: {str(answer).removeprefix(f'{file}: ')}")
    return answer


@functools.cache
def _process(pid: int) -> tuple[Confined, threading.Lock]:  # noqa: ARG001 - a fork must not share that of its parent
    return Confined(__name__, None, LIMITS), threading.Lock()


def main() -> None:
    """Runs the process."""
    confined.serve(_prepare)


def _prepare(_: None) -> confined.Work:
    if optional.has_tensorflow_io():  # It decodes WebP, and its import takes more than a picture may.
        optional.tensorflow_io()
    return _answers


def _answers(request: _Request) -> Iterator[Answer]:
    what, file, fit = request
    if what == "read":
        frame = pictures.read_image(file, fit)
        yield Answer(frame.tobytes(), len(frame))
    elif what == "pages":
        yield Answer(b"", pictures.count_pages(file))
    else:
        known = pictures.is_strip(file)
        yield Answer(b"", -1 if known is None else int(known))
