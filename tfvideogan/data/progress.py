"""What the terminal shows while Beam works: a bar over the inputs, and nothing that Beam's processes print."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data.plan import Job, Shard
from tfvideogan.files import atomic, paths

LOG = "beam.log"


@contextlib.contextmanager
def quiet(folder: paths.Path) -> Iterator[TextIO]:
    """Sends standard error to an unlinked file, as Beam's processes print much there; yields the terminal for a bar.

    Raises:
        UsageError: the pipeline ended with an error; the message gives its last line and names the log in `folder`.
    """
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            yield terminal
        except Exception as error:  # Beam raises a RuntimeError of many lines, the last of which is the cause.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            printed.seek(0)
            see = _written(folder / LOG, printed.read() + f"{error}\n".encode())
            raise UsageError(f"the pipeline ended ({lines[-1]}); the same command goes on{see}") from error
        finally:
            os.dup2(terminal.fileno(), 2)
            terminal.close()


def _written(log: paths.Path, content: bytes) -> str:
    """Where to look, or nothing if the disk is so full that it does not take the log either."""
    try:
        atomic.write_bytes(log, content)
    except OSError:
        return ""
    return f"; see {log}"


class Progress:
    """A bar over the inputs. It moves with each shard report that appears, whatever machine writes it."""

    def __init__(self, job: Job, shards: Sequence[Shard], terminal: TextIO):
        self._job, self._terminal = job, terminal
        self._sizes = {f"{shard.name}.json": len(shard.inputs) for shard in shards}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        total = sum(self._sizes.values())
        self._bar = tqdm(total=total, desc="preparing", unit=" inputs", dynamic_ncols=True, file=self._terminal)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._update()
        self._bar.close()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            self._update()

    def _update(self) -> None:
        names = [path.name for path in self._job.unfinished.iterdir()]
        self._bar.update(sum(self._sizes.get(name, 0) for name in names) - self._bar.n)
