"""Python processes of this package's own, started beside the one that a user has started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> list[str]:
    """How a process is started that searches no module in the current folder, where a user may have a `numpy.py`."""
    return [sys.executable, "-P", *arguments]


def environment() -> dict[str, str]:
    """The environment for it: this package is found wherever the process is started."""
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": search}
