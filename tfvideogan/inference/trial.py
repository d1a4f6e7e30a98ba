"""Opens TFLite files in a process of its own first: LiteRT checks little, and a damaged file can take its process down.

with Trial() as trial:
    trial.check("model.tflite")  # UsageError, if it cannot be opened
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

from tfvideogan.config import UsageError
from tfvideogan.files import child

_SECONDS = 60
_BYTES, _BYTES_PER_BYTE = 2**31, 50  # To open a file may take the first, or the second for each byte of it.


class Trial(contextlib.AbstractContextManager):
    """A process that opens one file after the other, and is replaced when a file has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def __exit__(self, *_: object) -> None:
        self._end()

    def check(self, file: str) -> None:
        """Raises UsageError for a file that cannot be opened, or that ends the process, in a minute at most."""
        if self._process is None:
            self._process = subprocess.Popen(
                child.command("-c", "from tfvideogan.inference import trial; trial.main()"), env=child.environment(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        process = self._process
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(str(Path(file).absolute())) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            status = self._end()
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            raise UsageError(f"{file}: not a TFLite model that can be run (it ends a process that tries it, {how})")
        if reason := json.loads(answer):
            raise UsageError(reason)

    def _end(self) -> int:
        """Ends the process, and returns its status."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        return process.wait()


def main() -> None:
    """Runs the process: a name in JSON on each line of its input, and for each an error or null."""
    from tfvideogan.inference import openers

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print is not taken for an answer.
    for line in sys.stdin:
        file, reason = json.loads(line), None
        try:
            _limit_memory(Path(file).stat().st_size)
            openers.open_tflite(file, threads=1, trust=True)
        except (UsageError, OSError, MemoryError) as error:
            reason = str(error) or "not a TFLite model that can be run: it needs too much memory"
        print(json.dumps(reason), file=answers, flush=True)


def _limit_memory(num_bytes: int) -> None:
    """Limits the data of this process, beside what the system itself allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = max(_BYTES, _BYTES_PER_BYTE * num_bytes)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
