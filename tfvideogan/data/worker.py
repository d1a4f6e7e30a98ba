"""Decodes inputs in a process of its own, with a time and a memory limit: one evil file cannot take a job down.

    with Worker(cutting, encoding, limits) as worker:
        for clip in worker.clips(item):  # EncodedClip, or the UsageError that says what was wrong
            ...

The process is kept from input to input and replaced when one killed it; it runs `main`:
pickled requests in, pickled answers out.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
import resource
import signal
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
from tfvideogan.files import pictures

_MEGABYTE = 2**20


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one input may take: wall time, and memory beyond the idle process's."""

    seconds: float
    megabytes: int


@dataclasses.dataclass(frozen=True)
class EncodedClip:
    """A clip as one compressed film-strip, its frames under each other; `start` is its first frame's number."""

    strip: bytes
    start: int


class Worker:
    """The process that makes clips of inputs, one input at a time."""

    def __init__(self, cutting: Cutting, encoding: pictures.StripEncoding, limits: Limits):
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
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def clips(self, item: Input) -> Iterator[EncodedClip | UsageError]:
        """The clips of one input; errors of `clips_of`, and one if a limit was passed or the process died."""
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
            while (answer := pickle.load(process.stdout)) is not None:
                full = full or (isinstance(answer, UsageError) and "--memory_limit" in str(answer))
                yield answer
            finished = not full  # what a process still holds then would be missing for the next input
        except (EOFError, OSError, pickle.UnpicklingError):
            self.close()
            finished = True
            if overdue.is_set():
                yield UsageError(f"{item.name}: took longer than the {self._limits.seconds:g} s of --time_limit")
            else:
                yield UsageError(f"{item.name}: crashed the decoder ({_ending(process.returncode)})")
        finally:
            timer.cancel()
            timer.join()  # it may be just about to kill
            # If the caller wants no more, the rest of the answers must not meet the next input.
            if overdue.is_set() or not finished:
                self.close()

    def _running(self) -> subprocess.Popen:
        if self._process and self._process.poll() is not None:  # it died between inputs, which is no input's fault
            self.close()
        if self._process is None:
            # Not -m: what it pickles would be of a module called __main__.
            command = [sys.executable, "-c", "from tfvideogan.data import worker; worker.main()"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            pickle.dump(self._setting, self._process.stdin)
            self._process.stdin.flush()
            pickle.load(self._process.stdout)  # it is up: starting does not count for an input
        return self._process


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers requests until there are no more."""

    def answer(content: object) -> None:
        pickle.dump(content, answers)
        answers.flush()

    cutting, encoding, megabytes = pickle.load(requests)
    _limit_memory(megabytes)
    answer("ready")
    while True:
        try:
            item = pickle.load(requests)
        except EOFError:
            return
        try:
            for clip in clips_of(item, cutting):
                if isinstance(clip, Clip):
                    answer(EncodedClip(pictures.encode_strip(clip.frames, encoding), clip.start))
                else:
                    answer(_outcome(item, clip, megabytes))
        except Exception as error:  # whatever a decoder makes of an evil file is that file's outcome
            answer(_outcome(item, error, megabytes))
        answer(None)


def _outcome(item: Input, error: Exception, megabytes: int) -> UsageError:
    """The error to report; a memory that is full shows in many ways, a thread that cannot start among them."""
    full = ("allocate memory", "nsufficient memory", "[Errno 11]", "[Errno 12]", "can't start new thread")
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in full):
        return UsageError(f"{item.name}: needs more than the {megabytes} MB of --memory_limit")
    return error if isinstance(error, UsageError) else UsageError(f"{item.name}: {type(error).__name__}: {error}")


def _limit_memory(megabytes: int) -> None:
    """Of this process's own data; what libraries map of files does not count."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * _MEGABYTE,) * 2)


def _ending(status: int | None) -> str:
    return signal.Signals(-status).name if status and status < 0 else f"exit status {status}"


def main() -> None:
    """The process: nothing that a library prints may get between the answers, and Ctrl-C is its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
