"""Decodes inputs in a separate process with limits on time and memory, so that one evil file cannot take a job down.

    with Worker(cutting, encoding, limits) as worker:
        for clip in worker.clips(item):  # an EncodedClip, or a UsageError that says what is wrong
            ...

The process serves one input after the other, and is replaced when an input has killed it. It runs `main`, which reads
pickled requests. A file that has taken it over could write anything, so its answers are no pickles, which run code
where they are read, but frames: a kind, a number, and so many bytes.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from tfvideogan.config import UsageError
from tfvideogan.data.cutting import Clip, Cutting, clips_of
from tfvideogan.data.inputs import Input
from tfvideogan.files import child, pictures

_MEGABYTE = 2**20


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one input may take: wall time, and memory beyond that of the idle process."""

    seconds: float
    megabytes: int


@dataclasses.dataclass(frozen=True)
class EncodedClip:
    """A clip as a compressed film-strip, its frames under each other, or as the bytes of uint8 [T, H, W, 3].

    Attributes:
        start: the number of its first frame.
    """

    strip: bytes
    start: int


_READY, _CLIP, _ERROR, _END = b"R", b"C", b"E", b"N"
_FRAME = struct.Struct("<cqQ")  # kind, number of the first frame, bytes that follow
_LONGEST = 2**30  # More bytes than a clip can have.


class Worker:
    """A process that makes clips of inputs, one input at a time.

    Args:
        encoding: how clips are compressed; None for not at all.
    """

    def __init__(self, cutting: Cutting, encoding: pictures.StripEncoding | None, limits: Limits):
        self._setting = (cutting, encoding, limits.megabytes)
        self._limits = limits
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; the next input starts another one."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def clips(self, item: Input) -> Iterator[EncodedClip | UsageError]:
        """The clips of one input and the errors of `clips_of`, or an error if it broke a limit or the process."""
        process = self._running()
        overdue = threading.Event()

        def end() -> None:
            overdue.set()
            process.kill()

        timer = threading.Timer(self._limits.seconds, end)
        timer.start()
        finished = full = False
        try:
            pickle.dump(item, process.stdin)
            process.stdin.flush()
            while (answer := _received(process.stdout)) is not None:
                full = full or (isinstance(answer, UsageError) and "--memory_limit" in str(answer))
                yield answer
            finished = not full  # A process that ran out of memory may still hold some that the next input needs.
        except (EOFError, OSError, ValueError):
            self.close()
            finished = True
            if overdue.is_set():
                yield UsageError(f"{item.name}: took longer than the {self._limits.seconds:g} s of --time_limit")
            else:
                yield UsageError(f"{item.name}: crashed the decoder ({_ending(process.returncode)})")
        finally:
            timer.cancel()
            timer.join()  # It may be about to kill the process.
            # If the caller wants no more clips, the remaining answers must not be taken for those of the next input.
            if overdue.is_set() or not finished:
                self.close()

    def _running(self) -> subprocess.Popen:
        if self._process and self._process.poll() is not None:  # It died between two inputs, and neither is to blame.
            self.close()
        if self._process is None:
            # With -m, the classes that it pickles would belong to a module called __main__.
            command = child.command("-c", "from tfvideogan.data import worker; worker.main()")
            self._process = subprocess.Popen(
                command, env=child.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            pickle.dump(self._setting, self._process.stdin)
            self._process.stdin.flush()
            try:
                _received(self._process.stdout)  # It is ready; the time that it took to start counts for no input.
            except EOFError as error:
                raise UsageError("the process that decodes did not start") from error
        return self._process


def _received(answers: BinaryIO) -> EncodedClip | UsageError | None:
    """The next answer of the process; None behind the last one of an input, and when the process is ready.

    Raises:
        EOFError, ValueError: the process has ended, or written what is no answer.
    """
    header = answers.read(_FRAME.size)
    if len(header) < _FRAME.size:
        raise EOFError
    kind, start, length = _FRAME.unpack(header)
    if length > _LONGEST or kind not in (_READY, _CLIP, _ERROR, _END):
        raise ValueError("no answer")
    content = answers.read(length)
    if len(content) < length:
        raise EOFError
    if kind == _CLIP:
        return EncodedClip(content, start)
    return UsageError(content.decode(errors="replace")) if kind == _ERROR else None


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers each request with clips and errors and then an end, until there are no more requests."""

    def answer(kind: bytes, content: bytes = b"", start: int = 0) -> None:
        answers.write(_FRAME.pack(kind, start, len(content)) + content)
        answers.flush()

    cutting, encoding, megabytes = pickle.load(requests)
    _limit_memory(megabytes)
    answer(_READY)
    while True:
        try:
            item = pickle.load(requests)
        except EOFError:
            return
        try:
            for clip in clips_of(item, cutting):
                if isinstance(clip, Clip):
                    strip = pictures.encode_strip(clip.frames, encoding) if encoding else clip.frames.tobytes()
                    answer(_CLIP, strip, clip.start)
                else:
                    answer(_ERROR, _outcome(item, clip, megabytes))
        except Exception as error:  # Decoders raise anything on evil files, and it is reported for that file.
            answer(_ERROR, _outcome(item, error, megabytes))
        answer(_END)


def _outcome(item: Input, error: Exception, megabytes: int) -> bytes:
    """The error to report. Memory that is used up shows in many ways, such as a thread that cannot start."""
    signs = ("allocate memory", "nsufficient memory", "[Errno 11]", "[Errno 12]", "can't start new thread")
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in signs):
        text = f"{item.name}: needs more than the {megabytes} MB of --memory_limit"
    else:
        text = str(error) if isinstance(error, UsageError) else f"{item.name}: {type(error).__name__}: {error}"
    return text.encode(errors="replace")


def _limit_memory(megabytes: int) -> None:
    """Limits the data of this process to what it has now and so much more; mapped files do not count."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * _MEGABYTE,) * 2)


def _ending(status: int | None) -> str:
    return signal.Signals(-status).name if status and status < 0 else f"exit status {status}"


def main() -> None:
    """Runs the process: what libraries print must not get between the answers, and Ctrl-C is left to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s: %(message)s")
    logging.getLogger("tfvideogan").setLevel(logging.WARNING)  # What is done to an input, such as deinterlacing.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
