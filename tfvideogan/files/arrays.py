"""NumPy's arrays on disk, `.npy` and `.npz`, and the frames in them, uint8 RGB. Pickles are never read."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import paths, pictures

SUFFIXES = (".npy", ".npz")
_MOST_MEMBERS = 1000  # A .npz of more arrays is refused.
_LONGEST_HEADER = 12_000  # NumPy's own reader would read as many bytes as a header says that it has.
_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ERRORS = (
    *(OSError, ValueError, TypeError, LookupError, SyntaxError, EOFError, RecursionError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclasses.dataclass(frozen=True)
class Header:
    """What an array says of itself; `member` is its name in a `.npz`, or empty."""

    member: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Part:
    """One sequence of frames in a file of arrays.

    Attributes:
        member: the name of the array in a `.npz`, or empty.
        layout: its axes in order, of N, T, H, W and C, as `NTHWC`.
        values: its black and white, as `0:255`.
        index: the place on the axis N, or None if there is none.
    """

    member: str
    layout: str
    values: str
    index: int | None

    @property
    def limits(self) -> tuple[float, float]:
        """Black and white."""
        black, _, white = self.values.partition(":")
        return float(black), float(white)


def headers(path: str | os.PathLike[str]) -> list[Header]:
    """The arrays of a file by their headers; whether it is a `.npz` is told by its content.

    Raises:
        UsageError: it is damaged, or cut off, or its values are Python objects or no numbers.
    """
    with _telling(path):
        file = paths.path(path)
        with file.open("rb") as opened:
            if not _is_zip(opened):
                return [_header(opened, "", file.stat().length)]
            with zipfile.ZipFile(opened) as archive:
                members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
                if not 0 < len(members) <= _MOST_MEMBERS:
                    raise ValueError(f"{len(members)} arrays in it, and not 1 to {_MOST_MEMBERS}")
                return [_member_header(archive, info) for info in members]


def _is_zip(file: BinaryIO) -> bool:
    signature = file.read(4)
    file.seek(0)
    return signature.startswith(b"PK")


def _member_header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Header:
    with archive.open(info) as member:
        return _header(member, info.filename.removesuffix(".npy"), info.file_size)


def _header(file: BinaryIO, member: str, size: int) -> Header:
    """The header that a file begins with. Raises ValueError unless so many bytes hold the array."""
    begin = io.BytesIO(file.read(_LONGEST_HEADER))
    version = np.lib.format.read_magic(begin)
    if version not in _READERS:
        raise ValueError(f"version {version} of the format is not known")
    shape, _, dtype = _READERS[version](begin)
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never read")
    if dtype.kind not in "buif":
        raise ValueError(f"it holds no numbers of a picture, but {str(dtype)[:40]}")
    if min(shape, default=1) < 0:
        raise ValueError(f"its shape is {shape}")
    needed = begin.tell() + math.prod(shape) * dtype.itemsize
    if size < needed:
        raise ValueError(f"cut off after {size:,} of {needed:,} bytes")
    return Header(member, shape, dtype)


def read_frames(path: str | os.PathLike[str], part: Part, fit: pictures.Fit) -> Iterator[np.ndarray]:
    """The frames of a sequence in an array, scaled, uint8 [H, W, 3] each.

    A `.npy` is mapped, so that no more is read than these frames; a `.npz` is unpacked in memory. Values beyond black
    and white by up to a tenth of their difference, as filters leave them, are clipped.

    Raises:
        UsageError: the file is damaged, or a frame has values further beyond, or no numbers; also after some frames.
    """
    with _telling(path):
        array = _opened(os.fspath(path), part.member, _state_of(path))
        array = array.transpose([part.layout.index(axis) for axis in "NTHWC" if axis in part.layout])
        for number, frame in enumerate(array if part.index is None else array[part.index]):
            pictures.check_pixels(path, frame.shape[1], frame.shape[0])
            yield pictures.from_array(_eight_bits(frame, *part.limits, number), fit)


def _state_of(path: str | os.PathLike[str]) -> tuple[float, ...]:
    """What tells whether a file has changed."""
    if paths.is_remote(path):
        state = paths.path(path).stat()
        return state.length, state.mtime
    state = Path(path).stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@functools.lru_cache(maxsize=1)  # The sequences of a file come one after another, and unpacking takes long.
def _opened(path: str, member: str, _state: tuple[float, ...]) -> np.ndarray:
    """An array of a file in this state."""
    with paths.local(path) as file:
        if not member:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        with np.load(file, allow_pickle=False) as archive:
            return archive[f"{member}.npy"]


def _eight_bits(frame: np.ndarray, black: float, white: float, number: int) -> np.ndarray:
    """Values of a frame as uint8, rounded half to even."""
    if frame.dtype == np.uint8 and (black, white) == (0, 255):
        return np.ascontiguousarray(frame)
    numbers = frame.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"frame {number} holds values that are no finite numbers")
    low, high, slack = numbers.min(), numbers.max(), (white - black) / 10
    if low < black - slack or high > white + slack:
        raise ValueError(f"frame {number} has values from {low:g} to {high:g}, beyond {black:g} to {white:g}")
    return np.clip(np.rint((numbers - black) * (255 / (white - black))), 0, 255).astype(np.uint8)


@contextlib.contextmanager
def _telling(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raises UsageError in place of what NumPy and zipfile raise."""
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UsageError:
        raise
    except _ERRORS as error:
        raise UsageError(f"{path}: {paths.first_line(error)}") from error
