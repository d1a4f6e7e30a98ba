"""What a training would be, printed before it costs anything: nothing is written, no step is taken."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import tensorflow as tf

from tfvideogan.config import Config
from tfvideogan.models import registry
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import run_folder
from tfvideogan.training import assembly
from tfvideogan.training.runtime import open_runtime

# Activations, their gradients and scratch space together take so many times the activations: 2.0 to 2.3 in four
# runs on CPUs.
WORKSPACE = 2.2
BYTES_OF_ACTIVATION = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}


def describe(config: Config, run_dir: str | Path) -> str:
    """The resolved options, each stage's networks and memory, the machine's part, and the first batch.

    Raises:
        UsageError: whatever the training itself would refuse.
    """
    runtime = open_runtime(config.train, config.data.batch_size)
    latest = run_folder.RunFolder.for_training(run_dir, config).latest()
    sources = assembly.open_data(config)
    clips, *winds = tf.nest.flatten(next(iter(assembly.batches(config, sources, config.train.seed))))
    rows = config.data.batch_size // runtime.replicas
    lines = [f"--{name}={value}" for name, value in config.flat().items() if value is not None]
    lines += ["", f"run folder      {run_dir}: {_where(latest)}"]
    lines.append(f"replicas        {runtime.replicas} on {runtime.workers} host(s), {rows} of {len(clips)} clips each")
    lines.append(f"XLA             {'on' if runtime.xla else 'off'} (the log above says why)")
    lines.append(f"precision       {config.train.precision}; losses are float32")
    for stage in range(1, registry.num_stages(config.model.model) + 1):
        lines += _stage(assembly.new_model(config, runtime, stage), stage, rows, config.train.precision)
    lines.append(f"data            {config.data.data}: {sum(len(s.source) for s in sources):,} clips")
    low, high = int(tf.reduce_min(clips)), int(tf.reduce_max(clips))
    lines.append(f"first batch     {tuple(clips.shape)} {clips.dtype.name} in [{low}, {high}]")
    lines += [f"its wind        on average {tf.reduce_mean(wind, 0).numpy().round(4)}, measured" for wind in winds]
    return "\n".join(lines)


def _where(latest: run_folder.Checkpoint | None) -> str:
    return f"would go on from stage {latest.stage}, step {latest.step}" if latest else "a new run"


def _stage(model: AdversarialModel, stage: int, rows: int, precision: str) -> list[str]:
    networks = [model.generator, model.discriminator]
    counts = ", ".join(f"{network.name} {network.count_params():,}" for network in networks)
    return [
        f"stage {stage}         {counts} parameters",
        f"  its memory    about {memory(model, rows, precision) / 2**20:,.0f} MiB a replica, and TensorFlow's own",
    ]


def memory(model: AdversarialModel, rows: int, precision: str) -> float:
    """An estimate of what a replica needs beside TensorFlow itself, in bytes.

    Weights, gradients and Adam's two moments are four float32 numbers a parameter; stage 2 also holds the
    weights of the frozen Base-Net. The activations of the generator are kept until its update, those of the
    discriminator for two branches at a time (real and fake), or three with the ranking loss.
    """
    parameters = model.generator.count_params() * (5 if model.ema else 4) + model.discriminator.count_params() * 4
    if "base" in model.networks:
        parameters += model.networks["base"].count_params()
    branches = 3 if "d_ranking" in model.loss_names else 2
    activations = _activations(model.generator) + branches * _activations(model.discriminator)
    return parameters * 4.0 + activations * rows * BYTES_OF_ACTIVATION[precision] * WORKSPACE


def _activations(network: keras.Model) -> int:
    """How many numbers the layers of a network put out for one clip."""
    outputs = [tensor for layer in network.layers for tensor in tf.nest.flatten(layer.output)]
    return sum(math.prod(tensor.shape[1:]) for tensor in outputs)
