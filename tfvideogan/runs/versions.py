"""The format of a run folder's files: how this program marks those it writes, and which ones it reads.

`config.json` and the manifests of checkpoints begin with

    "format": [2, 0], "written_by": "tfvideogan 0.1.0"

A new minor version adds what an older program may leave aside. Any other change takes a new major version, and comes
with code that reads the formats before it. Files without a format are of 1.0.

    1.0   a checkpoint holds lists of variables
    2.0   a checkpoint holds variables by name, and its manifest tells how many clips were taken
"""

from __future__ import annotations

from typing import Any

import tfvideogan
from tfvideogan.config import UsageError

Format = tuple[int, int]  # major and minor

CURRENT: Format = (2, 0)
KEYS = ("format", "written_by")
_FIRST: Format = (1, 0)


def marked(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a file with the mark of this program before it."""
    return {"format": list(CURRENT), "written_by": f"tfvideogan {tfvideogan.__version__}"} | content


def format_of(content: dict[str, Any]) -> Format:
    """The format of a file by its content.

    Raises:
        UsageError: this program does not know so new a format.
        ValueError: the mark makes no sense.
    """
    if "format" not in content:
        return _FIRST
    mark = content["format"]
    if not isinstance(mark, list) or len(mark) != 2 or any(type(n) is not int or n < 0 for n in mark):
        raise ValueError(f"its format must be [major, minor]. Received: {mark!r}")
    if mark[0] > CURRENT[0]:
        raise UsageError(
            f"written by {content.get('written_by', 'an unnamed program')} in format {mark[0]}.{mark[1]}; "
            f"tfvideogan {tfvideogan.__version__} reads formats up to {CURRENT[0]}"
        )
    return mark[0], mark[1]
