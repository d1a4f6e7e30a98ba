"""Stand-ins for a model server, before a session of TensorFlow 1: REST V1, and gRPC by TF Serving's official stubs.

The session loads a SavedModel as TF Serving does. This file needs TensorFlow and NumPy alone, and gRPC and the stubs
only where they are used, since it also runs in environments that hold nothing of this project.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

HAS_STUBS = importlib.util.find_spec("tensorflow_serving") is not None
STUBS_MISSING = "tensorflow-serving-api is not installed (pip install -c constraints.txt -e '.[dev]')"
NAMES = {1: "CANCELLED", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 8: "RESOURCE_EXHAUSTED"}
NAMES |= {9: "FAILED_PRECONDITION", 11: "OUT_OF_RANGE", 12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE"}
HTTP = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "FAILED_PRECONDITION": 412, "RESOURCE_EXHAUSTED": 429}
HTTP |= {"UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}


class RefusedError(Exception):
    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Server:
    """The models of a server by name, each a SavedModel in a session of its own.

    Attributes:
        faults: codes with which the next requests are refused, the last one first.
        count: how many requests there have been.
        has_metadata: whether it tells the signatures of its models, as TF Serving does and KServe does not.
    """

    def __init__(self, paths: dict[str, str], has_metadata: bool = True):
        self.has_metadata = has_metadata
        self._sessions = {}
        self.faults: list[str] = []
        self.count = 0
        for name, path in paths.items():
            session = tf.compat.v1.Session(graph=tf.Graph())
            with session.graph.as_default():
                described = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def
            self._sessions[name] = session, described

    def run(self, model: str, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """The outputs of a request; inputs are arrays, or nested lists as JSON has them."""
        self.count += 1
        if self.faults:
            raise RefusedError(self.faults.pop(), "Graph execution error:\n\nthis was to be so")
        session, described = self._find(model, signature)
        if set(inputs) != set(described.inputs):
            raise RefusedError("INVALID_ARGUMENT", f"inputs must be {sorted(described.inputs)}: {sorted(inputs)}")
        feeds = {described.inputs[name].name: _as_type(described.inputs[name], value) for name, value in inputs.items()}
        try:
            return session.run({name: info.name for name, info in described.outputs.items()}, feeds)
        except tf.errors.OpError as error:
            raise RefusedError(NAMES.get(error.error_code, "UNKNOWN"), error.message) from error
        except ValueError as error:  # The session has looked at the shapes itself.
            raise RefusedError("INVALID_ARGUMENT", str(error)) from error

    def _find(self, model: str, signature: str) -> tuple[tf.compat.v1.Session, Any]:
        if model not in self._sessions:
            raise RefusedError("NOT_FOUND", f"Servable not found for request: Latest({model})")
        session, described = self._sessions[model]
        if signature not in described:
            raise RefusedError("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
        return session, described[signature]

    def signatures(self, model: str) -> dict[str, Any]:
        """The SignatureDefs of a model by name."""
        if not self.has_metadata:
            raise RefusedError("UNIMPLEMENTED", "there are no metadata")
        if model not in self._sessions:
            raise RefusedError("NOT_FOUND", f"Servable not found for request: Latest({model})")
        return dict(self._sessions[model][1])

    def answer_json(self, model: str, request: Any) -> dict[str, Any]:
        """The answer to the body of a REST request in columns."""
        if not (isinstance(request, dict) and isinstance(request.get("inputs"), dict)):
            raise RefusedError("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
        try:
            inputs = {name: _from_base64(value) for name, value in request["inputs"].items()}
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError("INVALID_ARGUMENT", "JSON Value: not what it should be") from error
        outputs = self.run(model, request.get("signature_name", "serving_default"), inputs)
        columns = {name: _to_json(value) for name, value in outputs.items()}
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}


def _as_type(info: Any, value: Any) -> np.ndarray:
    dtype = tf.as_dtype(info.dtype)
    try:
        return np.asarray(value, object if dtype == tf.string else dtype.as_numpy_dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise RefusedError("INVALID_ARGUMENT", f"JSON Value: no tensor of type {dtype.name}") from error


def _from_base64(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [base64.b64decode(one["b64"], validate=True) for one in value]
    return value


def _to_json(value: np.ndarray) -> list:
    return [{"b64": base64.b64encode(one).decode()} for one in value] if value.dtype == object else value.tolist()


def described(signatures: dict[str, Any]) -> Any:
    """SignatureDefs in JSON, as TF Serving writes them."""
    from google.protobuf import json_format

    made = {name: json_format.MessageToDict(value, preserving_proto_field_name=True)
            for name, value in signatures.items()}  # fmt: skip
    return {"signature_def": made}


@contextlib.contextmanager
def rest(server: Server, port: int = 0) -> Iterator[str]:
    """The target of a REST server on this machine, at a free port by default."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            model = self.path.removeprefix("/v1/models/").removesuffix("/metadata")
            self.answer(lambda: {"metadata": {"signature_def": described(server.signatures(model))}})

        def do_POST(self) -> None:
            model = self.path.removeprefix("/v1/models/").removesuffix(":predict")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(lambda: server.answer_json(model, json.loads(body)))

        def answer(self, work: Callable[[], Any]) -> None:
            try:
                status, answer = 200, work()
            except RefusedError as error:
                status, answer = HTTP.get(error.code, 500), {"error": str(error)}
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing of requests."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"rest://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@contextlib.contextmanager
def grpc(server: Server, threads: int = 4, tensor_content: bool = True) -> Iterator[str]:
    """The target of a gRPC server on this machine.

    Args:
        tensor_content: whether answers hold the bytes of arrays, and not lists of values, as TF Serving's are.
    """
    import grpc as library
    from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

    class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
            inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
            try:
                outputs = server.run(request.model_spec.name, request.model_spec.signature_name, inputs)
            except RefusedError as error:
                context.abort(library.StatusCode[error.code], str(error))
            made = {name: proto(value, tensor_content) for name, value in outputs.items()}
            return predict_pb2.PredictResponse(outputs=made)

        def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
            try:
                signatures = server.signatures(request.model_spec.name)
            except RefusedError as error:
                context.abort(library.StatusCode[error.code], str(error))
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            made = get_model_metadata_pb2.SignatureDefMap(signature_def=signatures)
            for field in request.metadata_field:
                response.metadata[field].Pack(made)
            return response

    limits = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    listening = library.server(futures.ThreadPoolExecutor(threads), options=limits)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(), listening)
    port = listening.add_insecure_port("127.0.0.1:0")
    listening.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        listening.stop(None).wait()


def proto(value: np.ndarray, tensor_content: bool) -> Any:
    """An output as a TensorProto, by its bytes or by its values."""
    made = tf.make_tensor_proto(value)
    if tensor_content or value.dtype == object:
        return made
    field = {"float32": "float_val", "uint8": "int_val", "int64": "int64_val"}[value.dtype.name]
    made.ClearField("tensor_content")
    getattr(made, field).extend(value.ravel().tolist())
    return made
