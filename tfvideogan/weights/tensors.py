"""What the readers of PyTorch's and Torch7's files share: tensors as views of storages, and bounds on a file."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import paths

MOST_BYTES = 4 * 2**30  # The largest published file has a quarter of this.


class MalformedError(ValueError):
    """A file is not what its format allows. Readers raise it; their callers see a UsageError."""


def read(path: paths.Path) -> memoryview:
    """The bytes of a file, mapped into memory where it is local, so that only what is looked at is read.

    Raises:
        UsageError: it is no file, is empty, or is larger than any file that is meant here.
    """
    if not paths.is_file(path):
        raise UsageError(f"{path} is no file")
    size = path.stat().length
    if not 0 < size <= MOST_BYTES:
        raise UsageError(f"{path} must have 1 to {MOST_BYTES} bytes. Received: {size}")
    content = np.frombuffer(path.read_bytes(), np.uint8) if paths.is_remote(path) else np.memmap(path, mode="r")
    return memoryview(content).toreadonly()


@contextlib.contextmanager
def reading(path: paths.Path, kind: str) -> Iterator[None]:
    """Turns whatever a damaged file makes a reader stumble over into a UsageError that names the file."""
    try:
        yield
    except UsageError:
        raise
    except (
        MalformedError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        struct.error,
        OverflowError,
        OSError,
    ) as error:
        raise UsageError(f"{path} is damaged or no {kind} file: {paths.first_line(error)}") from error


def view(storage: np.ndarray, offset: int, sizes: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """A tensor as a read-only view of its storage, nothing of which is copied.

    Args:
        storage: all values [S].
        offset: where the tensor's first value lies.
        sizes, strides: of each axis, in values.

    Raises:
        MalformedError: the view is not within the storage, or has more values than it.
    """
    numbers = [offset, *sizes, *strides]
    if any(type(n) is not int or not 0 <= n < 2**40 for n in numbers) or len(sizes) != len(strides) or len(sizes) > 8:
        raise MalformedError(f"a tensor has sizes {list(sizes)[:8]}, strides {list(strides)[:8]} and offset {offset}")
    if 0 in sizes:
        return np.zeros(sizes, storage.dtype)
    count, last = 1, offset
    for size, stride in zip(sizes, strides, strict=True):
        count *= size
        last += (size - 1) * stride
    if last >= len(storage) or count > len(storage):
        raise MalformedError(f"a tensor of sizes {list(sizes)} lies outside of its storage of {len(storage)} values")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], sizes, steps, writeable=False)
