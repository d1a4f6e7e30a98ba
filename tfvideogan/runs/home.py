"""Whether a run folder is one of the user's own, by the place where it was made, and not a copy of someone else's.

`.home` in it holds the number that the file system gave the folder (its inode). A folder keeps it when it is renamed
or looked at from another host; one that is copied or unpacked gets a number that nobody could know before. So a
stranger's run cannot pass for one's own, whatever its files say.
"""

from __future__ import annotations

from pathlib import Path

from tfvideogan.files import atomic, paths

NAME = ".home"


def mark(folder: paths.Path) -> None:
    """Marks a local run folder as made here. Raises OSError if it cannot be written."""
    if not paths.is_remote(folder) and not is_home(folder):
        atomic.write_bytes(folder / NAME, _number(folder))


def is_home(folder: paths.Path) -> bool:
    """Whether a run folder was made, or trained further, where it is; False where nothing tells."""
    if paths.is_remote(folder) or not paths.is_file(folder / NAME):
        return False
    with Path(folder / NAME).open("rb") as file:
        return file.read(100) == _number(folder)


def _number(folder: paths.Path) -> bytes:
    return b"%d\n" % Path(folder).stat().st_ino
