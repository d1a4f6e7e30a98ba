"""Scores a trained run, and prints one JSON line: the scores, and all they depend on.

A predictor's scores stand beside those of copying the first frame, a generator's beside those of real clips. A model
that takes wind is given that of each real clip, and stands beside the first frame moved by it, too.

python -m tfvideogan.evaluate --run_dir=runs/mdgan --data=synthetic:sky:test
"""

from __future__ import annotations

import json
import logging
import platform
from typing import TYPE_CHECKING, Any

from tfvideogan import cli
from tfvideogan.config import Config, UsageError

if TYPE_CHECKING:
    from tfvideogan.data.sources import ClipSource


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("data", None, "real clips, named as for tfvideogan.train (default: the test split of the run's "
                        "own data, or all of them if they have none)")  # fmt: skip
    flags.DEFINE_integer("num_clips", 64, "clips to score, or all of the data if they are fewer", lower_bound=1)
    flags.DEFINE_integer("seed", None, "vgan, vgan_one_stream: seed of the latents (default 0)", lower_bound=0,
                         upper_bound=2**31 - 1)  # fmt: skip
    flags.DEFINE_bool("batch_statistics", False, "mdgan, vgan_conditional: normalise with the statistics of each batch "
                      "of 8 clips, and not with those of the training")  # fmt: skip


def main() -> None:
    cli.require_run()
    args = cli.flags.FLAGS
    cli.load_tensorflow(gpus=True)
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)  # Scores are of float32 on every machine.
    from tfvideogan.inference import scoring
    from tfvideogan.runs import journal, loading, run_folder

    model, checkpoint = loading.load_model(args.run_dir, trust=args.trust)
    if args.batch_statistics and not model.predicts:
        raise UsageError("--batch_statistics is for predictors; this run is a generator from noise")
    if args.seed is not None and model.predicts:
        raise UsageError("--seed is for generators from noise; this run is a predictor")
    run = run_folder.RunFolder.open(args.run_dir)
    config = run.config()
    if args.data is None:
        run.own_data("--data", args.trust)
    source, described = open_data(config, args.data, args.num_clips)
    count = min(args.num_clips, len(source))
    if model.predicts:
        scores = scoring.score_predictions(model, source, count, args.batch_statistics)
    else:
        scores = scoring.score_generation(model, source, count, args.seed or 0)
    line = {
        "run": str(args.run_dir),
        "model": config.model.model,
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "weights_sha256": loading.weights_sha256(model),
        **described,
        "num_clips": count,
        "seed": None if model.predicts else args.seed or 0,
        "batch_norm": "batches of 8" if args.batch_statistics else "inference",
        "versions": versions(),
    }
    print(json.dumps(journal.without_nan(line | scores)))


def open_data(config: Config, data: str | None, num_clips: int) -> tuple[ClipSource, dict[str, Any]]:
    """The clips to score a run on, and what the JSON line tells of them.

    Args:
        config: the options of the run.
        data: the value of `--data`; None for the run's own data, as `sources.held_out` names them.
        num_clips: no more clips of a folder are decoded than this.

    Raises:
        UsageError: there is no such data, or nothing in it is usable.
    """
    from tfvideogan.data.sources import Records, held_out, open_source, split_names

    trained_on, frame_size, num_frames = config.data.data, config.model.frame_size, config.model.num_frames
    if data is None and len(split_names(trained_on)) > 1:
        raise UsageError("the run was trained on several sources: name one to score it on with --data")
    name = held_out(trained_on) if data is None else data
    try:
        source = open_source(name, frame_size, num_frames, config.train.seed, max_clips=num_clips)
    except UsageError as error:
        flag = "--data" if data else "--data (not given: the run's own clips)"
        raise UsageError(str(error).replace("--data", flag, 1)) from error
    if data is None and name == trained_on:
        logging.getLogger("tfvideogan").warning("%s has no test split: scored on clips of the training", name)
    is_test = name.endswith((":test", "/test"))
    return source, {
        "data": name,
        "split": "test" if is_test else "train" if name == trained_on else "other data",
        "data_seed": config.train.seed,
        "frame_size": frame_size,
        "num_frames": num_frames,
        "resize": "as prepared" if isinstance(source, Records) else "squash, antialiased",
    }


def versions() -> dict[str, Any]:
    """The versions of what computed a result."""
    import keras
    import tensorflow as tf

    import tfvideogan

    return {
        "tfvideogan": tfvideogan.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    cli.run(define_flags, main)
