"""A process under limits on time and memory, which reads what a stranger's file could take a process down with.

    with Confined("tfvideogan.data.worker", setting, limits) as process:
        for answer in process.answers(request, name):  # an Answer, or a UsageError that says what is wrong
            ...

The process serves one request after the other, and is replaced when one has killed it. It runs the `main` of a module,
which calls `serve`, reads pickled requests and answers in frames (`framed.py`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tfvideogan.config import UsageError
from tfvideogan.files import child, framed
from tfvideogan.files.framed import Answer

logger = logging.getLogger(__name__)

_MEGABYTE = 2**20
# Ctrl-C is for the parent, and the imports of the process, which take a moment, would print a traceback of it.
_LEAVE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may take: wall time, and memory beyond that of the idle process.

    Attributes:
        cpu_seconds: of all of its threads; None for no limit. A busy machine takes nothing of it.
        by_flags: whether --time_limit and --memory_limit have set them, for messages.
    """

    seconds: float
    megabytes: int
    by_flags: bool = False
    cpu_seconds: float | None = None

    def of_time(self) -> str:
        return f"the {self.seconds:g} s of --time_limit" if self.by_flags else f"{self.seconds:g} s"

    def of_memory(self) -> str:
        return f"the {self.megabytes} MB of --memory_limit" if self.by_flags else f"{self.megabytes} MB"


Work = Callable[[Any], Iterator[Answer | UsageError]]  # It makes the answers to a request.


class Confined(contextlib.AbstractContextManager):
    """A process that answers requests, one at a time.

    Args:
        module: the dotted name of the module whose `main` it runs.
        setting: what it is told once, at its start.
        limits: for each request.
        note: is called with what the process notes about a request, such as that a video is deinterlaced.
    """

    def __init__(self, module: str, setting: Any, limits: Limits, note: Callable[[str], None] = logger.warning):
        self._module, self._setting, self._limits, self._note = module, setting, limits, note
        self._process: subprocess.Popen | None = None
        self._is_ready = False

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; the next request starts another one."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def start(self) -> None:
        """Starts the process, unless it runs; nobody has to, but it is then ready earlier."""
        if self._process and self._process.poll() is not None:  # It died between two requests; neither is to blame.
            self.close()
        if self._process is None:
            # With -m, the classes that it pickles would belong to a module called __main__.
            command = child.command("-c", f"{_LEAVE_CTRL_C}; import {self._module} as module; module.main()")
            self._process = subprocess.Popen(
                command, env=child.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._is_ready = False
            with contextlib.suppress(BrokenPipeError):  # It has ended already, which `_running` finds.
                pickle.dump((self._setting, self._limits), self._process.stdin)
                self._process.stdin.flush()

    def answers(self, request: Any, name: str) -> Iterator[Answer | UsageError]:
        """The answers to a request and errors in their places, or an error if it broke a limit or the process.

        Args:
            name: what the request is about, for messages.
        """
        process = self._running()
        overdue = threading.Event()

        def end() -> None:
            overdue.set()
            process.kill()

        timer = threading.Timer(self._limits.seconds, end)
        timer.start()
        finished = full = False
        try:
            pickle.dump((request, name), process.stdin)
            process.stdin.flush()
            while (answer := self._next(process.stdout)) is not None:
                if isinstance(answer, framed.FullError):
                    full, answer = True, UsageError(f"{name}: needs more than {self._limits.of_memory()}")
                yield answer
            finished = not full  # A process that ran out of memory may still hold some that the next request needs.
        except (EOFError, OSError, ValueError):
            self.close()
            finished = True
            if overdue.is_set():
                yield UsageError(f"{name}: took longer than {self._limits.of_time()}")
            elif process.returncode == -signal.SIGPROF:
                yield UsageError(f"{name}: took longer than {self._limits.cpu_seconds:g} s of processor time")
            else:
                yield UsageError(f"{name}: crashed the decoder ({_ending(process.returncode)})")
        finally:
            timer.cancel()
            timer.join()  # It may be about to kill the process.
            # If the caller wants no more answers, those that remain must not be taken for those of the next request.
            if overdue.is_set() or not finished:
                self.close()

    def _next(self, answers: BinaryIO) -> Answer | UsageError | None:
        """The next answer that is no note; None behind the last one of a request."""
        while isinstance(answer := framed.received(answers), str):
            self._note(answer)
        return answer

    def _running(self) -> subprocess.Popen:
        self.start()
        if not self._is_ready:
            try:
                framed.received(self._process.stdout)  # The time that it took to start counts for no request.
            except EOFError as error:
                raise UsageError("the process that decodes did not start") from error
            self._is_ready = True
        return self._process


def _ending(status: int | None) -> str:
    return signal.Signals(-status).name if status and status < 0 else f"exit status {status}"


def serve(prepare: Callable[[Any], Work]) -> None:
    """Runs the process: what `prepare` makes of its setting answers each request, until there are no more.

    What libraries print must not get between the answers, nor what they print of damaged files between a command's own
    lines.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    send = functools.partial(framed.send, answers)
    _send_notes(send)
    setting, limits = pickle.load(requests)
    work = prepare(setting)
    _limit_memory(limits.megabytes)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    send(framed.READY)
    with contextlib.suppress(EOFError):
        while True:
            request, name = pickle.load(requests)
            with _processor_time(limits.cpu_seconds):
                _answer(request, name, work, send)


def _answer(request: Any, name: str, work: Work, send: Callable[..., None]) -> None:
    try:
        for answer in work(request):
            if isinstance(answer, Answer):
                send(framed.ANSWER, answer.content, answer.number)
            else:
                send(*_outcome(answer, name))
    except Exception as error:  # Decoders raise anything on evil files, and it is reported for that file.
        send(*_outcome(error, name))
    send(framed.END)


def _send_notes(send: Callable[..., None]) -> None:
    """Sends what this package warns of, such as deinterlacing."""
    own, handler = logging.getLogger("tfvideogan"), logging.Handler()
    handler.emit = lambda record: send(framed.NOTE, record.getMessage().encode(errors="replace"))
    own.addHandler(handler)
    own.setLevel(logging.WARNING)
    own.propagate = False


def _outcome(error: Exception, name: str) -> tuple[bytes, bytes]:
    """The error to report. Memory that is used up shows in many ways, such as a thread that cannot start."""
    signs = ("allocate memory", "nsufficient memory", "[Errno 11]", "[Errno 12]", "can't start new thread")
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in signs):
        return framed.FULL, b""
    text = str(error) if isinstance(error, UsageError) else f"{name}: {type(error).__name__}: {error}"
    return framed.ERROR, text.encode(errors="replace")


@contextlib.contextmanager
def _processor_time(seconds: float | None) -> Iterator[None]:
    """Ends this process by SIGPROF once it has had so much processor time; RLIMIT_CPU knows whole seconds only."""
    signal.setitimer(signal.ITIMER_PROF, seconds or 0)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def _limit_memory(megabytes: int) -> None:
    """Limits the data of this process to what it has now and so much more; mapped files do not count."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        used = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * _MEGABYTE,) * 2)
