"""Two sets of clips compared by FVD and KVD: those of a model and real ones, or those of any two folders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data import pipeline
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.data.sources import ClipSource, open_source
from tfvideogan.inference import measures, real_clips, sampling, scoring, video_features
from tfvideogan.inference.video_features import Extractor
from tfvideogan.metrics import motion
from tfvideogan.metrics.fvd import Distance
from tfvideogan.models.adversarial import AdversarialModel

MOTION = ("moving", "flicker", "motion", "flow")  # The first three are scored by default.
_FRAMES = 16  # Clips of folders have so many frames where no distance says how many.

# A function of a distance and of batches of clips, which gives the features that the distance takes of them.
FeaturesOf = Callable[[Distance, Iterable[np.ndarray]], np.ndarray]


def of_run(
    model: AdversarialModel,
    source: ClipSource,
    wanted: Sequence[Distance],
    extractor: Extractor,
    seed: int,
    batch_statistics: bool,
    of_real: FeaturesOf,
) -> measures.Scores:
    """The distances of a model's clips from real ones: of `generated`, or of persistence and each stage.

    Args:
        seed: of the latents of a generator from noise.
        of_real: gives the features of real clips, computed or kept.
    """
    scores: measures.Scores = {}
    for group in _grouped(wanted):
        first = group[0]
        real = of_real(first, (clips for clips, _ in scoring.real_batches(model, source, first.num_clips)))
        if model.predicts:
            batches = scoring.real_batches(model, source, first.num_clips)
            sets = _of_predictions(model, batches, extractor, first.num_frames, batch_statistics)
        else:
            clips = (outputs["clip"] for outputs in sampling.generate(model, first.num_clips, seed))
            sets = {"generated": extractor.features(clips, first.num_frames)}
        for name, features in sets.items():
            scores.setdefault(name, {}).update(video_features.between(group, features, real))
    return scores


def _of_predictions(
    model: AdversarialModel,
    batches: Iterable[scoring.Real],
    extractor: Extractor,
    num_frames: int,
    batch_statistics: bool,
) -> dict[str, np.ndarray]:
    by_name: dict[str, list[np.ndarray]] = {}
    for _, _, predictions, _ in scoring.predicted_batches(model, batches, batch_statistics):
        for name, clips in predictions.items():
            by_name.setdefault(name, []).append(extractor.of_batch(clips, num_frames))
    return {name: np.concatenate(features) for name, features in by_name.items()}


def of_folders(
    folders: dict[str, str],
    frame_size: int,
    num_clips: int,
    metrics: Sequence[str],
    wanted: Sequence[Distance],
    extractor: Extractor | None,
    cache: str | None,
    form: Form = BY_RULE,
    allow_outside: bool = False,
) -> dict[str, Any]:
    """Scores and protocol of the clips of `generated` beside those of `real`, which may be any data.

    Args:
        num_clips: clips that `metrics`, names of MOTION, are means over, or all if they are fewer.
        form: how arrays are read.
        allow_outside: whether a list may name files outside of its own folder.

    Raises:
        UsageError: one of them has no clips or, for a distance, too few.
    """
    measures.check(metrics, MOTION, "two folders")
    num_frames = max((distance.num_frames for distance in wanted), default=_FRAMES)
    most = max([num_clips, *(distance.num_clips for distance in wanted)])
    how = {"form": form, "allow_outside": allow_outside}
    sources = {flag: _open(flag, data, frame_size, num_frames, most, **how) for flag, data in folders.items()}
    counts = {f"--{flag}": len(source) for flag, source in sources.items()}
    video_features.check_counts(wanted, counts)
    count = min(num_clips, *counts.values())
    scores = _motion(sources, num_frames, count, metrics) if metrics else {"generated": {}}
    for group in _grouped(wanted):
        features = []
        for flag, source in sources.items():
            known = video_features.Known(folders[flag], source, frame_size, num_frames, **how)
            features.append(video_features.features_of(known, extractor, cache, group[0], _clips(source, group[0])))
        scores["generated"] |= video_features.between(group, *features)
    motion_protocol = {name: text for name, text in scoring.GENERATION_PROTOCOL.items() if name != "mask_iou"}
    protocol: dict[str, Any] = motion_protocol if metrics else {}
    protocol |= scoring.FLOW_PROTOCOL if "flow" in metrics else {}
    protocol |= {distance.name: video_features.protocol(distance, frame_size, extractor) for distance in wanted}
    shape = {"frame_size": frame_size, "num_frames": num_frames, "resize": "squash, antialiased"}
    which = {f"{flag}_clips": real_clips.chosen(source, count if metrics else most) for flag, source in sources.items()}
    count_of_metrics = {"num_clips": count if metrics else None}
    return {**folders, **which, **shape, **count_of_metrics, "protocol": protocol, "scores": scores}


def _open(flag: str, data: str, frame_size: int, num_frames: int, most: int, **how: Any) -> ClipSource:
    try:
        return open_source(data, frame_size, num_frames, stand_in=most, **how)
    except UsageError as error:
        raise UsageError(str(error).replace("--data", f"--{flag}", 1)) from error


def _clips(source: ClipSource, distance: Distance) -> Iterator[np.ndarray]:
    batches = pipeline.spread_batches(source, distance.num_frames, sampling.BATCH_SIZE, distance.num_clips)
    return pipeline.arrays(batches, source)


def _motion(sources: dict[str, ClipSource], num_frames: int, count: int, metrics: Sequence[str]) -> measures.Scores:
    """What moves and flickers in `count` clips of each source, `generated` and `real`."""
    parts: list[dict[str, Any]] = []
    for name, source in sources.items():
        batches = pipeline.spread_batches(source, num_frames, sampling.BATCH_SIZE, count)
        parts += [{name: measures.of_clips(clips, metrics)} for clips in pipeline.arrays(batches, source)]
    scores = measures.mean(parts)
    if "motion" in metrics:
        moving = [scores[name]["mean_frame_difference"] for name in ("generated", "real")]
        scores["generated"]["motion_ratio"] = motion.ratio(*moving)
    return scores


def _grouped(wanted: Sequence[Distance]) -> list[list[Distance]]:
    """The distances that are of the same clips, and so of the same features, together."""
    by_clips = sorted(wanted, key=_clips_of)
    return [list(group) for _, group in itertools.groupby(by_clips, key=_clips_of)]


def _clips_of(distance: Distance) -> tuple[int, int]:
    return distance.num_clips, distance.num_frames
