"""Models behind stand-ins of a model server, for the tests of a class."""

import contextlib
import unittest
from pathlib import Path

import tensorflow as tf

from tests.helpers import model_server
from tfvideogan.inference import signatures
from tfvideogan.models.adversarial import AdversarialModel


def of_class(
    cls: type[unittest.TestCase], folder: Path, models: dict[str, AdversarialModel], **options: int
) -> tuple[model_server.Server, dict[str, str]]:
    """Serves models by name to all tests of a class, by REST and, with the stubs, by gRPC.

    Args:
        folder: where they are saved.
        options: of `signatures.ServedModel`.

    Returns:
        The server, and its address by protocol, `rest` and `grpc`.
    """
    for name, model in models.items():
        served = signatures.ServedModel(model, **options)
        tf.saved_model.save(served, str(folder / name), signatures=served.signatures())
    server = model_server.Server({name: str(folder / name) for name in models})
    running = contextlib.ExitStack()
    cls.addClassCleanup(running.close)
    targets = {"rest": running.enter_context(model_server.rest(server))}
    if model_server.HAS_STUBS:
        targets["grpc"] = running.enter_context(model_server.grpc(server))
    return server, targets
