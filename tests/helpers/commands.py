"""Commands as a user runs them: in a process of their own."""

import subprocess
import sys

from tests.helpers import ROOT


def start(command: str, *arguments: str, package: str = "tfvideogan") -> subprocess.Popen:
    """Starts `python -m PACKAGE.COMMAND ARGUMENTS` in the checkout; what it prints can be read as text."""
    return subprocess.Popen(
        [sys.executable, "-m", f"{package}.{command}", *map(str, arguments)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run(command: str, *arguments: str, package: str = "tfvideogan") -> subprocess.CompletedProcess:
    """The same, once it has ended."""
    process = start(command, *arguments, package=package)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
