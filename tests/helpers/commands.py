"""Commands in processes of their own, forked from one that has already imported TensorFlow and Beam.

A fresh interpreter needs seconds for these imports. Output, exit status, signals and files are those of `python -m`;
only tests of what a fresh interpreter does itself need `subprocess`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.helpers import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tensorflow", "keras", "tfvideogan.data.prepare"])
SECONDS = 300


class Command:
    """`python -m PACKAGE.COMMAND ARGUMENTS` in `folder`, with `search` first on the path of modules.

    What it writes goes to files: a pipe that nobody reads would stop it. `together` puts standard output and error
    into the latter, in the order in which they are written.
    """

    def __init__(
        self,
        command: str,
        *arguments: object,
        package: str = "tfvideogan",
        folder: Path = ROOT,
        search: Path = ROOT,
        environment: Mapping[str, str] | None = None,
        together: bool = False,
    ):
        self.args = [".".join(filter(None, (package, command))), *map(str, arguments)]
        self._outputs = tempfile.TemporaryDirectory()
        err = Path(self._outputs.name) / "err"
        self._out, self._err = (err if together else err.with_name("out")), err
        self._out.touch()
        self._err.touch()
        self._process = _CONTEXT.Process(
            target=_run, args=(self.args, folder, search, dict(environment or {}), self._out, self._err)
        )
        self._process.start()
        self.pid = self._process.pid

    @property
    def out(self) -> str:
        """What it has written to standard output."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has written to standard error."""
        return self._err.read_text()

    def poll(self) -> int | None:
        """Its exit status, minus the number of the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, seconds: float = SECONDS) -> int:
        """Its exit status, once it has ended. Kills it after `seconds` and raises TimeoutError."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"{self.args} has run for {seconds} seconds: {self.err}")
        return self._process.exitcode

    def end(self, seconds: float = SECONDS) -> subprocess.CompletedProcess:
        """What it was, once it has ended."""
        return subprocess.CompletedProcess(self.args, self.wait(seconds), self.out, self.err)


def run(command: str, *arguments: object, **options: object) -> subprocess.CompletedProcess:
    """Runs a `Command` to its end."""
    return Command(command, *arguments, **options).end()


def _run(command: list[str], folder: Path, search: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), descriptor)
    from tfvideogan import cli

    cli.load_tensorflow()  # TensorFlow, once imported, would note on its first use that there is no GPU
    os.chdir(folder)
    os.environ.update(environment, PYTHONPATH=f"{search}{os.pathsep}{ROOT}")
    sys.path.insert(0, str(search))
    sys.argv = command
    try:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # A forked process would leave without them.
