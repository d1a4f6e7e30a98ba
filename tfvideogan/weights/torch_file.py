"""PyTorch's files of tensors (`.pth`) without PyTorch: both formats are read, and the newer one is written.

    legacy   four pickles (a magic number, the protocol, the machine, the object), a pickled list of storage keys, then
             of each storage its number of values (int64) and the values
    zip      archive/data.pkl, which is the object, and archive/data/KEY for each storage, stored without compression

In both the pickled object names its storages by persistent ids, and `pickled.Machine` reads it.
"""

from __future__ import annotations

import functools
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfvideogan.files import paths
from tfvideogan.weights import tensors
from tfvideogan.weights.pickled import Machine, Named
from tfvideogan.weights.tensors import MalformedError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LARGEST_PICKLE = 16 * 2**20  # A pickle of more bytes is not read.
# What Python raises for a zip that is damaged, encrypted, or of a kind that it does not know.
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError)
_DTYPES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16, "LongStorage": np.int64,
    "IntStorage": np.int32, "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8,
    "BoolStorage": np.uint8,
}  # fmt: skip

Storages = Callable[[str, np.dtype, int], np.ndarray]  # (key, type, number of values) -> values


class _Tensor:
    """A tensor of a pickle whose storage is not looked at yet: in the legacy format it comes behind the pickle."""

    def __init__(self, storage: Any, offset: int, sizes: tuple[int, ...], strides: tuple[int, ...], *_: Any):
        if not isinstance(storage, _Storage) or not isinstance(sizes, tuple) or not isinstance(strides, tuple):
            raise MalformedError("a tensor without a storage")
        self.storage, self.offset, self.sizes, self.strides = storage, offset, sizes, strides


class _Storage:
    """A storage by its persistent id ("storage", type, key, device, number of values[, None])."""

    def __init__(self, identifier: Any):
        kind, named, key, _, count, *view = identifier
        known = kind == "storage" and isinstance(named, Named) and type(key) is str and type(count) is int
        if not known or count < 0 or view not in ([], [None]):
            raise MalformedError("a pickle with an unknown persistent id")
        self.dtype = np.dtype(_DTYPES[named.name.split(" ")[-1]]).newbyteorder("<")
        self.key, self.count = key, count


def read(path: paths.Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name, as read-only views of the file where they can be.

    A state dict under the key `state_dict` of another dict is taken, too.

    Raises:
        UsageError: the file is damaged, holds something else, or names what is no tensor or container.
    """
    content = tensors.read(path)
    with tensors.reading(path, "PyTorch"):
        if bytes(content[:2]) == b"PK":
            pickled, storages = _read_zip(path)
        else:
            pickled, storages = _read_legacy(content)
        return _as_arrays(pickled, storages)


def _machine() -> Machine:
    calls = {
        "collections OrderedDict": lambda *_: {},
        "torch._utils _rebuild_tensor": _Tensor,
        "torch._utils _rebuild_tensor_v2": _Tensor,
        "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    }
    return Machine(calls, _is_storage, _Storage)


def _is_storage(name: str) -> bool:
    module, _, kind = name.partition(" ")
    return module in ("torch", "torch.cuda") and kind in _DTYPES


def _read_zip(path: paths.Path) -> tuple[Any, Storages]:
    try:
        archive = zipfile.ZipFile(path.open("rb"))
        entries = {name.partition("/")[2]: info for name, info in archive.NameToInfo.items()}
        if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in entries.values()):
            raise MalformedError("a zip file that is compressed or encrypted")
        pickled, order = entries["data.pkl"], entries.get("byteorder")
        if pickled.file_size > _LARGEST_PICKLE:
            raise MalformedError(f"a pickle of {pickled.file_size} bytes")
        if order and (order.file_size > len(b"little") or _entry(archive, order) != b"little"):
            raise MalformedError("a file of a machine whose bytes are in the other order")
        found = _machine().read(io.BytesIO(_entry(archive, pickled)))
    except _UNREADABLE as error:
        raise MalformedError(f"not a whole zip file ({error})") from error

    @functools.cache
    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        info = entries[f"data/{key}"]
        if info.file_size != count * dtype.itemsize:
            raise MalformedError(f"storage {key} has {info.file_size} bytes and should have {count * dtype.itemsize}")
        try:
            return np.frombuffer(_entry(archive, info), dtype)
        except _UNREADABLE as error:
            raise MalformedError(f"storage {key} is damaged") from error

    return found, storage


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > info.compress_size:  # What is stored cannot have grown.
        raise MalformedError(f"{info.filename} tells two sizes")
    return archive.read(info)


def _read_legacy(content: memoryview) -> tuple[Any, Storages]:
    head = io.BytesIO(content[:_LARGEST_PICKLE])
    if _machine().read(head) != _MAGIC or _machine().read(head) != _PROTOCOL:
        raise MalformedError("it begins with no magic number of PyTorch's")
    machine = _machine().read(head)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise MalformedError("a file of a machine whose bytes are in the other order")
    found, keys = _machine().read(head), _machine().read(head)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise MalformedError("no list of storages")
    sizes = {t.storage.key: t.storage.count * t.storage.dtype.itemsize for t in _named_tensors(found).values()}
    starts, place = {}, head.tell()
    for key in keys:
        if key not in sizes:
            raise MalformedError(f"storage {key[:80]} is of no tensor")
        (count,) = struct.unpack_from("<q", content, place)
        starts[key] = place + 8, count
        place += 8 + sizes[key]

    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        start, stored = starts[key]
        if stored != count:
            raise MalformedError(f"storage {key} has {stored} values and should have {count}")
        return np.frombuffer(content, dtype, count, start)

    return found, storage


def _named_tensors(found: Any) -> dict[str, _Tensor]:
    """The tensors of a state dict. Raises MalformedError if the object is none."""
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not found:
        raise MalformedError("no state dict, which is a dict of tensors by name")
    other = [
        str(key)[:80] for key, value in found.items() if not isinstance(key, str) or not isinstance(value, _Tensor)
    ]
    if other:
        raise MalformedError(f"no state dict: no tensors are {', '.join(other[:5])}")
    return found


def _as_arrays(found: Any, storages: Storages) -> dict[str, np.ndarray]:
    named = _named_tensors(found)
    return {
        name: tensors.view(storages(t.storage.key, t.storage.dtype, t.storage.count), t.offset, t.sizes, t.strides)
        for name, t in named.items()
    }


def content(state_dict: Mapping[str, np.ndarray]) -> bytes:
    """A file in the zip format, which `torch.load` reads: an ordered dict of float32 and int64 tensors by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", _pickled(state_dict))
        archive.writestr("archive/byteorder", "little")
        for key, values in enumerate(state_dict.values()):
            archive.writestr(f"archive/data/{key}", np.ascontiguousarray(values).tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
_STORAGES = {np.dtype(np.float32): b"ctorch\nFloatStorage\n", np.dtype(np.int64): b"ctorch\nLongStorage\n"}


def _pickled(state_dict: Mapping[str, np.ndarray]) -> bytes:
    """The operations that make the dict, since Python's pickler would import what they name."""
    items = (_text(name) + _tensor(str(key), values) for key, (name, values) in enumerate(state_dict.items()))
    return b"\x80\x02" + _ORDERED_DICT + b"(" + b"".join(items) + b"u."


def _tensor(key: str, values: np.ndarray) -> bytes:
    storage = _tuple(_text("storage"), _STORAGES[values.dtype], _text(key), _text("cpu"), _number(values.size)) + b"Q"
    strides = np.cumprod([1, *values.shape[:0:-1]])[::-1] if values.ndim else ()
    numbers = (_tuple(*(_number(int(n)) for n in axes)) for axes in (values.shape, strides))
    arguments = _tuple(storage, _number(0), *numbers, b"\x89", _ORDERED_DICT)
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)
