"""The trained weights that come with the package: each is a run folder that holds what sampling needs, and a card.

    tfvideogan/weights/mdgan-skies-64/
      config.json                        the options of the training
      checkpoints/stage2-step00001000/   weights.npz and its manifest (see `runs/packed.py`)
      card.json  card.md                 what they are: training, scores, limits, and the SHA-256 of the files above

`python -m export.to_weights` makes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfvideogan.config import UsageError
from tfvideogan.files import checksums

FOLDER = Path(__file__).parent
CARD = "card.json"


def names() -> list[str]:
    """The names that `--weights` takes."""
    return sorted(card.parent.name for card in FOLDER.glob(f"*/{CARD}"))


def listing() -> str:
    """A line for each of them."""
    width = max(map(len, names()), default=0)
    return "\n".join(f"{name:<{width}}  {card(name)['description']}" for name in names())


def card(name: str) -> dict[str, Any]:
    """What the card of a name says."""
    return json.loads((FOLDER / name / CARD).read_text(encoding="utf-8"))


def path_of(name: str) -> Path:
    """The run folder behind a name.

    Raises:
        UsageError: there is no such name, or a file of it is not what the package was made with.
    """
    if name not in names():
        known = ", ".join(names()) or "none in this package"
        raise UsageError(f"--weights must be one of: {known}. Received: {name!r}")
    folder = FOLDER / name
    try:
        expected = card(name)["sha256"].items()
        damaged = [file for file, sha256 in expected if checksums.sha256(folder / file) != sha256]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UsageError(f"--weights={name} is damaged: {error!r}; install the package again") from error
    if damaged:
        raise UsageError(
            f"--weights={name} is damaged: {damaged[0]} does not match its SHA-256; install the package again"
        )
    return folder
