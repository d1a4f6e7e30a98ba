"""Serves SavedModels on this machine, in an environment of its own: `make install-serving`.

python tests/helpers/serve.py kserve|grpc NAME=SAVED_MODEL [NAME=SAVED_MODEL ...]

The first line of standard output is the target. KServe's own Python server answers REST, and TF Serving's official
stubs gRPC, each before a session of TensorFlow 1. The process serves until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers import model_server


def kserve(server: model_server.Server, names: list[str]) -> None:
    from kserve import Model, errors, model_repository
    from kserve.protocol import dataplane, model_repository_extension
    from kserve.protocol.rest import server as rest

    class Served(Model):
        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002
            try:
                return await asyncio.to_thread(server.answer_json, self.name, payload)
            except model_server.RefusedError as error:
                if error.code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
                    raise errors.InvalidInput(str(error)) from error
                raise

    registry = model_repository.ModelRepository()
    for name in names:
        model = Served(name)
        model.ready = True
        registry.update(model)
    plane = dataplane.DataPlane(model_registry=registry)
    extension = model_repository_extension.ModelRepositoryExtension(model_registry=registry)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = rest.RESTServer("kserve.model_server:app", plane, extension, port)
    made.config.host = "127.0.0.1"  # KServe itself would listen to the whole network.
    threading.Thread(target=_tell_when_open, args=(port,), daemon=True).start()
    made.run()


def _tell_when_open(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        threading.Event().wait(0.1)
    print(f"rest://127.0.0.1:{port}", flush=True)


def main() -> None:
    protocol, *models = sys.argv[1:]
    paths = dict(model.split("=", 1) for model in models)
    server = model_server.Server(paths)
    if protocol == "kserve":
        kserve(server, list(paths))
        return
    with model_server.grpc(server, threads=16, tensor_content=False) as target:
        print(target, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
