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
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tfvideogan.data import clips as clip_values
from tfvideogan.data import pipeline
from tfvideogan.data.sources import ClipSource, Indexed
from tfvideogan.inference import sampling
from tfvideogan.metrics import motion, reconstruction, separation, ssim
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.drift import drifting_clip

PREDICTION_PROTOCOL = {
    "data_range": 2.0,
    "frames": "2..T",
    "mean": "per frame, over frames, over clips",
    "psnr": f"of a frame at most {reconstruction.MOST_DB:g} dB; psnr_capped_frames tells how many had more, if any had",
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

CAPPED = "psnr_capped_frames"  # This one is a number of frames, and no mean.

Scores = dict[str, dict[str, float]]
OfClips = dict[str, np.ndarray]  # by metric, the score [n] of each clip of a batch; NaN for a clip that has none
Real = tuple[np.ndarray, np.ndarray | None]  # clips [n, T, H, W, 3] in [-1, 1]; what truly moves in them, if known


def score_predictions(
    model: AdversarialModel,
    source: ClipSource,
    count: int,
    batch_statistics: bool = False,
    batch_size: int = sampling.BATCH_SIZE,
) -> dict[str, Any]:
    """MSE, PSNR, SSIM and motion ratio of every stage and of persistence, on `count` clips of the source.

    Args:
        batch_statistics: batch normalisation works in training mode, over batches of `batch_size`.

    Returns:
        {"protocol": PREDICTION_PROTOCOL, "scores": {"persistence": {...}, "stage_1": {...}, ...}}. A score that
        no clip has is NaN. Of a model that takes wind, the protocol has `wind`, and the scores have `moved_frame`.
    """
    real = real_batches(model, source, count, batch_size)
    protocol = PREDICTION_PROTOCOL | ({"wind": WIND_GIVEN} if model.takes_wind else {})
    return {"protocol": protocol, "scores": scores_of_predictions(model, real, batch_statistics)}


def scores_of_predictions(
    model: AdversarialModel,
    batches: Iterable[Real],
    batch_statistics: bool = False,
    forward: sampling.Forward | None = None,
) -> Scores:
    """The scores of `score_predictions` on batches of `real_batches`; `forward` as for `sampling.sample`."""
    parts = []
    batches, others = itertools.tee((real, masks, sampling.first_frames(model, real)) for real, masks in batches)
    sampled = sampling.sample(model, (inputs for *_, inputs in others), batch_statistics, forward)
    for (real, masks, inputs), outputs in zip(batches, sampled, strict=True):
        predictions = {"persistence": clip_values.persistence(real)}
        if model.takes_wind:
            predictions["moved_frame"] = drifting_clip(*inputs, model.num_frames)
        if "base" in outputs:
            predictions |= {"stage_1": outputs["base"], "stage_2": outputs["clip"]}
        else:
            predictions["stage_1"] = outputs["clip"]
        scores = {name: _prediction_scores(predicted, real) for name, predicted in predictions.items()}
        if "mask" in outputs and masks is not None:
            scores["stage_1"]["mask_iou_truth"] = _of_each(separation.mask_iou, outputs["mask"][..., 0], masks)
        parts.append(scores)
    scores = _mean(parts)
    for score in scores.values():
        score["motion_ratio"] = motion.ratio(score.pop("generated_motion"), score.pop("real_motion"))
    return scores


def score_generation(model: AdversarialModel, source: ClipSource, count: int, seed: int) -> dict[str, Any]:
    """How much moves and flickers in `count` clips from noise, and in as many real ones; and whether the mask finds it.

    Returns:
        {"protocol": GENERATION_PROTOCOL, "scores": {"generated": {...}, "real": {...}}}. A score that no clip has
        is NaN.
    """
    real = scores_of_real(real_batches(model, source, count))
    generated = scores_of_generation(model, count, seed, real)
    return {"protocol": GENERATION_PROTOCOL, "scores": {"generated": generated, "real": real}}


def scores_of_real(batches: Iterable[Real]) -> dict[str, float]:
    """What moves and flickers in real clips, and how far the rule for it can be trusted where the truth is known."""
    parts = []
    for clips, masks in batches:
        scores = _generation_scores(clips)
        if masks is not None:
            scores["mask_iou_truth"] = _of_each(separation.mask_iou, masks, separation.moving_region(clips))
        parts.append({"real": scores})
    return _mean(parts)["real"]


def scores_of_generation(
    model: AdversarialModel,
    count: int,
    seed: int,
    real: dict[str, float],
    forward: sampling.Forward | None = None,
) -> dict[str, float]:
    """The scores of `count` clips from noise beside those of real clips; `forward` as for `sampling.sample`."""
    parts = []
    for outputs in sampling.generate(model, count, seed, forward):
        scores = _generation_scores(outputs["clip"])
        if "mask" in outputs:
            mask = outputs["mask"][..., 0]
            scores["mask_iou"] = _of_each(separation.mask_iou, mask, separation.moving_region(outputs["clip"]))
            scores["mask_mean"] = mask.mean(axis=(1, 2, 3))
        parts.append({"generated": scores})
    generated = _mean(parts)["generated"]
    generated["motion_ratio"] = motion.ratio(generated["mean_frame_difference"], real["mean_frame_difference"])
    return generated


def _prediction_scores(predicted: np.ndarray, real: np.ndarray) -> OfClips:
    later, truth = predicted[:, 1:], real[:, 1:]
    return {
        "mse": reconstruction.frame_mse(later, truth).mean(axis=1),
        "psnr_db": reconstruction.frame_psnr(later, truth, data_range=2.0).mean(axis=1),
        CAPPED: reconstruction.capped_frames(later, truth, data_range=2.0),
        "ssim": ssim.frame_ssim(later, truth, data_range=2.0).mean(axis=1),
        "generated_motion": _of_each(motion.mean_frame_difference, predicted),
        "real_motion": _of_each(motion.mean_frame_difference, real),
    }


def _generation_scores(clips: np.ndarray) -> OfClips:
    return {
        "moving_share": separation.moving_region(clips).mean(axis=(1, 2, 3)),
        "flicker": _of_each(separation.flicker, clips),
        "mean_frame_difference": _of_each(motion.mean_frame_difference, clips),
    }


def _of_each(metric: Callable[..., float], *batches: np.ndarray) -> np.ndarray:
    """A metric of each clip of a batch by itself, [n]; arrays [n, ...] of one length are its arguments."""
    return np.array([metric(*(batch[i : i + 1] for batch in batches)) for i in range(len(batches[0]))])


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
    batches = pipeline.spread_batches(source, model.num_frames, batch_size, count).as_numpy_iterator()
    for index, clips in enumerate(batches):
        known = _knows_masks(source)
        yield clips, _true_masks(source, index * batch_size, len(clips)) if known else None


def _mean(parts: Iterable[dict[str, OfClips]]) -> Scores:
    """The scores of the clips of each batch -> the mean of each score over the clips that have one."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for scores in parts:
        for name, score in scores.items():
            for metric, of_clips in score.items():
                found.setdefault(name, {}).setdefault(metric, []).append(of_clips)
    means = {name: {m: _mean_of(m, np.concatenate(of)) for m, of in score.items()} for name, score in found.items()}
    return {name: {m: v for m, v in score.items() if m != CAPPED or v} for name, score in means.items()}


def _mean_of(metric: str, of_clips: np.ndarray) -> float:
    if metric == CAPPED:
        return int(of_clips.sum())
    known = of_clips[~np.isnan(of_clips)]
    return float(known.mean()) if len(known) else float("nan")
