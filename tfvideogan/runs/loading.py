"""Models out of run folders: variables are filled from checkpoints, generators are ready to sample."""

from __future__ import annotations

import hashlib
import re

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.models import memory
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.registry import build_model, num_stages
from tfvideogan.runs import packed, state
from tfvideogan.runs.run_folder import Checkpoint, RunFolder
from tfvideogan.runs.state import State
from tfvideogan.weights import shipped

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow puts this behind the name of each variable.


def restore(checkpoint: Checkpoint, variables: State) -> None:
    """Fills variables from a checkpoint, which may hold other parts beside theirs.

    Raises:
        UsageError: the checkpoint is damaged, or of another model: a part does not have the same names and shapes.
    """
    prefix = str(checkpoint.path / "variables")
    parts = variables
    try:
        if paths.is_file(checkpoint.path / packed.NAME):
            sizes = [v.shape.num_elements() * v.dtype.size for named in variables.values() for v in named.values()]
            return _assign(packed.read(checkpoint.path / packed.NAME, most=2 * sum(sizes) + 2**20), variables)
        if checkpoint.format[0] == 1:  # Its variables are known by their places.
            parts = {part: list(named.values()) for part, named in variables.items()}
        else:
            stored = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
            keys = [key.removesuffix(_VALUE) for key in stored if key.endswith(_VALUE)]
            _check_names({_unescaped(key) for key in keys}, variables)
        status = tf.train.Checkpoint(**parts).read(prefix)
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise UsageError(f"{checkpoint.path} is a checkpoint of another model: {paths.first_line(error)}") from error
    except (IndexError, tf.errors.OpError) as error:  # A file that is too short is an IndexError of TensorFlow's.
        raise UsageError(f"{checkpoint.path} is damaged: {paths.first_line(error)}") from error


def _assign(arrays: dict[str, np.ndarray], variables: State) -> None:
    """Fills variables from a packed file. Raises ValueError unless it has these names and shapes."""
    _check_names(set(arrays), variables)
    for part, named in variables.items():
        for name, variable in named.items():
            variable.assign(arrays[f"{part}/{name}"].astype(variable.dtype.as_numpy_dtype))


def _check_names(names: set[str], variables: State) -> None:
    """Raises ValueError unless a checkpoint of these names has exactly these variables in each of these parts."""
    stored = {name for name in names if name.partition("/")[0] in variables}
    wanted = {f"{part}/{name}" for part, named in variables.items() for name in named}
    if stored != wanted:
        raise ValueError(f"it lacks {_first_of(wanted - stored)}, and the model lacks {_first_of(stored - wanted)}")


def _unescaped(key: str) -> str:
    """TensorFlow writes `.S` for a slash within a name, and doubles the dot."""
    return re.sub(r"\.([.S])", lambda match: "." if match[1] == "." else "/", key)


def _first_of(names: set[str]) -> str:
    shown = ", ".join(sorted(names)[:3]) or "nothing"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def load_model(
    run_dir: str | paths.Path, stage: int | None = None, trust: bool = False
) -> tuple[AdversarialModel, Checkpoint]:
    """The model of a run folder, ready to generate or predict, and the checkpoint it was loaded from.

    Args:
        stage: 1 for MD-GAN's Base-Net alone; the newest stage by default.
        trust: whether its options may ask for more memory than there is.

    Raises:
        UsageError: no run folder, no checkpoint (of that stage), a damaged one, weights that are no finite numbers, or
            too large a network.
    """
    run = RunFolder.open(run_dir)
    config = run.config()
    if stage and stage > num_stages(config.model.model):
        raise UsageError(f"--stage must be 1 for --model={config.model.model}. Received: {stage}")
    checkpoint = run.latest(stage)
    parts = {"generator": "ema_generator"} if config.train.ema else {}  # It samples with the average's weights.
    if checkpoint is None and stage == 1:
        checkpoint, parts = run.latest(2), {"generator": "base"}  # Stage 2 stands on stage 1's network.
    if checkpoint is None:
        of_stage = f" of stage {stage}" if stage else ""
        raise UsageError(f"--run_dir: no checkpoint{of_stage} in {run.path}; train it first")
    if not trust:
        memory.check(config.model)
    model = build_model(config.model, stage or checkpoint.stage)
    variables = {parts.get(part, part): named for part, named in state.for_sampling(model).items()}
    restore(checkpoint, variables)
    _check_finite(checkpoint, variables)
    return model, checkpoint


def _check_finite(checkpoint: Checkpoint, variables: State) -> None:
    named = {f"{part}/{name}": variable for part, of_part in variables.items() for name, variable in of_part.items()}
    bad = {name for name, variable in named.items() if not np.isfinite(variable.numpy()).all()}
    if bad:
        raise UsageError(f"{checkpoint.path} holds weights that are no finite numbers: {_first_of(bad)}")


def load_discriminator(run_dir: str | paths.Path, trust: bool = False) -> tuple[keras.Model, Checkpoint]:
    """The discriminator of a run folder's newest stage, and its checkpoint; `trust` as for `load_model`.

    Raises:
        UsageError: no run folder, no checkpoint, a damaged one, one that holds only what sampling needs, or too large
            a network.
    """
    run = RunFolder.open(run_dir)
    checkpoint = run.latest()
    if checkpoint is None:
        raise UsageError(f"--run_dir: no checkpoint in {run.path}; train it first")
    config = run.config().model
    if not trust:
        memory.check(config)
    discriminator = build_model(config, checkpoint.stage).discriminator
    try:
        restore(checkpoint, {"discriminator": state.of_network(discriminator)})
    except UsageError as error:
        raise UsageError(f"--run_dir holds no discriminator that can be used: {error}") from error
    return discriminator, checkpoint


def load_generator(run_dir: str | paths.Path, stage: int | None = None, trust: bool = False) -> AdversarialModel:
    """The model of a run folder, or of weights that come with the package, by their name ("mdgan-skies-64").

    Call it on latents [N, 100], on frames [N, H, W, 3] in [-1, 1], or, if it `takes_wind`, on the pair of these and of
    their wind [N, 2]. Arguments and errors are those of `load_model`. A folder of that name comes before the package's.
    """
    is_shipped = str(run_dir) in shipped.names() and not paths.path(run_dir).exists()
    return load_model(shipped.path_of(str(run_dir)) if is_shipped else run_dir, stage, trust)[0]


def weights_sha256(model: AdversarialModel) -> str:
    """A checksum over the weights that the model samples with, whatever file they came from."""
    digest = hashlib.sha256()
    for _, variables in sorted(model.sampling_state().items()):
        for variable in variables:
            digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
