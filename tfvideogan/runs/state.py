"""A model's variables by the names that checkpoints give them.

    {"generator": {"f_conv1/kernel": ..., "f_bn1/gamma": ...}, "generator_optimizer": {"f_conv1_kernel_momentum": ...}}

Layers that have variables need names of their own in the networks: those that Keras makes up depend on what else the
process has built.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.updates import Update

State = dict[str, dict[str, tf.Variable]]


def for_sampling(model: AdversarialModel) -> State:
    """What a model must be given back to sample as it did."""
    return {name: of_network(network) for name, network in model.sampling_networks.items()}


def for_training(model: AdversarialModel) -> State:
    """What a compiled model must be given back to train on as if it had not stopped."""
    networks = {name: of_network(network) for name, network in model.networks.items()}
    return networks | {
        "generator_optimizer": _of_update(model.generator_update),
        "discriminator_optimizer": _of_update(model.discriminator_update),
        "counters": {"step": model.step, "skipped": model.skipped},
    }


def of_network(network: keras.Model) -> dict[str, tf.Variable]:
    """The variables of a network by name, `f_conv1/kernel`."""
    return _by_name(
        (f"{layer.name}/{variable.name}", variable) for layer in network.layers for variable in layer.variables
    )


def _of_update(update: Update) -> dict[str, tf.Variable]:
    """The optimizer's variables, each named after the trained variable it belongs to, and those of the loss scale.

    A constant learning rate is one of them, and a schedule is none. Its present rate stands at the same place, so
    that a run with either goes on from a checkpoint of the other.
    """
    optimizer = _by_name((variable.name, variable) for variable in update.optimizer.variables)
    if "learning_rate" not in optimizer:
        rate = tf.Variable(update.optimizer.learning_rate, trainable=False)
        optimizer = {"iteration": optimizer["iteration"], "learning_rate": rate} | optimizer
    return optimizer | {"loss_scale": update.scale, "finite_updates": update.finite_updates}


def _by_name(variables: Iterable[tuple[str, keras.Variable]]) -> dict[str, tf.Variable]:
    """Raises ValueError where two variables have one name, since a checkpoint would lack one of them."""
    named: dict[str, tf.Variable] = {}
    for name, variable in variables:
        if name in named:
            raise ValueError(f"two variables must not have the same name. Received: {name!r}")
        named[name] = variable.value
    return named
