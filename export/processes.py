"""Commands in fresh processes: one that crashes takes nothing with it, and each runtime starts clean."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
from typing import Any

from tfvideogan.config import UsageError
from tfvideogan.files import child

logger = logging.getLogger("tfvideogan.export")

SECONDS_TO_END = 10
_WARNING = "WARNING: "  # This package's commands begin a warning so.


def run(module: str, **options: object) -> str:
    """Runs `python -m MODULE --option=value ...` in the current folder and returns what it printed.

    Options that are None are left out. Warnings of the command are logged again here.

    Raises:
        UsageError: the command failed; the message is the last line that it wrote, or the signal that ended it.
    """
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    signals = []
    # A SIGTERM that comes before there is a process to end is kept, and answered when there is one.
    before = signal.signal(signal.SIGTERM, lambda number, _: signals.append(number))
    with subprocess.Popen(
        child.command("-m", module, *arguments),
        env=child.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            signal.signal(signal.SIGTERM, before)
            if signals:
                signal.raise_signal(signal.SIGTERM)
            out, err = process.communicate()
        finally:
            _end(process)
    for line in err.splitlines():
        if line.startswith(_WARNING):
            logger.warning(line.removeprefix(_WARNING))
    if process.returncode:
        raise UsageError(_reason(module, process.returncode, err.strip()))
    return out


def run_for_json(module: str, **options: object) -> dict[str, Any]:
    """Runs a command as `run` does, and returns the JSON object that is the last line it printed."""
    return json.loads(run(module, **options).splitlines()[-1])


def _reason(module: str, status: int, err: str) -> str:
    """Why a command failed, in one line; all that it wrote is logged unless it was the message of an error."""
    last = err.splitlines()[-1] if err else ""
    message = last.partition(": error: ")[2]
    if err and not message:
        logger.error("%s failed:\n%s", module, err)
    if status < 0:
        return f"ended by signal {-status}"
    return message or last or f"{module} ended with status {status}"


def _end(process: subprocess.Popen) -> None:
    """Ends a process if it still runs. It may need some seconds to remove what it has half made."""
    process.terminate()  # This does nothing to a process that has ended.
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
