"""SavedModels' signatures through TensorFlow's C API, as TF Serving loads and runs them.

`ServingProcess` runs this file as a process of its own, which answers until its standard input ends.
It reads pickled pairs (SAVED_MODEL, requests), and a request is (signature, value) with one array or a list of
bytes as its value, or a dict of these by input. It writes a pickled list of answers: {output: array or list of
bytes}, or (status code, message) where the request was refused.
"""

from __future__ import annotations

import ctypes
import functools
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

FOLDER = Path(tf.__file__).parent
FRAMEWORK, CC = (
    ctypes.CDLL(str(FOLDER / f"libtensorflow_{name}.so.2"), ctypes.RTLD_GLOBAL) for name in ("framework", "cc")
)
STRING, STRING_BYTES = 7, 24  # TF_STRING, and the size of a TF_TString
Answer = dict[str, Any] | tuple[int, str]


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def c(name: str, result: Any = ctypes.c_void_p) -> Any:
    function = getattr(CC, name, None) or getattr(FRAMEWORK, name)
    function.restype = result
    return function


class Status:
    def __init__(self):
        self.pointer = ctypes.c_void_p(c("TF_NewStatus")())

    def get(self) -> tuple[int, str]:
        return c("TF_GetCode", ctypes.c_int)(self.pointer), c("TF_Message", ctypes.c_char_p)(self.pointer).decode()


class Session:
    """What the model server does: no XLA compilation, then the graph and its variables into a session."""

    def __init__(self, path: str):
        c("_ZN10tensorflow21DisableXlaCompilationEv", None)()
        self.graph = ctypes.c_void_p(c("TF_NewGraph")())
        status, tags = Status(), (ctypes.c_char_p * 1)(b"serve")
        self.pointer = ctypes.c_void_p(
            c("TF_LoadSessionFromSavedModel")(
                ctypes.c_void_p(c("TF_NewSessionOptions")()), None, path.encode(), tags, 1, self.graph, None,
                status.pointer,
            )
        )  # fmt: skip
        if status.get()[0]:
            raise RuntimeError(status.get())
        saved = saved_model_pb2.SavedModel()
        saved.ParseFromString((Path(path) / "saved_model.pb").read_bytes())
        self.signatures = saved.meta_graphs[0].signature_def

    def _output(self, tensor_name: str) -> Output:
        name, index = tensor_name.split(":")
        return Output(c("TF_GraphOperationByName")(self.graph, name.encode()), int(index))

    def run(self, signature: str, value: np.ndarray | list[bytes] | dict[str, Any]) -> Answer:
        described = self.signatures[signature]
        values = value if isinstance(value, dict) else dict.fromkeys(described.inputs, value)
        count = len(described.inputs)
        fed = (Output * count)(*(self._output(info.name) for info in described.inputs.values()))
        tensors = (ctypes.c_void_p * count)(*(_tensor(values[name]) for name in described.inputs))
        names = sorted(described.outputs)
        fetched = (Output * len(names))(*(self._output(described.outputs[name].name) for name in names))
        answers, status = (ctypes.c_void_p * len(names))(), Status()
        c("TF_SessionRun", None)(
            self.pointer, None, fed, tensors, count, fetched, answers, len(names), None, 0, None, status.pointer,
        )  # fmt: skip
        if status.get()[0]:
            return status.get()
        return {name: _array(ctypes.c_void_p(answer)) for name, answer in zip(names, answers, strict=True)}


def _tensor(value: np.ndarray | list[bytes]) -> int:
    if isinstance(value, np.ndarray):
        kind, shape, size = tf.as_dtype(value.dtype).as_datatype_enum, value.shape, value.nbytes
    else:
        kind, shape, size = STRING, (len(value),), STRING_BYTES * len(value)
    dims = (ctypes.c_int64 * len(shape))(*shape)
    tensor = c("TF_AllocateTensor")(kind, dims, len(shape), ctypes.c_size_t(size))
    data = c("TF_TensorData")(ctypes.c_void_p(tensor))
    if kind != STRING:
        ctypes.memmove(data, np.ascontiguousarray(value).ctypes.data, size)
        return tensor
    for row, content in enumerate(value):
        string = ctypes.c_void_p(data + row * STRING_BYTES)
        c("TF_StringInit", None)(string)
        c("TF_StringCopy", None)(string, content, ctypes.c_size_t(len(content)))
    return tensor


def _array(tensor: ctypes.c_void_p) -> np.ndarray | list[bytes]:
    shape = [c("TF_Dim", ctypes.c_int64)(tensor, axis) for axis in range(c("TF_NumDims", ctypes.c_int)(tensor))]
    kind, data = c("TF_TensorType", ctypes.c_int)(tensor), c("TF_TensorData")(tensor)
    if kind != STRING:
        size = c("TF_TensorByteSize", ctypes.c_size_t)(tensor)
        return np.frombuffer(ctypes.string_at(data, size), tf.as_dtype(kind).as_numpy_dtype).reshape(shape)
    strings = [ctypes.c_void_p(data + row * STRING_BYTES) for row in range(shape[0])]
    return [
        ctypes.string_at(c("TF_StringGetDataPointer")(string), c("TF_StringGetSize", ctypes.c_size_t)(string))
        for string in strings
    ]


def main() -> None:
    load = functools.cache(Session)
    while True:
        try:
            path, requests = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump([load(path).run(*request) for request in requests], sys.stdout.buffer)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
