"""What the terminal shows while Beam works: a bar over the inputs, and none of what Beam's processes print."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import TextIO

from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data.plan import Job, Shard


@contextlib.contextmanager
def quiet() -> Iterator[TextIO]:
    """Keeps what Beam's processes tell of themselves from the terminal, which is handed on for the progress.

    Raises:
        UsageError: what ended the pipeline, and where all that was told lies.
    """
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    with tempfile.NamedTemporaryFile("a", prefix="tfvideogan-beam-", suffix=".log", delete=False) as log:
        os.dup2(log.fileno(), 2)
    try:
        yield terminal
    except Exception as error:  # Beam wraps what happened in a RuntimeError of many lines, the last one tells
        with pathlib.Path(log.name).open("a") as file:
            file.write(str(error))
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"the pipeline ended ({told[-1]}); the same command goes on; see {log.name}") from error
    else:
        pathlib.Path(log.name).unlink()
    finally:
        os.dup2(terminal.fileno(), 2)
        terminal.close()


class Progress:
    """A bar over the inputs, moved by the shard reports that appear, whatever machine writes them."""

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
        self._look()
        self._bar.close()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            self._look()

    def _look(self) -> None:
        there = [path.name for path in self._job.unfinished.iterdir()]
        self._bar.update(sum(self._sizes.get(name, 0) for name in there) - self._bar.n)
