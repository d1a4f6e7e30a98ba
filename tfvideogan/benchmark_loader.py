"""Times the reading of training records, alone and beside the training step of the full-size models.

python -m tfvideogan.benchmark_loader

Alone, it is decoded clips/s at 64x64 and 128x128, on one core and on all, each in a process of its own: the median
of the repeats, after one to warm up. Beside a training, it is the share of a step's time that waits for the next batch.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfvideogan import cli
from tfvideogan.config import Config, UsageError
from tfvideogan.metrics.speed import time_repeats, time_steps

SHARDS = 4
BATCH_SIZE = 8


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_integer("repeats", 5, "timed runs of each, after one to warm up", lower_bound=1)
    flags.DEFINE_integer("steps", 3, "training steps of each model, after one to warm up; 0 for none", lower_bound=0)
    flags.DEFINE_integer("num_clips", 128, "clips in the records, which are read again and again", lower_bound=SHARDS)
    flags.DEFINE_integer("timed_clips", 512, "clips that a timed run reads, in batches of 8", lower_bound=BATCH_SIZE)
    flags.DEFINE_integer("cores", None, "time this many cores alone, on --records", lower_bound=1)
    flags.DEFINE_string("records", None, "with --cores: glob of the records to read")
    flags.DEFINE_enum("encoding", "jpeg", ["jpeg", "png"], "of the records")


def main() -> None:
    args = cli.flags.FLAGS
    if args.cores:
        cli.require("records")
        # TensorFlow counts the cores when it is loaded.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
        cli.load_tensorflow()
        print(f"{clips_per_second(args.records, args.timed_clips // BATCH_SIZE, args.repeats):.0f}")
        return
    if args.records:
        raise UsageError(f"--records has no meaning without --cores. Received: {args.records}")
    cli.load_tensorflow(gpus=True)
    with tempfile.TemporaryDirectory(prefix="tfvideogan-loader-") as folder:
        globs = {size: write_records(Path(folder), size, args.num_clips, args.encoding) for size in (64, 128)}
        available = len(os.sched_getaffinity(0))
        print(f"{'records of 32 frames':<28}{'cores':>7}{'clips/s':>9}")
        for size, glob in globs.items():
            for cores in sorted({1, available}):
                print(f"{f'{size} x {size}, {args.encoding}':<28}{cores:>7}{_alone(glob, cores, args):>9}")
        if args.steps:
            print(f"\n{f'full-size training, batch {BATCH_SIZE}':<28}{'s/step':>7}{'waiting':>9}")
        for model, size in (("vgan", 64), ("vgan_conditional", 64), ("mdgan", 128)) if args.steps else ():
            seconds, waiting = beside_training(model, globs[size], args.steps)
            print(f"{model:<28}{seconds:>7.2f}{waiting:>9.2%}", flush=True)


def write_records(folder: Path, size: int, num_clips: int, encoding: str) -> str:
    """Writes shards of built-in skies, and returns their glob."""
    import tensorflow as tf

    from tfvideogan.data import records, synthetic
    from tfvideogan.files import pictures

    clips = synthetic.Sky(size, 32, num_clips=num_clips)
    for shard in range(SHARDS):
        with tf.io.TFRecordWriter(str(folder / records.shard_name(f"sky{size}", shard, SHARDS))) as writer:
            for index in range(shard, num_clips, SHARDS):
                strip = pictures.encode_strip(clips[index], pictures.StripEncoding(encoding))
                writer.write(records.example(strip, 32, "sky", index))
    return str(folder / f"sky{size}-*")


def clips_per_second(glob: str, num_batches: int, repeats: int) -> float:
    """How fast the whole training chain is: reading, shuffling, decoding, varying, batching.

    Args:
        num_batches: how many batches a timed run takes.
    """
    batches = iter(_batches(glob))

    def read() -> None:
        for _ in range(num_batches):
            next(batches)

    return num_batches * BATCH_SIZE / time_repeats(read, repeats).median


def beside_training(name: str, glob: str, steps: int) -> tuple[float, float]:
    """Seconds a training step of a full-size model (its first stage), and the share of them that waits for a batch."""
    import tensorflow as tf

    from tfvideogan.data import clips
    from tfvideogan.models import registry

    model = registry.build_model(Config.create(model=name).model)
    model.compile()
    step = tf.function(lambda batch: model.train_step(clips.to_float(batch)), autograph=False)
    timings, waiting = time_steps(lambda batch: step(batch)["g_loss"].numpy(), iter(_batches(glob)), steps)
    return timings.median, waiting


def _alone(glob: str, cores: int, args: Any) -> str:
    command = [sys.executable, "-m", "tfvideogan.benchmark_loader", f"--cores={cores}", f"--records={glob}"]
    options = [f"--{name}={getattr(args, name)}" for name in ("repeats", "timed_clips")]
    done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _batches(glob: str) -> Iterable[Any]:
    from tfvideogan.data import pipeline, sources
    from tfvideogan.data.variation import Variation

    size = int(re.search(r"(\d+)-", Path(glob).name)[1])
    return pipeline.training_batches(
        sources.open_sources(glob, size, 32), 32, BATCH_SIZE, seed=0, variation=Variation(flip=True)
    )


if __name__ == "__main__":
    cli.run(define_flags, main)
