"""A reader of Torch7's binary files (`.t7`): numbers, strings, tables, tensors, and modules as tables with a class.

All is little-endian: a type tag (int32), then the value. Tables and objects carry an index, by which a later one refers
to an earlier one. Functions, which a file may hold, are skipped as bytes. Nothing in a file is run.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from typing import Any

import numpy as np

from tfvideogan.files import paths
from tfvideogan.weights import tensors
from tfvideogan.weights.tensors import MalformedError

MOST_OBJECTS = 200_000  # A generator has about 1,000.
DEEPEST = 100  # A module of a generator lies about 20 deep.
LONGEST_STRING = 2**20
_NIL, _NUMBER, _STRING, _TABLE, _TORCH, _BOOLEAN, _FUNCTION, _LEGACY_RECURSIVE_FUNCTION, _RECURSIVE_FUNCTION = range(9)
_DTYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1",
    "Byte": "u1",
    "Cuda": "<f4", "CudaDouble": "<f8", "CudaHalf": "<f2", "CudaLong": "<i8", "CudaInt": "<i4", "CudaShort": "<i2",
    "CudaChar": "i1", "CudaByte": "u1",
}  # fmt: skip
_CLASS = re.compile(r"torch\.(\w+?)(Tensor|Storage)")


@dataclasses.dataclass
class Module:
    """An object of a class that is neither tensor nor storage, such as `nn.Sequential`, with its fields by name."""

    kind: str
    fields: dict[Any, Any]


def read(path: paths.Path) -> Any:
    """What a file holds: None, bool, float or int, str, dict (a table), array (a tensor), or `Module`.

    Tensors are read-only views of the file.

    Raises:
        UsageError: the file is damaged, or nested, or filled, beyond any network.
    """
    content = tensors.read(path)
    with tensors.reading(path, "Torch7"):
        return _Reader(content).object()


class _Reader:
    def __init__(self, content: memoryview):
        self._content, self._place = content, 0
        self._objects: dict[int, Any] = {}
        self._count = 0

    def object(self, depth: int = 0) -> Any:
        self._count += 1
        if depth > DEEPEST or self._count > MOST_OBJECTS:
            raise MalformedError(f"more than {MOST_OBJECTS} objects, or nested more than {DEEPEST} deep")
        tag = self._int()
        if tag == _NIL:
            return None
        if tag == _NUMBER:
            number = self._unpack("<d")
            return int(number) if number.is_integer() else number
        if tag == _STRING:
            return self._string()
        if tag == _BOOLEAN:
            return self._int() == 1
        if tag == _FUNCTION:
            return self._function(depth)
        if tag not in (_TABLE, _TORCH, _LEGACY_RECURSIVE_FUNCTION, _RECURSIVE_FUNCTION):
            raise MalformedError(f"the type tag {tag}")
        index = self._int()
        if index not in self._objects:
            read = {_TABLE: self._table, _TORCH: self._torch}.get(tag, self._indexed_function)
            self._objects[index] = read(index, depth)
        return self._objects[index]

    def _table(self, index: int, depth: int) -> dict[Any, Any]:
        size = self._int()
        table = self._objects[index] = {}  # A table may hold itself.
        for _ in range(size):
            key, value = self.object(depth + 1), self.object(depth + 1)
            if isinstance(key, str | int | float):
                table[key] = value
        return table

    def _torch(self, index: int, depth: int) -> Any:
        kind = self._string()
        if re.fullmatch(r"V \d+", kind):  # Files of the first version have no version.
            kind = self._string()
        known = _CLASS.fullmatch(kind)
        if known and known[1] in _DTYPES:
            read = self._tensor if known[2] == "Tensor" else self._storage
            return read(np.dtype(_DTYPES[known[1]]), depth)
        module = self._objects[index] = Module(kind, {})
        fields = self.object(depth + 1)
        if not isinstance(fields, dict):
            raise MalformedError(f"an object of the class {kind[:80]} without fields")
        module.fields.update(fields)
        return module

    def _tensor(self, dtype: np.dtype, depth: int) -> np.ndarray:
        rank = self._int()
        if not 0 <= rank <= 8:
            raise MalformedError(f"a tensor with {rank} axes")
        sizes, strides = ([self._unpack("<q") for _ in range(rank)] for _ in range(2))
        offset = self._unpack("<q") - 1  # Lua counts from 1.
        storage = self.object(depth + 1)
        if storage is None or not rank:
            return np.zeros(0, dtype)
        if not isinstance(storage, np.ndarray) or storage.dtype != dtype:
            raise MalformedError("a tensor without a storage of its type")
        return tensors.view(storage, offset, sizes, strides)

    def _storage(self, dtype: np.dtype, _: int) -> np.ndarray:
        size = self._unpack("<q")
        start = self._skip(size * dtype.itemsize)
        return np.frombuffer(self._content, dtype, size, start)

    def _function(self, depth: int) -> None:
        self._skip(self._int())
        self.object(depth + 1)  # These are the values that the function has closed over.

    def _indexed_function(self, index: int, depth: int) -> None:
        self._objects[index] = None
        self._function(depth)

    def _string(self) -> str:
        size = self._int()
        if size > LONGEST_STRING:
            raise MalformedError(f"a string of {size} bytes")
        start = self._skip(size)
        return bytes(self._content[start : start + size]).decode("latin-1")

    def _int(self) -> int:
        return self._unpack("<i")

    def _unpack(self, form: str) -> Any:
        (value,) = struct.unpack_from(form, self._content, self._place)
        self._place += struct.calcsize(form)
        return value

    def _skip(self, size: int) -> int:
        """Where the next `size` bytes begin, which are then behind."""
        start = self._place
        if not 0 <= size <= len(self._content) - start:
            raise MalformedError(f"{size} bytes are told where {len(self._content) - start} are left")
        self._place += size
        return start
