"""Commands in processes of their own, forked from a process that has already imported TensorFlow and Beam.

A fresh interpreter needs seconds for these imports. Output, exit status and files are those of `python -m`; only
tests of what a fresh interpreter does itself need `subprocess`.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.helpers import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tensorflow", "keras", "tfvideogan.data.prepare"])
SECONDS = 300


def run(
    command: str, *arguments: object, package: str = "tfvideogan", folder: Path = ROOT, search: Path = ROOT
) -> subprocess.CompletedProcess:
    """Runs a command in `folder` as `python -m PACKAGE.COMMAND` would, with `search` first on the path of modules."""
    module, options = f"{package}.{command}", [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as outputs:
        out, err = Path(outputs) / "out", Path(outputs) / "err"
        process = _CONTEXT.Process(target=_command, args=(module, options, folder, search, out, err))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{module} {options} has run for {SECONDS} seconds")
        return subprocess.CompletedProcess([module, *options], process.exitcode, out.read_text(), err.read_text())


def _command(module: str, options: list[str], folder: Path, search: Path, out: Path, err: Path) -> None:
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    from tfvideogan import cli

    cli.load_tensorflow()  # TensorFlow, once imported, would note on its first use that there is no GPU
    os.chdir(folder)
    os.environ["PYTHONPATH"] = f"{search}{os.pathsep}{ROOT}"
    sys.path.insert(0, str(search))
    sys.argv = [module, *options]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
