"""What a training would be, printed before it costs anything: nothing is written, no step is taken."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tensorflow as tf

from tfvideogan.config import Config
from tfvideogan.models import registry
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import run_folder
from tfvideogan.training import assembly, footprint
from tfvideogan.training.runtime import open_runtime


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
    one_replica = dataclasses.replace(runtime, strategy=tf.distribute.get_strategy(), xla=False)
    lines = [f"--{name}={value}" for name, value in config.flat().items() if value is not None]
    lines += ["", f"run folder      {run_dir}: {_where(latest)}"]
    lines.append(f"replicas        {runtime.replicas} on {runtime.workers} host(s), {rows} of {len(clips)} clips each")
    lines.append(f"XLA             {'on' if runtime.xla else 'off'} (the log above says why)")
    lines.append(f"precision       {config.train.precision}; losses are float32")
    for stage in range(1, registry.num_stages(config.model.model) + 1):
        lines += _stage(assembly.new_model(config, one_replica, stage), stage, rows)
    lines.append(f"data            {config.data.data}: {sum(len(s.source) for s in sources):,} clips")
    low, high = int(tf.reduce_min(clips)), int(tf.reduce_max(clips))
    lines.append(f"first batch     {tuple(clips.shape)} {clips.dtype.name} in [{low}, {high}]")
    lines += [f"its wind        on average {tf.reduce_mean(wind, 0).numpy().round(4)}, measured" for wind in winds]
    return "\n".join(lines)


def _where(latest: run_folder.Checkpoint | None) -> str:
    return f"would go on from stage {latest.stage}, step {latest.step}" if latest else "a new run"


def _stage(model: AdversarialModel, stage: int, rows: int) -> list[str]:
    networks = [model.generator, model.discriminator]
    counts = ", ".join(f"{network.name} {network.count_params():,}" for network in networks)
    return [
        f"stage {stage}         {counts} parameters",
        f"  its memory    about {footprint.of_step(model, rows) / 2**20:,.0f} MiB a replica, and TensorFlow's own",
    ]
