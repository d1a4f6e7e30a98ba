"""Flag files: the options of a command, one `--name=value` a line. Those in `configs/` come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfvideogan.config import UsageError
from tfvideogan.files import paths

_PACKAGE = Path(__file__).parents[1]


def expand(arguments: Sequence[str], parents: tuple[str, ...] = ()) -> list[str]:
    """The arguments with the flags of each `--flagfile=FILE` in its place; a file may name further files.

    absl's own reader takes a byte order mark for a part of the first line, and does not name a file that is no text.

    Args:
        parents: the files that are being read.

    Raises:
        UsageError: a file that cannot be read, is not UTF-8, or names itself.
    """
    expanded, rest = [], iter(arguments)
    for argument in rest:
        name, equals, file = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
            if argument == "--":
                break
            continue
        file = file if equals else next(rest, "")
        if file in parents:
            raise UsageError(f"--flagfile: a file must not name itself. Received: {file!r}")
        expanded += expand(read(file), (*parents, file))
    return [*expanded, *rest]


def check_encoding(arguments: Sequence[str]) -> None:
    """Raises UsageError for an argument that is not UTF-8: neither TensorFlow's files nor JSON can hold such a name."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"arguments must be UTF-8. Received: {argument!r}") from error


def read(file: str | Path) -> list[str]:
    """The flags in a file, without blank lines and comments. Raises UsageError if it cannot be read as UTF-8."""
    try:
        text = Path(paths.at_home(file)).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise UsageError(f"--flagfile: {error.strerror or error}: {str(file)!r}") from error
    if "\0" in text:  # UTF-16 without its mark decodes as UTF-8 where all letters are English.
        raise UsageError(f"--flagfile must be a text file in UTF-8. Received: {str(file)!r}")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "//"))]


def packaged() -> dict[str, Path]:
    """The flag files that come with the package, by name: `mdgan_small` for `configs/mdgan_small.flags`."""
    installed, checkout = _PACKAGE / "configs", _PACKAGE.parent / "configs"
    folder = installed if installed.is_dir() else checkout
    return {file.stem: file for file in sorted(folder.glob("*.flags"))}


def find(name: str) -> Path:
    """The packaged file of this name. Raises UsageError with all names if there is none."""
    files = packaged()
    if name not in files:
        raise UsageError(f"--config must be help, or one of {', '.join(files)}. Received: {name!r}")
    return files[name]


def describe() -> str:
    """A line for each packaged file: its name, and the first line of its comment."""
    files = packaged()
    openings = {name: file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ") for name, file in files.items()}
    width = max(map(len, files))
    return "\n".join(f"{name:{width}}  {opening}" for name, opening in openings.items())
