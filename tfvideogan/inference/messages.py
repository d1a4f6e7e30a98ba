"""The messages of TensorFlow Serving's PredictionService, as far as served models of this package need them.

The official stubs (PyPI: tensorflow-serving-api) import all of TensorFlow. These are made from a table, by protobuf
alone and in a pool of their own, so that the official ones may be loaded beside them. Other fields are skipped.

Source: tensorflow_serving/apis/{predict,model,prediction_log,get_model_metadata}.proto,
tensorflow/core/framework/{tensor,types}.proto, tensorflow/core/protobuf/meta_graph.proto.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Value = np.ndarray | list[bytes]  # A list of bytes is a tensor of strings [N].

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
_PACKAGE = "tfvideogan.messages"
_STRING = 7  # DT_STRING
_DTYPES = {1: np.float32, 4: np.uint8, 9: np.int64}
_FIELDS_OF_VALUES = {1: "float_val", 4: "int_val", 9: "int64_val"}
# By message and field: the number on the wire and the type, with a star if it is repeated. An enumeration is an int32
# on the wire, and a map a repeated message of key and value.
_MESSAGES = {
    "Dim": {"size": (1, "int64")},
    "TensorShape": {"dim": (2, "*Dim")},
    "Tensor": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShape"),
        "tensor_content": (4, "bytes"),
        "float_val": (5, "*float"),
        "int_val": (7, "*int32"),
        "string_val": (8, "*bytes"),
        "int64_val": (10, "*int64"),
    },
    "NamedTensor": {"key": (1, "string"), "value": (2, "Tensor")},
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "*NamedTensor")},
    "PredictResponse": {"outputs": (1, "*NamedTensor")},
    "MetadataRequest": {"model_spec": (1, "ModelSpec"), "metadata_field": (2, "*string")},
    "MetadataResponse": {"metadata": (2, "*NamedAny")},
    "NamedAny": {"key": (1, "string"), "value": (2, "Any")},
    "Any": {"value": (2, "bytes")},
    "SignatureDefMap": {"signature_def": (1, "*NamedSignature")},
    "NamedSignature": {"key": (1, "string"), "value": (2, "SignatureDef")},
    "SignatureDef": {"inputs": (1, "*NamedInfo")},
    "NamedInfo": {"key": (1, "string")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
}


def predict_request(model: str, signature: str, inputs: Mapping[str, Value]) -> bytes:
    """A serialized PredictRequest."""
    return _request(model, signature, inputs).SerializeToString()


def prediction_log(model: str, signature: str, inputs: Mapping[str, Value]) -> bytes:
    """A serialized PredictionLog of a request, as a server replays it to warm up."""
    log = _classes()["PredictionLog"]()
    log.predict_log.request.CopyFrom(_request(model, signature, inputs))
    return log.SerializeToString(deterministic=True)


def read_response(content: bytes) -> dict[str, Value]:
    """The outputs of a serialized PredictResponse by name. Raises ValueError for what is none, or for other types."""
    try:
        response = _classes()["PredictResponse"].FromString(content)
    except Exception as error:  # protobuf's DecodeError lies in another module for each of its implementations.
        raise ValueError("the response is no PredictResponse") from error
    return {output.key: _value(output.value) for output in response.outputs}


def metadata_request(model: str) -> bytes:
    """A serialized GetModelMetadataRequest for the signatures of a model."""
    request = _classes()["MetadataRequest"](metadata_field=["signature_def"])
    request.model_spec.name = model
    return request.SerializeToString()


def read_metadata(content: bytes) -> dict[str, set[str]]:
    """The inputs' names by signature of a serialized GetModelMetadataResponse. Raises ValueError for what is none."""
    try:
        response = _classes()["MetadataResponse"].FromString(content)
        packed = {entry.key: entry.value.value for entry in response.metadata}
        signatures = _classes()["SignatureDefMap"].FromString(packed["signature_def"]).signature_def
    except Exception as error:
        raise ValueError("the response is no GetModelMetadataResponse") from error
    return {entry.key: {info.key for info in entry.value.inputs} for entry in signatures}


def _request(model: str, signature: str, inputs: Mapping[str, Value]) -> Any:
    request = _classes()["PredictRequest"]()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        entry = request.inputs.add(key=name)
        for size in np.shape(value) if isinstance(value, np.ndarray) else [len(value)]:
            entry.value.tensor_shape.dim.add(size=size)
        if isinstance(value, np.ndarray):
            entry.value.dtype = next(number for number, dtype in _DTYPES.items() if dtype == value.dtype)
            entry.value.tensor_content = value.tobytes()
        else:
            entry.value.dtype = _STRING
            entry.value.string_val.extend(value)
    return request


def _value(tensor: Any) -> Value:
    if tensor.dtype == _STRING:
        return list(tensor.string_val)
    if tensor.dtype not in _DTYPES:
        raise ValueError(f"the response has a tensor of type {tensor.dtype}, which no served model gives")
    dtype, shape = _DTYPES[tensor.dtype], [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = np.array(getattr(tensor, _FIELDS_OF_VALUES[tensor.dtype]) or [0], dtype)
    # A message may leave out the values at the end that repeat the last one.
    return np.pad(values, (0, max(0, math.prod(shape) - len(values))), mode="edge").reshape(shape)


@functools.cache
def _classes() -> dict[str, type]:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if kind.startswith("*") else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            kind = kind.removeprefix("*")
            if kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    descriptors = {name: pool.FindMessageTypeByName(f"{_PACKAGE}.{name}") for name in _MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in descriptors.items()}
