"""Models out of run folders: variables are filled from checkpoints, generators are ready to sample."""

from __future__ import annotations

import hashlib

import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.registry import build_model, num_stages
from tfvideogan.runs.run_folder import Checkpoint, RunFolder, State


def restore(checkpoint: Checkpoint, state: State) -> None:
    """Fills every variable of `state` from a checkpoint, which may hold more.

    Raises:
        UsageError: the checkpoint is of another model.
    """
    try:
        status = tf.train.Checkpoint(**state).read(str(checkpoint.path / "variables"))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError) as error:
        raise UsageError(f"{checkpoint.path} is a checkpoint of another model: {paths.first_line(error)}") from error
    except tf.errors.OpError as error:
        raise UsageError(f"{checkpoint.path} is damaged: {paths.first_line(error)}") from error


def load_model(run_dir: str | paths.Path, stage: int | None = None) -> tuple[AdversarialModel, Checkpoint]:
    """The model of a run folder, ready to generate or predict, and the checkpoint it was loaded from.

    Args:
        stage: 1 for MD-GAN's Base-Net alone; the newest stage by default.

    Raises:
        UsageError: no run folder, no checkpoint (of that stage), or a damaged one.
    """
    run = RunFolder.open(run_dir)
    config = run.config()
    if stage and stage > num_stages(config.model.model):
        raise UsageError(f"--stage must be 1 for --model={config.model.model}. Received: {stage}")
    checkpoint = run.latest(stage)
    if checkpoint is None:
        of_stage = f" of stage {stage}" if stage else ""
        raise UsageError(f"--run_dir: no checkpoint{of_stage} in {run.path}; train it first")
    model = build_model(config.model, checkpoint.stage)
    state = model.sampling_state()
    if config.train.ema:  # what samples is the average, and the model has no other generator
        state["ema_generator"] = state.pop("generator")
    restore(checkpoint, state)
    return model, checkpoint


def load_generator(run_dir: str | paths.Path, stage: int | None = None) -> AdversarialModel:
    """The model of a run folder: call it on latents [N, 100], or on frames [N, H, W, 3] in [-1, 1].

    Arguments and errors are those of `load_model`.
    """
    return load_model(run_dir, stage)[0]


def weights_sha256(model: AdversarialModel) -> str:
    """A checksum over the weights that the model samples with, whatever file they came from."""
    digest = hashlib.sha256()
    for _, variables in sorted(model.sampling_state().items()):
        for variable in variables:
            digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
