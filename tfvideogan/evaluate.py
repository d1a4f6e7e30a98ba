"""Scores a trained run, each predictor beside copying the first frame: one JSON line with its provenance.

python -m tfvideogan.evaluate --run_dir=runs/mdgan --data=synthetic:sky:test
"""

from __future__ import annotations

import json
import logging
import math
import platform
from typing import Any

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of a trained run")
    flags.DEFINE_string("data", None, "real clips (default: those of the run; of built-in clips, the test split)")
    flags.DEFINE_integer("num_clips", 64, "clips to score, at most as many as the data have", lower_bound=1)
    flags.DEFINE_integer("seed", None, "seed of the latents, for generators from noise (default 0)", lower_bound=0,
                         upper_bound=2**31 - 1)  # fmt: skip
    flags.DEFINE_bool("batch_statistics", False, "batch normalisation in training mode, over batches of 8 clips")


def main() -> None:
    cli.require("run_dir")
    args = cli.flags.FLAGS
    cli.load_tensorflow()
    from tfvideogan.data.sources import Records, open_source
    from tfvideogan.inference import scoring
    from tfvideogan.runs import loading, run_folder

    model, checkpoint = loading.load_model(args.run_dir)
    if args.batch_statistics and not model.predicts:
        raise UsageError("--batch_statistics is for predictors; this run is a generator from noise")
    if args.seed is not None and model.predicts:
        raise UsageError("--seed is for generators from noise; this run is a predictor")
    config = run_folder.RunFolder.open(args.run_dir).config()
    data = held_out(config.data.data) if args.data is None else args.data
    frame_size, num_frames = config.model.frame_size, config.model.num_frames
    try:
        source = open_source(data, frame_size, num_frames, config.train.seed, max_clips=args.num_clips)
    except UsageError as error:
        flag = "--data" if args.data else "--data (not given: the run's own clips)"
        raise UsageError(str(error).replace("--data", flag, 1)) from error
    if args.data is None and data == config.data.data:
        logging.getLogger("tfvideogan").warning("%s has no test split: scored on clips of the training", data)
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
        "data": data,
        "split": "test" if data.endswith((":test", "/test")) else "train" if data == config.data.data else "other data",
        "data_seed": config.train.seed,
        "num_clips": count,
        "seed": None if model.predicts else args.seed or 0,
        "frame_size": frame_size,
        "num_frames": num_frames,
        "resize": "as prepared" if isinstance(source, Records) else "squash, antialiased",
        "batch_norm": "batches of 8" if args.batch_statistics else "inference",
        "versions": versions(),
    }
    print(json.dumps(finite(line | scores)))


def held_out(data: str) -> str:
    """The data to evaluate on by default: the test split, of built-in clips and of a data set that has one."""
    from tfvideogan.data import records
    from tfvideogan.data.sources import split_names
    from tfvideogan.files import paths

    (data, _), *others = split_names(data)
    if others:
        raise UsageError("the run was trained on several sources: name one to score it on with --data")
    if data.startswith("synthetic:"):
        return f"{data}:test" if data.count(":") == 1 else data
    has_split = (paths.path(data) / records.DATASET).is_file() and "test" in records.read_dataset(data)["shards"]
    return f"{data.rstrip('/')}/test" if has_split else data


def finite(value: Any) -> Any:
    """The same structure with null for the numbers that JSON has no word for."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, Any]:
    """What computed a result."""
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
