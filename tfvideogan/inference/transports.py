"""One request to a model server, over either of its protocols: REST V1, by the standard library, or gRPC, by grpcio."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.files import optional, paths
from tfvideogan.inference import messages
from tfvideogan.inference.messages import Value

MAX_ANSWER = 2**28  # An answer has so many bytes at most; the limit of gRPC itself, 4 MiB, is less than a batch.
UNAVAILABLE = "UNAVAILABLE"
_STRANGE = "the answer is not that of a model server"
_CODES = {  # The code of gRPC stands beside each status of REST.
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    412: "FAILED_PRECONDITION",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: UNAVAILABLE,
    504: "DEADLINE_EXCEEDED",
}
_LEFT_OUT = re.compile(
    r"^(Graph execution error:|Detected at .*|<stack traces unavailable>|\d+ root error\(s\) found\.)$"
)


class RequestError(Exception):
    """The server answered with an error, or not at all.

    Attributes:
        code: the name of gRPC's status, such as INVALID_ARGUMENT.
    """

    def __init__(self, code: str, message: str):
        super().__init__(cause(message) or code)
        self.code = code


class Transport(Protocol):
    def call(self, signature: str, inputs: Mapping[str, Value], output: str, seconds: float) -> Any:
        """One output of one request: an array, nested lists, or a list of bytes.

        Args:
            seconds: how long it may take in all.

        Raises:
            RequestError: with status DEADLINE_EXCEEDED when the time is over.
        """

    def signatures(self, seconds: float) -> dict[str, set[str]]:
        """The inputs' names by signature, as the server's metadata have them. Arguments and errors are those of `call`.

        TF Serving has metadata; of other servers of REST V1, such as KServe's own, they are NOT_FOUND.
        """


def open_transport(target: str, model: str) -> Transport:
    """The transport of `rest://HOST:PORT` or `grpc://HOST:PORT`; nothing is sent yet. Raises UsageError for others."""
    scheme, _, address = target.partition("://")
    try:
        parts = urllib.parse.urlsplit(f"//{address}")
        (parts.hostname or "").encode("idna")  # It raises a ValueError for what can be no name of a host.
        right = scheme in ("rest", "grpc") and parts.hostname and parts.port and parts.netloc == address
    except ValueError:
        right = False
    if not right or "@" in address:
        raise UsageError(f"--target must be rest://HOST:PORT or grpc://HOST:PORT. Received: {target!r}")
    return _Rest(parts.hostname, parts.port, model) if scheme == "rest" else _Grpc(address, model)


def cause(message: str) -> str:
    """What a server's error says, in one line: of TensorFlow's, the check that failed and not the way to it."""
    failed = re.search(r"assertion failed: \[(.*?)](?=\s*(?:\[\[\{\{|\n|$))", message, re.DOTALL)
    if failed:
        return " ".join(failed[1].replace("] [", " ").split())
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if not _LEFT_OUT.match(line)]
    return re.sub(r"^\(\d+\) [A-Z_ ]+:\s*|\s*\[\[\{\{.*", "", (telling or lines or [""])[0])


class _Rest:
    def __init__(self, host: str, port: int, model: str):
        self._address = host, port
        self._path = f"/v1/models/{urllib.parse.quote(model, safe='')}"

    def call(self, signature: str, inputs: Mapping[str, Value], output: str, seconds: float) -> Any:
        request = {"signature_name": signature, "inputs": {name: _to_json(value) for name, value in inputs.items()}}
        answer = self._ask("POST", ":predict", json.dumps(request).encode(), seconds)
        if "outputs" not in answer:
            raise RequestError("INTERNAL", _STRANGE)
        values = answer["outputs"]
        values = values.get(output) if isinstance(values, dict) else values  # The name of an only output is left out.
        return _from_json(values)

    def signatures(self, seconds: float) -> dict[str, set[str]]:
        answer = self._ask("GET", "/metadata", None, seconds)
        try:
            described = answer["metadata"]["signature_def"]["signature_def"]
            return {name: set(signature.get("inputs", {})) for name, signature in described.items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise RequestError("INTERNAL", _STRANGE) from error

    def _ask(self, method: str, what: str, body: bytes | None, seconds: float) -> dict[str, Any]:
        """The object that the server answers with."""
        status, content = self._exchange(method, self._path + what, body, time.monotonic() + seconds)
        try:
            answer = paths.parse_json(content.decode("utf-8", "replace"))
        except ValueError:
            answer = None
        if status != http.HTTPStatus.OK:
            message = answer.get("error") if isinstance(answer, dict) else content.decode("utf-8", "replace")
            raise RequestError(_CODES.get(status, "INTERNAL"), str(message or f"HTTP status {status}"))
        if not isinstance(answer, dict):
            raise RequestError("INTERNAL", _STRANGE)
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None, end: float) -> tuple[int, bytes]:
        """The status and the content of an answer, read until the clock shows `end` at most."""
        connection = http.client.HTTPConnection(*self._address, timeout=_left(end))
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                socket = connection.sock  # The connection forgets it once an answer of unknown length has begun.
                socket.settimeout(_left(end))
                response, blocks, length = connection.getresponse(), [], 0
                while block := response.read1(2**20):
                    length += len(block)
                    if length > MAX_ANSWER:
                        raise RequestError("RESOURCE_EXHAUSTED", f"the answer has more than {MAX_ANSWER:,} bytes")
                    blocks.append(block)
                    if not response.isclosed():
                        socket.settimeout(_left(end))
                return response.status, b"".join(blocks)
            except TimeoutError as error:
                raise RequestError("DEADLINE_EXCEEDED", "no answer in time") from error
            except (OSError, http.client.HTTPException) as error:
                raise RequestError(UNAVAILABLE, f"cannot be reached ({error or type(error).__name__})") from error


class _Grpc:
    def __init__(self, address: str, model: str):
        self._grpc: Any = optional.package("grpc", "grpcio", "client")
        limits = {"grpc.max_send_message_length": MAX_ANSWER, "grpc.max_receive_message_length": MAX_ANSWER}
        # What to try again is decided in one place, which is `remote.py`.
        self._channel = self._grpc.insecure_channel(address, [*limits.items(), ("grpc.enable_retries", 0)])
        self._predict = self._channel.unary_unary(messages.PREDICT)
        self._describe = self._channel.unary_unary(messages.METADATA)
        self._model = model

    def call(self, signature: str, inputs: Mapping[str, Value], output: str, seconds: float) -> Any:
        request = messages.predict_request(self._model, signature, inputs)
        return self._ask(lambda: messages.read_response(self._predict(request, timeout=seconds)).get(output))

    def signatures(self, seconds: float) -> dict[str, set[str]]:
        request = messages.metadata_request(self._model)
        return self._ask(lambda: messages.read_metadata(self._describe(request, timeout=seconds)))

    def _ask(self, exchange: Callable[[], Any]) -> Any:
        try:
            return exchange()
        except self._grpc.RpcError as error:
            raise RequestError(error.code().name, error.details() or "") from error
        except (ValueError, OverflowError, MemoryError) as error:
            raise RequestError("INTERNAL", str(error)) from error


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _to_json(value: Value) -> list:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [{"b64": base64.b64encode(content).decode()} for content in value]


def _from_json(values: Any) -> Any:
    """Nested lists as they are, and a list of strings as bytes."""
    if not (isinstance(values, list) and values and isinstance(values[0], dict)):
        return values
    try:
        return [base64.b64decode(value["b64"], validate=True) for value in values]
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError("INTERNAL", _STRANGE) from error
