"""A model server's stand-in: one process that holds every SavedModel it was asked about, and answers requests."""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("c_session.py")


class ServingProcess:
    """A process of `c_session.py`, started at the first request and again if one has ended it."""

    def __init__(self):
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open as long as the process
        self._process: subprocess.Popen | None = None

    def ask(self, saved_model: str, *requests: tuple) -> list[Any]:
        """The answers to requests (signature, value), as `c_session.py` describes both."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        pickle.dump((saved_model, requests), self._process.stdin)
        self._process.stdin.flush()
        try:
            return pickle.load(self._process.stdout)
        except EOFError as error:
            status = self._process.wait()
            self._log.seek(0)
            raise AssertionError(f"{SCRIPT.name} ended with {status}: {self._log.read().decode()[-2000:]}") from error

    def close(self) -> None:
        """Ends the process and waits for it."""
        if self._process is not None:
            self._process.communicate(timeout=60)
        self._log.close()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, SCRIPT], env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
        )  # fmt: skip
