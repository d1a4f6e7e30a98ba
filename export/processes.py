"""Commands in fresh processes: one that crashes takes nothing with it, and each runtime starts clean."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from tfvideogan.config import UsageError

logger = logging.getLogger("tfvideogan.export")

SECONDS_TO_END = 10
_WARNING = "WARNING: "  # as this package's commands log it
ROOT = Path(__file__).parents[1]


def run(module: str, **options: object) -> str:
    """`python -m MODULE --option=value ...` in the current folder: what it printed. Options that are None are left out.

    Modules are not searched in the current folder (`-P`), where the user may have an `export.py`.

    Raises:
        UsageError: it failed; the last line that it wrote, or the signal that ended it.
    """
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))  # it waits until there is a process to kill
    with subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": search}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            signal.signal(signal.SIGTERM, before)
            if heard:
                signal.raise_signal(signal.SIGTERM)
            out, err = process.communicate()
        finally:
            _end(process)
    for line in err.splitlines():
        if line.startswith(_WARNING):
            logger.warning(line.removeprefix(_WARNING))
    if process.returncode:
        lines = err.strip().splitlines()
        reason = lines[-1].partition(": error: ")[2] if lines else ""
        if lines and not reason:
            logger.error("%s failed:\n%s", module, err.strip())
            reason = lines[-1]
        if process.returncode < 0:
            reason = f"ended by signal {-process.returncode}"
        raise UsageError(reason or f"{module} ended with status {process.returncode}")
    return out


def _end(process: subprocess.Popen) -> None:
    """Ends a process that still runs, which may take a while to remove what it has begun."""
    process.terminate()  # of one that has ended it means nothing
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
