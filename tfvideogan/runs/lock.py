"""One training at a time in a run folder, by a lock on a file in it.

The lock is the system's own (`flock`): it is seen by every process and container on the machine that shares the folder,
and goes when the process ends, however that happens. The text of the file is only for the message.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from tfvideogan.config import UsageError
from tfvideogan.files import paths

logger = logging.getLogger(__name__)

NAME = ".lock"


@contextlib.contextmanager
def held(run_dir: paths.Path) -> Iterator[None]:
    """Keeps other trainings out of a run folder, which is made for it, and removed again if nothing else is put there.

    Object stores have no locks, so a remote folder is not locked.

    Raises:
        UsageError: another process trains in the folder, or the folder cannot be written.
    """
    if paths.is_remote(run_dir):
        yield
        return
    folder = Path(run_dir)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(folder / NAME)
    except OSError as error:
        raise UsageError(f"--run_dir cannot be written: {error}") from error
    try:
        yield
    finally:
        (folder / NAME).unlink(missing_ok=True)
        file.close()  # This gives the lock back.
        with contextlib.suppress(OSError):  # A folder that is not empty stays.
            for path in missing:
                path.rmdir()


def _locked(path: Path) -> TextIO:
    """The open file, on which this process has the lock. Raises UsageError if another process has it."""
    while True:
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                raise UsageError(f"--run_dir {path.parent} is being trained in by {_holder(file)}") from None
        except OSError as error:
            logger.warning(
                "nothing keeps a second training out of %s: its file system has no locks (%s)", path.parent, error
            )
            return file
        if _is_at(file, path):
            break
        file.close()  # The process that had the lock removed the file after it was opened here.
    if file.tell():
        logger.info("%s has ended without removing its lock on %s, which is taken over", _holder(file), path.parent)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(file: TextIO) -> str:
    """What the process that wrote the file says of itself."""
    file.seek(0)
    return file.readline().strip() or "another process"
