"""Runs one command many times without its slow start; each run is a process of its own all the same."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers import ROOT

# The server reads a line of arguments, forks, and prints the exit status. The child is the command.
_SERVER = """
import importlib, json, os, sys
from tfvideogan import cli
folder, command, *modules = sys.argv[1:]
cli.load_tensorflow()
for module in modules:
    importlib.import_module(module)
command_module = importlib.import_module(f"tfvideogan.{command}")
for line in sys.stdin:
    child = os.fork()
    if not child:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{folder}/{name}", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), descriptor)
        sys.argv[:] = [command, *json.loads(line)]
        status = 99
        try:
            cli.run(command_module.define_flags, command_module.main)
        except SystemExit as end:
            status = end.code or 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.__stdout__, flush=True)
"""


class ForkServer:
    """A process that has loaded TensorFlow, and forks for each run of a command.

    Args:
        command: its name, as in `python -m tfvideogan.COMMAND`.
        modules: what else is imported before the first run.
    """

    def __init__(self, command: str, *modules: str):
        self._folder = tempfile.TemporaryDirectory()
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, self._folder.name, command, *modules], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        self._server.stdin.write(json.dumps(arguments) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        out, err = (Path(self._folder.name, name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(arguments, status, out, err)

    def close(self) -> None:
        self._server.communicate()
        self._folder.cleanup()
