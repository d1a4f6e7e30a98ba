"""Which metrics a model is scored with, and what its scores are set beside.

Clips are in [-1, 1], so the data range is 2. A predictor's first frame is its input, so
predictions are scored over frames 2 to T. Beside them stands the score of the first frame
repeated ("persistence"). A model that takes wind is given the mean wind of each real clip,
which is more than its first frame tells; so the score of the first frame moved by that wind
("moved_frame") stands there, too. Every score is the mean over the clips that have one,
and the motion ratio is the ratio of two such means.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tfvideogan.data import clips as clip_values
from tfvideogan.data import pipeline
from tfvideogan.data.sources import ClipSource, Indexed
from tfvideogan.inference import measures, sampling
from tfvideogan.inference.measures import Scores
from tfvideogan.metrics import motion, reconstruction, separation
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.drift import drifting_clip

PREDICTION_PROTOCOL = {
    "data_range": 2.0,
    "frames": "2..T",
    "mean": "per frame, over frames, over clips",
    "psnr": f"of a frame at most {reconstruction.MOST_DB:g} dB; {measures.CAPPED} tells how many had more, if any had",
    "ssim_window": "7x7 uniform",
    "motion_ratio": "mean absolute frame difference, generated over real",
}
WIND_GIVEN = "given: the mean wind of each real clip, measured by optical flow"
GENERATION_PROTOCOL = {
    "data_range": 2.0,
    "moving": f"differs from the pixel's median over the clip by over {separation.MOVING_THRESHOLD}",
    "mask_iou": f"mask > {separation.MASK_THRESHOLD} against what moves in the generated clip",
    "flicker": "mean absolute frame difference outside the moving region",
}
FLOW_PROTOCOL = {"flow": "Farneback, in grey, pixels a frame; of predictions the mean end-point error"}
PREDICTION_METRICS = measures.default(measures.OF_PREDICTIONS)
GENERATION_METRICS = measures.default(measures.OF_GENERATION)

# Clips [n, T, H, W, 3] in [-1, 1], and what truly moves in them, bool [n, T, H, W], or None where nobody knows.
Real = tuple[np.ndarray, np.ndarray | None]
# For each batch, by the name of what is scored and by that of the score, the scores [n, T - 1] of the frames.
OfFrames = list[dict[str, dict[str, np.ndarray]]]


def score_predictions(
    model: AdversarialModel,
    source: ClipSource,
    count: int,
    batch_statistics: bool = False,
    batch_size: int = sampling.BATCH_SIZE,
    metrics: Sequence[str] = PREDICTION_METRICS,
    of_frames: OfFrames | None = None,
) -> dict[str, Any]:
    """The scores of every stage and of persistence on `count` clips of the source.

    Args:
        batch_statistics: batch normalisation works in training mode, over batches of `batch_size`.
        metrics: names of `measures.OF_PREDICTIONS`.
        of_frames: filled with `measures.of_frames` of each batch if it is given.

    Returns:
        {"protocol": PREDICTION_PROTOCOL, "scores": {"persistence": {...}, "stage_1": {...}, ...}}. A score that
        no clip has is NaN. Of a model that takes wind, the protocol has `wind`, and the scores have `moved_frame`.
    """
    real = real_batches(model, source, count, batch_size)
    protocol = PREDICTION_PROTOCOL | ({"wind": WIND_GIVEN} if model.takes_wind else {})
    protocol |= {"flicker": GENERATION_PROTOCOL["flicker"]} if "flicker" in metrics else {}
    protocol |= FLOW_PROTOCOL if "flow" in metrics else {}
    scores = scores_of_predictions(model, real, batch_statistics, metrics=metrics, of_frames=of_frames)
    return {"protocol": protocol, "scores": scores}


def scores_of_predictions(
    model: AdversarialModel,
    batches: Iterable[Real],
    batch_statistics: bool = False,
    forward: sampling.Forward | None = None,
    metrics: Sequence[str] = PREDICTION_METRICS,
    of_frames: OfFrames | None = None,
) -> Scores:
    """The scores of `score_predictions` on batches of `real_batches`; `forward` as for `sampling.sample`."""
    parts = []
    for real, masks, predictions, outputs in predicted_batches(model, batches, batch_statistics, forward):
        frames = measures.of_frames(predictions, real, metrics if of_frames is None else measures.PER_FRAME)
        scores = measures.of_predictions(predictions, real, frames, metrics)
        if "mask" in metrics and "mask" in outputs and masks is not None:
            iou = measures.of_each(separation.mask_iou, outputs["mask"][..., 0], masks)
            scores["stage_1"]["mask_iou_truth"] = iou
        parts.append(scores)
        if of_frames is not None:
            of_frames.append(frames)
    scores = measures.mean(parts)
    if "motion" in metrics:
        for score in scores.values():
            score["motion_ratio"] = motion.ratio(score.pop("generated_motion"), score.pop("real_motion"))
    return scores


def predicted_batches(
    model: AdversarialModel,
    batches: Iterable[Real],
    batch_statistics: bool = False,
    forward: sampling.Forward | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray | None, dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Of each batch of `real_batches`: its clips and masks, the clips that are predicted, and the model's outputs.

    The predictions are `persistence`, of a model that takes wind `moved_frame`, and each stage's clips
    [n, T, H, W, 3] in [-1, 1].
    """
    batches, others = itertools.tee((real, masks, sampling.first_frames(model, real)) for real, masks in batches)
    sampled = sampling.sample(model, (inputs for *_, inputs in others), batch_statistics, forward)
    for (real, masks, inputs), outputs in zip(batches, sampled, strict=True):
        predictions = {"persistence": clip_values.persistence(real)}
        if model.takes_wind:
            predictions["moved_frame"] = np.asarray(drifting_clip(*inputs, model.num_frames))
        if "base" in outputs:
            predictions |= {"stage_1": outputs["base"], "stage_2": outputs["clip"]}
        else:
            predictions["stage_1"] = outputs["clip"]
        yield real, masks, predictions, outputs


def score_generation(
    model: AdversarialModel,
    source: ClipSource,
    count: int,
    seed: int,
    metrics: Sequence[str] = GENERATION_METRICS,
) -> dict[str, Any]:
    """How much moves and flickers in `count` clips from noise, and in as many real ones; and whether the mask finds it.

    Args:
        metrics: names of `measures.OF_GENERATION`.

    Returns:
        {"protocol": GENERATION_PROTOCOL, "scores": {"generated": {...}, "real": {...}}}. A score that no clip has
        is NaN.
    """
    real = scores_of_real(real_batches(model, source, count), metrics)
    generated = scores_of_generation(model, count, seed, real, metrics=metrics)
    protocol = GENERATION_PROTOCOL | (FLOW_PROTOCOL if "flow" in metrics else {})
    return {"protocol": protocol, "scores": {"generated": generated, "real": real}}


def scores_of_real(batches: Iterable[Real], metrics: Sequence[str] = GENERATION_METRICS) -> dict[str, float]:
    """What moves and flickers in real clips, and how far the rule for it can be trusted where the truth is known."""
    parts = []
    for clips, masks in batches:
        scores = measures.of_clips(clips, metrics)
        if "mask" in metrics and masks is not None:
            scores["mask_iou_truth"] = measures.of_each(separation.mask_iou, masks, separation.moving_region(clips))
        parts.append({"real": scores})
    return measures.mean(parts)["real"]


def scores_of_generation(
    model: AdversarialModel,
    count: int,
    seed: int,
    real: dict[str, float],
    forward: sampling.Forward | None = None,
    metrics: Sequence[str] = GENERATION_METRICS,
) -> dict[str, float]:
    """The scores of `count` clips from noise beside those of real clips; `forward` as for `sampling.sample`."""
    parts = []
    for outputs in sampling.generate(model, count, seed, forward):
        scores = measures.of_clips(outputs["clip"], metrics)
        if "mask" in metrics and "mask" in outputs:
            mask, region = outputs["mask"][..., 0], separation.moving_region(outputs["clip"])
            scores["mask_iou"] = measures.of_each(separation.mask_iou, mask, region)
            scores["mask_mean"] = mask.mean(axis=(1, 2, 3))
        parts.append({"generated": scores})
    generated = measures.mean(parts)["generated"]
    if "motion" in metrics:
        generated["motion_ratio"] = motion.ratio(generated["mean_frame_difference"], real["mean_frame_difference"])
    return generated


def _knows_masks(source: ClipSource) -> bool:
    """Whether the source made its clips itself, and so can tell what moves in them."""
    return isinstance(source, Indexed) and hasattr(source.clips, "clip_and_mask")


def _true_masks(source: Indexed, first: int, count: int) -> np.ndarray:
    """What moves in `count` clips from number `first` on, bool [count, T, H, W]."""
    return np.stack([source.clips.clip_and_mask(index)[1] for index in range(first, first + count)])


def real_batches(
    model: AdversarialModel, source: ClipSource, count: int, batch_size: int = sampling.BATCH_SIZE
) -> Iterable[Real]:
    """`count` clips of a source (see its `spread`) in batches, each with what truly moves in it if the source knows."""
    batches = pipeline.spread_batches(source, model.num_frames, batch_size, count)
    for index, clips in enumerate(pipeline.arrays(batches, source)):
        known = _knows_masks(source)
        yield clips, _true_masks(source, index * batch_size, len(clips)) if known else None
