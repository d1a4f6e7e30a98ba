"""The one door to packages that not everybody has: they are imported here, or an error says how to install them."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import importlib
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import tfvideogan
from tfvideogan.config import UsageError

_TENSORFLOW_OF_IO = "2.16."
_ROOT = Path(__file__).parents[2]  # This is the checkout, or the folder that the package was installed in.


def package(module: str, name: str, extra: str = "export") -> ModuleType:
    """A module of a package that one of the extras installs. Raises UsageError with the line that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{name} is not installed: {how_to_install(extra)}") from error


def torch() -> ModuleType:
    """The one door to PyTorch. Raises UsageError if it is missing.

    PyTorch's optimizers load Triton where it is installed, and Triton ends a process that holds TensorFlow by a
    segmentation fault. Nothing here needs Triton, so it is hidden from the whole process.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
    return package("torch", "torch", "bench")


def how_to_install(extra: str) -> str:
    """The command that adds an extra: in a checkout with the versions that it is tested with."""
    constraints = "constraints-io.txt" if extra == "io" else "constraints.txt"
    if (_ROOT / constraints).exists():
        return f"pip install -c {constraints} -e '.[{extra}]'"
    return f"pip install 'tfvideogan[{extra}]'"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of Python, of this package, and of others by pip's names as far as they are installed."""
    numbers = {"python": platform.python_version(), "tfvideogan": tfvideogan.__version__}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            numbers[name] = importlib.metadata.version(name)
    return numbers


@functools.cache
def tensorflow_io() -> ModuleType:
    """The one door to tensorflow-io. Raises UsageError with the versions that would work."""
    tf = importlib.import_module("tensorflow")
    if not tf.__version__.startswith(_TENSORFLOW_OF_IO):
        raise UsageError(
            f"s3:// needs tensorflow-io 0.37.1, which loads with TensorFlow 2.16 only (here: {tf.__version__}); "
            f"in an environment of its own: {how_to_install('io')}"
        )
    module = package("tensorflow_io", "tensorflow-io", "io")
    atexit.register(_skip_static_destructors)
    return module


@functools.cache
def has_tensorflow_io() -> bool:
    """Whether `tensorflow_io` would succeed; TensorFlow is not loaded to find out."""
    if importlib.util.find_spec("tensorflow_io") is None:
        return False
    return importlib.metadata.version("tensorflow").startswith(_TENSORFLOW_OF_IO)


def _skip_static_destructors() -> None:
    """Ends the process with its own status before C++ destroys tensorflow-io's S3 client, which then aborts."""
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    libc.on_exit(libc._exit, None)  # glibc calls this with the exit status, before the destructors.
