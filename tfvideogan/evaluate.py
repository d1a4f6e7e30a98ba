"""Scores a trained run, or any two folders of clips, and prints one JSON line: the scores, and all they depend on.

A predictor's scores stand beside those of copying the first frame, a generator's beside those of real clips. A model
that takes wind is given that of each real clip, and stands beside the first frame moved by it, too.

python -m tfvideogan.evaluate --run_dir=runs/mdgan --data=synthetic:sky:test
python -m tfvideogan.evaluate --run_dir=runs/vgan --metrics=motion,fvd2048_16f,kvd2048_16f --i3d=i3d-kinetics-400_1
python -m tfvideogan.evaluate --generated=theirs --real=clips --frame_size=128 --metrics=fvd2048_16f --i3d=model.ckpt
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.files import optional
from tfvideogan.metrics.fvd import Distance

if TYPE_CHECKING:
    import numpy as np

    from tfvideogan.data.sources import ClipSource
    from tfvideogan.inference.video_features import Extractor, Known
    from tfvideogan.models.adversarial import AdversarialModel

logger = logging.getLogger("tfvideogan")

_OF_A_RUN = ("data", "seed", "curves", "batch_statistics", "rollout_frames", "trust")
_OF_CLIPS = ("metrics", "num_clips", "feature_cache", "array_layout", "array_range", "allow_outside")


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("data", None, "real clips, named as for tfvideogan.train (default: the test split of the run's "
                        "own data, or all of them if they have none)")  # fmt: skip
    cli.define_arrays()
    cli.define_allow_outside()
    flags.DEFINE_integer("num_clips", 64, "clips to score, or all of the data if they are fewer; the names of FVD and "
                         "KVD say how many they take", lower_bound=1)  # fmt: skip
    flags.DEFINE_list("metrics", [], "of predictors: mse,psnr,ssim,motion,mask (these by default), flow, flicker; of "
                      "generators from noise: moving,flicker,motion,mask (these by default), flow; of both: "
                      "fvd2048_16f, kvd2048_16f and the like for other numbers of clips and frames")  # fmt: skip
    flags.DEFINE_string("i3d", None, "weights of I3D, which FVD and KVD take: a TF checkpoint, the TF-Hub module's "
                        "folder, .npz, or a PyTorch state dict")  # fmt: skip
    flags.DEFINE_string("feature_cache", "~/.cache/tfvideogan", "folder that keeps I3D's features of clips on disk; "
                        "empty for none")  # fmt: skip
    flags.DEFINE_string("generated", None, "with --real and without a run: clips that any model has made")
    flags.DEFINE_string("real", None, "with --generated: the real clips to set beside them")
    flags.DEFINE_integer("frame_size", None, "with --generated: pixels a side that all clips are squashed to first, "
                         "which should be what the model makes", lower_bound=8, upper_bound=1024)  # fmt: skip
    flags.DEFINE_bool("selfcheck", False, "with --i3d alone: the FVD of black against white clips, beside what the "
                      "reference tool prints for it")  # fmt: skip
    flags.DEFINE_string("curves", None, "predictors: picture of MSE, PSNR and SSIM over the frames to write, .png")
    flags.DEFINE_integer("seed", None, "vgan, vgan_one_stream: seed of the latents (default 0)", lower_bound=0,
                         upper_bound=2**31 - 1)  # fmt: skip
    flags.DEFINE_integer("rollout_frames", None, "predictors (ours): also make clips of so many frames, one "
                         "prediction after another, and score their seams", lower_bound=2,
                         upper_bound=4096)  # fmt: skip
    flags.DEFINE_bool("batch_statistics", False, "mdgan, vgan_conditional: normalise with the statistics of each batch "
                      "of 8 clips, and not with those of the training")  # fmt: skip


def main() -> None:
    args = cli.flags.FLAGS
    wanted = _check_flags(args)
    weights = _read_i3d(args.i3d) if args.i3d else None
    cli.load_tensorflow(gpus=True)
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)  # Scores are of float32 on every machine.
    from tfvideogan.data.layouts import Form
    from tfvideogan.inference import comparison, video_features
    from tfvideogan.runs import journal

    extractor = video_features.Extractor.of(weights) if weights else None
    if args.selfcheck:
        line = video_features.selfcheck(extractor)
    elif args.generated:
        names = [name for name in args.metrics if not Distance.parse(name)] if args.metrics else comparison.MOTION[:3]
        folders = {"generated": args.generated, "real": args.real}
        form = Form(*cli.array_form())
        line = comparison.of_folders(
            folders,
            args.frame_size,
            args.num_clips,
            names,
            wanted,
            extractor,
            args.feature_cache,
            form,
            allow_outside=bool(args.allow_outside),
        )
    else:
        line = _score_run(args, wanted, extractor)
    if warnings := [warning for distance in wanted for warning in distance.warnings()]:
        line["warnings"] = warnings
    for warning in warnings:
        logger.warning("%s", warning)
    print(json.dumps(journal.without_nan(line | {"versions": optional.versions(["tensorflow", "keras"])})))


def _read_i3d(path: str) -> dict[str, np.ndarray]:
    """I3D's tensors. TensorFlow is not there yet, so that a bad file is refused at once, and takes little memory."""
    from tfvideogan.files import paths
    from tfvideogan.weights import i3d_files

    with cli.naming("i3d"):
        if paths.is_remote(path) or i3d_files.is_checkpoint(path):
            cli.load_tensorflow(gpus=True)  # Its own reader is the only one of these.
        return i3d_files.read(path)


def _check_flags(args: Any) -> list[Distance]:
    """The distances among `--metrics`. Raises UsageError for flags that exclude or need each other."""
    _check_subject(args)
    wanted = [distance for name in args.metrics if (distance := Distance.parse(name))]
    if (wanted or args.selfcheck) and not args.i3d:
        which = "--selfcheck" if args.selfcheck else f"--metrics={wanted[0].name}"
        raise UsageError(f"{which} needs --i3d, a file of I3D's weights; docs/evaluation.md tells which")
    if args.i3d and not (wanted or args.selfcheck):
        raise UsageError("--i3d is for FVD, KVD and --selfcheck: name one of them in --metrics")
    _check_of_metrics(args, len(wanted))
    if args.curves:
        from tfvideogan.files import atomic

        atomic.check_output("curves", args.curves, (".png",))
    return wanted


def _check_subject(args: Any) -> None:
    """What is scored: a run, two folders, or I3D itself. Raises UsageError for flags that belong to another of them."""
    if bool(args.generated) != bool(args.real):
        raise UsageError("--generated and --real go together")
    if bool(args.run_dir or args.weights) + bool(args.generated) + args.selfcheck > 1:
        raise UsageError("--run_dir (or --weights), --generated with --real, and --selfcheck exclude each other")
    if args.generated and not args.frame_size:
        raise UsageError("--frame_size is required with --generated: the pixels a side of what the model makes")
    if args.frame_size and not args.generated:
        raise UsageError("--frame_size is for --generated; a run knows its own")
    if not (args.generated or args.selfcheck):
        cli.require_run()
        return
    only_of_run = [name for name in _OF_A_RUN if args[name].present]
    if only_of_run:
        raise UsageError(f"--{only_of_run[0]} is for --run_dir and --weights")
    of_clips = [name for name in _OF_CLIPS if args[name].present]
    if args.selfcheck and of_clips:
        raise UsageError(f"--selfcheck computes the FVD of black and white clips, and takes no --{of_clips[0]}")


def _check_of_metrics(args: Any, distances: int) -> None:
    """Raises UsageError for flags that none of the metrics has a use for."""
    if args["feature_cache"].present and not distances:
        raise UsageError("--feature_cache keeps I3D's features: name FVD or KVD in --metrics")
    only_distances = distances and distances == len(args.metrics)
    if args["num_clips"].present and only_distances and not args.rollout_frames:
        raise UsageError(f"--num_clips is of other metrics: {args.metrics[0]} says how many clips it takes. "
                         f"Received: {args.num_clips}")  # fmt: skip
    if args.batch_statistics and args.rollout_frames:
        raise UsageError("--rollout_frames makes clips one at a time, and takes no --batch_statistics")


def _score_run(args: Any, wanted: Sequence[Distance], extractor: Extractor | None) -> dict[str, Any]:
    """The line of a trained run."""
    from tfvideogan.data.layouts import Form
    from tfvideogan.inference import real_clips, video_features
    from tfvideogan.runs import loading, run_folder

    model, checkpoint = loading.load_model(args.run_dir, trust=args.trust)
    names = _check_model(args, model, wanted)
    run = run_folder.RunFolder.open(args.run_dir)
    config = run.config()
    if args.data is None:
        run.own_data("--data", args.trust)
    most = max([args.num_clips if names else 0, *(distance.num_clips for distance in wanted)])
    form = Form(*cli.array_form(config.data))
    allow_outside = bool(args.allow_outside) or (args.data is None and config.data.allow_outside)
    source, described = real_clips.open_for(config, args.data, most, form, allow_outside)
    video_features.check_counts(wanted, {described["data"]: len(source)})
    count, seed = min(args.num_clips, len(source)), args.seed or 0
    result = _score_clips(args, model, source, names, count, seed)
    if wanted:
        shape_and_seed = model.frame_size, model.num_frames, config.train.seed
        known = video_features.Known(described["data"], source, *shape_and_seed, form, allow_outside)
        _add_distances(result, args, model, known, wanted, extractor)
    return {
        "run": str(args.run_dir),
        "model": config.model.model,
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "weights_sha256": loading.weights_sha256(model),
        **described,
        "num_clips": count if names else None,
        **real_clips.chosen(source, count if names else most),
        "seed": None if model.predicts else seed,
        "batch_norm": "batches of 8" if args.batch_statistics else "inference",
        **result,
    }


def _score_clips(
    args: Any, model: AdversarialModel, source: ClipSource, names: Sequence[str], count: int, seed: int
) -> dict[str, Any]:
    """The scores of these metrics over `count` clips, and those of roll-outs, with their protocol; draws the curves."""
    from tfvideogan.files import pictures
    from tfvideogan.inference import curves, measures, rollout, scoring

    of_frames: scoring.OfFrames | None = [] if args.curves else None
    result: dict[str, Any] = {"protocol": {}, "scores": {}}
    if names and model.predicts:
        result = scoring.score_predictions(model, source, count, args.batch_statistics, metrics=names,
                                           of_frames=of_frames)  # fmt: skip
    elif names:
        result = scoring.score_generation(model, source, count, seed, names)
    _check_finite(result["scores"], count)
    if args.rollout_frames:
        result["rollout"] = rollout.score(model, source, count, args.rollout_frames)
    if args.curves:
        panels = measures.frame_curves(of_frames)
        pictures.write_image(args.curves, curves.picture(panels, x_label="frame"))
    return result


def _add_distances(
    line: dict, args: Any, model: AdversarialModel, known: Known, wanted: Sequence[Distance], extractor: Extractor
) -> None:
    """Puts the distances from real clips among a line's scores, and what they depend on into its protocol."""
    from tfvideogan.inference import comparison, video_features

    of_real = functools.partial(video_features.features_of, known, extractor, args.feature_cache)
    scores = comparison.of_run(model, known.source, wanted, extractor, args.seed or 0, args.batch_statistics, of_real)
    for name, distances in scores.items():
        line["scores"].setdefault(name, {}).update(distances)
    line["protocol"] |= {d.name: video_features.protocol(d, model.frame_size, extractor) for d in wanted}


def _check_model(args: Any, model: Any, wanted: Sequence[Distance]) -> list[str]:
    """The metrics to score a model with, but for distances. Raises UsageError for flags that it has no use for."""
    from tfvideogan.inference import measures

    for flag in ("batch_statistics", "curves", "rollout_frames"):
        if args[flag].value and not model.predicts:
            raise UsageError(f"--{flag} is for predictors; this run is a generator from noise")
    if args.seed is not None and model.predicts:
        raise UsageError("--seed is for generators from noise; this run is a predictor")
    if args.rollout_frames and args.rollout_frames <= model.num_frames:
        raise UsageError(f"--rollout_frames must be more than the {model.num_frames} of one prediction. "
                         f"Received: {args.rollout_frames}")  # fmt: skip
    known, which = measures.OF_GENERATION, "generators from noise"
    if model.predicts:
        known, which = measures.OF_PREDICTIONS, "predictors"
    names = [name for name in args.metrics if not Distance.parse(name)] if args.metrics else measures.default(known)
    measures.check(names, known, which)
    if "mask" in args.metrics and not model.has_mask:
        raise UsageError("--metrics: this run's model has no mask. Received: 'mask'")
    if args.curves and not names:
        raise UsageError("--curves needs a metric in --metrics that is no distance, as psnr")
    for distance in wanted:
        if distance.num_frames > model.num_frames:
            raise UsageError(f"--metrics: this run makes clips of {model.num_frames} frames. Received: {distance.name}")
    return list(names)


def _check_finite(scores: Mapping[str, Mapping[str, float]], count: int) -> None:
    """Raises UsageError if any of `count` clips is not made of finite numbers."""
    from tfvideogan.inference import measures

    for name, of_one in scores.items():
        if bad := of_one.get(measures.NOT_FINITE):
            raise UsageError(f"--run_dir: {bad} of {count} clips of {name} hold values that are no finite numbers")


if __name__ == "__main__":
    cli.run(define_flags, main)
