"""The smallest of everything: each network and model of the registry in a size that tests in a moment."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from export import layers_2d, lowering
from tfvideogan.config import Config
from tfvideogan.models import registry
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import state
from tfvideogan.runs.run_folder import RunFolder

FRAMES = 4
WIDTH = 2
STAGES = {"vgan": (1,), "vgan_one_stream": (1,), "vgan_conditional": (1,), "mdgan": (1, 2)}
MODELS = [(model, stage) for model, stages in STAGES.items() for stage in stages]
# Those of which each has layers and losses that no other has, for tests that take long: the one-stream generator is a
# part of the two-stream one, and the networks and losses of MD-GAN's first stage are parts of its second's.
DISTINCT = [("vgan", 1), ("vgan_conditional", 1), ("mdgan", 2)]

# Of initial weights at width 8, by model and stage: clips of `contrasting` then deviate by 0.2 to 0.3 from their mean.
CONTRASTING = {
    ("vgan", 1): 0.055, ("vgan_one_stream", 1): 0.05, ("vgan_conditional", 1): 0.09, ("mdgan", 1): 0.038,
    ("mdgan", 2): 0.043,
}  # fmt: skip


def frame_size(name: str) -> int:
    return 32 if name.startswith("mdgan") else 16


def network(name: str) -> keras.Model:
    """A network of the registry, its weights large enough for differences to show."""
    return registry.NETWORKS[name].build(WIDTH, frame_size(name), FRAMES, init_stddev=0.1)


def network_input(network: keras.Model, batch: int, seed: int = 0) -> tf.Tensor:
    return tf.random.stateless_uniform([batch, *network.input_shape[1:]], [seed, 1], -1.0, 1.0)


def config(model: str, **options) -> Config:
    sizes = {"base_width": WIDTH, "frame_size": frame_size(model), "num_frames": FRAMES, "init_stddev": 0.1}
    return Config.create(**{"model": model, "batch_size": 4, "steps": 4} | sizes | options)


def model(name: str, stage: int = 1, **options) -> AdversarialModel:
    """A model with weights that depend on nothing but its name and stage."""
    keras.utils.set_random_seed(7)
    return registry.build_model(config(name).model, stage, seed=3, **options)


def clips(model: str, batch: int, seed: int = 0) -> tf.Tensor:
    size = frame_size(model)
    return tf.random.stateless_uniform([batch, FRAMES, size, size, 3], [seed, 2], -1.0, 1.0)


def weights(model: keras.Model) -> np.ndarray:
    """All weights of both players, as one vector."""
    return np.concatenate([np.ravel(w) for part in (model.generator, model.discriminator) for w in part.get_weights()])


def shake(model: AdversarialModel) -> None:
    """Random batch normalisation statistics: a graph that forgot them would show."""
    random = np.random.default_rng(0)
    for network in model.sampling_networks.values():
        for variable in network.non_trainable_variables:
            # Small means: features of a tiny network are small, and a ReLU must not cut all of them off.
            low, high = (0.02, 0.2) if variable.name == "moving_variance" else (-0.1, 0.1)
            variable.assign(random.uniform(low, high, variable.shape))


def shaken(name: str, stage: int = 1) -> AdversarialModel:
    """The `model` of a name and stage, shaken."""
    made = model(name, stage)
    shake(made)
    return made


def contrasting(name: str, stage: int = 1, **options) -> AdversarialModel:
    """A model of random weights and statistics to judge int8 by, whose PSNR depends on the contrast of its clips.

    Flat clips would pass whatever is wrong. Where the weights are so large that the tanh is saturated, a network
    enlarges any rounding until pixels change their sign, in whatever format.
    """
    keras.utils.set_random_seed(7)
    chosen = config(name, base_width=8, init_stddev=CONTRASTING[name, stage], **options)
    made = registry.build_model(chosen.model, stage, seed=3)
    shake(made)
    return made


def changing(stage: int = 1, stddev: float = 0.03, **options) -> AdversarialModel:
    """A contrasting MD-GAN with `residual`, whose last weights, zero at the start, are as after a training."""
    made = contrasting("mdgan", stage, residual=True, **options)
    random = np.random.default_rng(1)
    for network in made.sampling_networks.values():
        for layer in network.layers:
            if hasattr(layer, "kernel") and not np.any(layer.kernel):
                layer.kernel.assign(random.normal(0, stddev, layer.kernel.shape))
    return made


@contextlib.contextmanager
def all_forms() -> Iterator[AdversarialModel]:
    """A `vgan` with transposed convolutions of every lowered form, within limits that a small network crosses.

    Without them it takes 128 pixels at width 16, and a minute.
    """
    limits = {"FEW_CHANNELS": 4}
    with mock.patch.multiple(layers_2d, **limits):
        made = contrasting("vgan", frame_size=32)
        layers = lowering.lower(made)._flatten_layers()
        forms = {x.summed for x in layers if isinstance(x, layers_2d.TransposedConvolution)}
        assert forms == {True, False}, forms
        yield made


def run_folder(path: str | Path, name: str, stage: int = 1, **options) -> Path:
    """A run folder as training leaves it, with random weights and batch normalisation statistics.

    Args:
        options: of the model's config, such as `drift`.
    """
    chosen = config(name, **options)
    run = RunFolder.for_training(path, chosen)
    run.write_config(chosen)
    for earlier in range(1, stage + 1):
        keras.utils.set_random_seed(7)
        made = registry.build_model(chosen.model, earlier, seed=3)
        shake(made)
        run.save(earlier, 4, state.for_sampling(made), keep=1)
    return Path(path)
