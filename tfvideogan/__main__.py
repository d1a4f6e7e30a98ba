"""Runs one of the commands: `tfvideogan NAME ...` is `python -m tfvideogan.NAME ...`.

`tfvideogan export.NAME ...` runs the package `export` that was installed with this one, even where the current
folder has an `export.py` of the user's, which `python -m export.NAME` would find first.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import runpy
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import tfvideogan
from tfvideogan import cli

_LIBRARY = Path(__file__).parent
_EXPORT = _LIBRARY.parent / "export"
_WIDTH = 120  # columns


def main() -> NoReturn:
    """The console command: ends the process with the status of the command that its first argument names."""
    with cli.quiet_when_unread():
        sys.exit(_main(sys.argv[1:]))


def commands() -> dict[str, Path]:
    """The file of each command, by name. Commands are the modules that run when they are called."""
    files = {file.stem: file for file in sorted(_LIBRARY.glob("[!_]*.py"))}
    files |= {f"export.{file.stem}": file for file in sorted(_EXPORT.glob("[!_]*.py"))}
    return {name: file for name, file in files.items() if 'if __name__ == "__main__"' in file.read_text("utf-8")}


def _main(arguments: Sequence[str]) -> int:
    name, *rest = arguments or ["--help"]
    known = commands()
    if name in ("--help", "--helpshort", "-h"):
        print(_describe(known))
        return 0
    if name == "--version":
        print(f"tfvideogan {tfvideogan.__version__}")
        return 0
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; without arguments, tfvideogan lists its commands"
        sys.argv[0] = "tfvideogan"
        return cli.complain(f"no command is called {name!r}{hint}")
    sys.argv[1:] = rest
    if name.startswith("export."):
        _load_export()
    runpy.run_module(name if name.startswith("export.") else f"tfvideogan.{name}", run_name="__main__", alter_sys=True)
    return 0


def _describe(known: dict[str, Path]) -> str:
    """How to call a command, and a line for each."""
    width = max(map(len, known))
    lines = [f"  {name:{width}}  {_opening(file, _WIDTH - width - 4)}" for name, file in known.items()]
    usage = "tfvideogan NAME --flag=value ...    `tfvideogan NAME --helpshort` tells the flags of a command:"
    return "\n".join([usage, *lines])


def _opening(file: Path, width: int) -> str:
    """The first line of a module's docstring, cut to a width; the module is not imported, which would take seconds."""
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return textwrap.shorten(text.partition("\n")[0], width, placeholder=" ...")


def _load_export() -> None:
    """Loads the package `export` from beside this one: an import would search the current folder first."""
    spec = importlib.util.spec_from_file_location(
        "export", _EXPORT / "__init__.py", submodule_search_locations=[str(_EXPORT)]
    )
    sys.modules["export"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["export"])


if __name__ == "__main__":
    main()
