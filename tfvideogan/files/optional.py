"""The one door to packages that not everybody has: they are imported here, or an error says how to install them."""

from __future__ import annotations

import atexit
import ctypes
import functools
import importlib
import importlib.metadata
import importlib.util
from types import ModuleType

from tfvideogan.config import UsageError

_TENSORFLOW_OF_IO = "2.16."


def package(module: str, name: str, extra: str = "export") -> ModuleType:
    """The one door to packages that only exporting needs. Raises UsageError with the line that installs them."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{name} is not installed: pip install -c constraints.txt -e '.[{extra}]'") from error


@functools.cache
def tensorflow_io() -> ModuleType:
    """The one door to tensorflow-io, an optional package. Raises UsageError with the versions that would work."""
    tf = importlib.import_module("tensorflow")
    if not tf.__version__.startswith(_TENSORFLOW_OF_IO):
        raise UsageError(
            f"s3:// needs tensorflow-io 0.37.1, which loads with TensorFlow 2.16 only (here: {tf.__version__}): "
            "`make install-io` makes an environment of its own, or pip install 'tfvideogan[io]' -c constraints-io.txt"
        )
    try:
        module = importlib.import_module("tensorflow_io")
    except ImportError as error:
        raise UsageError("s3:// needs tensorflow-io: pip install 'tfvideogan[io]' -c constraints-io.txt") from error
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
