"""Commands in fresh processes: one that crashes takes nothing with it, and each runtime starts clean."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tfvideogan.config import UsageError

ROOT = Path(__file__).parents[1]


def run(module: str, **options: object) -> str:
    """`python -m MODULE --option=value ...` in the current folder: what it printed. Options that are None are left out.

    Raises:
        UsageError: it failed; the last line that it wrote, or the signal that ended it.
    """
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": search}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        reason = lines[-1].partition(": error: ")[2] or lines[-1] if lines else ""
        if result.returncode < 0:
            reason = f"ended by signal {-result.returncode}"
        raise UsageError(reason or f"{module} ended with status {result.returncode}")
    return result.stdout
