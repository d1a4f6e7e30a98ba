"""The metrics that clips can be scored with, by the names that `--metrics` takes: a score for each clip of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.data.clips import to_uint8
from tfvideogan.metrics import flow, motion, reconstruction, separation, ssim

# By default a model is scored with the first ones, up to `mask`. That is scored where the model has one.
OF_PREDICTIONS = ("mse", "psnr", "ssim", "motion", "mask", "flow", "flicker")
OF_GENERATION = ("moving", "flicker", "motion", "mask", "flow")
PER_FRAME = {"mse": "mse", "psnr": "psnr_db", "ssim": "ssim"}  # Each frame has such a score, and a clip their mean.
CAPPED = "psnr_capped_frames"  # This one and the next are numbers of frames and of clips, and no means.
NOT_FINITE = "clips_not_finite"  # Means are over the clips that have a score, so that such clips would go unseen.
_COUNTS = (CAPPED, NOT_FINITE)

# By the name of a score, its value [n] for each clip of a batch; a clip that has none has NaN.
OfClips = dict[str, np.ndarray]
# By the name of what is scored, and by that of the score.
Scores = dict[str, dict[str, float]]


def default(known: Sequence[str]) -> tuple[str, ...]:
    return tuple(known[: known.index("mask") + 1])


def check(names: Sequence[str], known: Sequence[str], which: str) -> None:
    """Raises UsageError for a metric that these clips cannot be scored with."""
    for name in names:
        if name not in known:
            raise UsageError(f"--metrics of {which} are {', '.join(known)}, and distances as fvd2048_16f and "
                             f"kvd2048_16f. Received: {name!r}")  # fmt: skip
    if "flow" in names:
        flow.require()


def of_frames(
    predictions: dict[str, np.ndarray], real: np.ndarray, names: Iterable[str] = PER_FRAME
) -> dict[str, OfClips]:
    """The scores [n, T - 1] of each of the frames 2 to T of clips [n, T, H, W, 3] that are predictions of real ones.

    Args:
        names: of these, those that `PER_FRAME` has.
    """
    truth, later = real[:, 1:], {name: clips[:, 1:] for name, clips in predictions.items()}
    scores: dict[str, OfClips] = {name: {} for name in predictions}
    if "mse" in names or "psnr" in names:
        for name, clips in later.items():
            scores[name]["mse"] = reconstruction.frame_mse(clips, truth)
            scores[name]["psnr_db"] = reconstruction.to_psnr(scores[name]["mse"], data_range=2.0)
    if "ssim" in names:
        together = ssim.frame_ssim(np.stack(list(later.values())), truth, data_range=2.0)
        for name, of_one in zip(predictions, together, strict=True):
            scores[name]["ssim"] = of_one
    return scores


def of_predictions(
    predictions: dict[str, np.ndarray], real: np.ndarray, frames: dict[str, OfClips], names: Sequence[str]
) -> dict[str, OfClips]:
    """The scores of predicted clips [n, T, H, W, 3] beside the real ones; `frames` are those of `of_frames`."""
    real_motion = of_each(motion.mean_frame_difference, real) if "motion" in names else None
    by_name = {}
    for name, predicted in predictions.items():
        scores = {NOT_FINITE: _not_finite(predicted)}
        scores |= {score: frames[name][score].mean(axis=1) for of, score in PER_FRAME.items() if of in names}
        if "psnr" in names:
            scores[CAPPED] = reconstruction.capped_frames(frames[name]["psnr_db"])
        if "motion" in names:
            scores["generated_motion"] = of_each(motion.mean_frame_difference, predicted)
            scores["real_motion"] = real_motion
        if "flow" in names:
            scores["flow_difference_px"] = of_each(flow.difference, to_uint8(predicted), to_uint8(real))
        if "flicker" in names:
            scores["flicker"] = of_each(separation.flicker, predicted)
        by_name[name] = scores
    return by_name


def of_clips(clips: np.ndarray, names: Sequence[str]) -> OfClips:
    """The scores of clips [n, T, H, W, 3] by themselves."""
    scores: OfClips = {NOT_FINITE: _not_finite(clips)}
    if "moving" in names:
        scores["moving_share"] = separation.moving_region(clips).mean(axis=(1, 2, 3))
    if "flicker" in names:
        scores["flicker"] = of_each(separation.flicker, clips)
    if "motion" in names:
        scores["mean_frame_difference"] = of_each(motion.mean_frame_difference, clips)
    if "flow" in names:
        scores["flow_px"] = of_each(flow.speed, to_uint8(clips))
    return scores


def _not_finite(clips: np.ndarray) -> np.ndarray:
    return ~np.isfinite(clips).all(axis=(1, 2, 3, 4))


def of_each(metric: Callable[..., float], *batches: np.ndarray) -> np.ndarray:
    """A metric of each clip of a batch by itself, [n]; arrays [n, ...] of one length are its arguments."""
    return np.array([metric(*(batch[i : i + 1] for batch in batches)) for i in range(len(batches[0]))])


def mean(parts: Iterable[dict[str, OfClips]]) -> Scores:
    """The scores of the clips of each batch -> the mean of each score over the clips that have one.

    Counts, CAPPED and NOT_FINITE, are summed, and left out where they are 0.
    """
    means = {
        name: {score: _mean(score, values) for score, values in scores.items()}
        for name, scores in _joined(parts).items()
    }
    return {name: {m: v for m, v in scores.items() if m not in _COUNTS or v} for name, scores in means.items()}


def frame_curves(parts: Iterable[dict[str, dict[str, np.ndarray]]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """What `of_frames` gives for each batch -> by score, a curve for each model of (frame, mean over clips)."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, scores in _joined(parts).items():
        for score, values in scores.items():
            panels.setdefault(score, {})[name] = [(t, float(v)) for t, v in enumerate(values.mean(axis=0), start=2)]
    return panels


def _joined(parts: Iterable[dict[str, dict[str, np.ndarray]]]) -> dict[str, dict[str, np.ndarray]]:
    by_name: dict[str, dict[str, list[np.ndarray]]] = {}
    for part in parts:
        for name, scores in part.items():
            of_name = by_name.setdefault(name, {})  # A name may have none of the scores that are asked for.
            for score, values in scores.items():
                of_name.setdefault(score, []).append(values)
    return {name: {score: np.concatenate(of) for score, of in scores.items()} for name, scores in by_name.items()}


def _mean(score: str, values: np.ndarray) -> float:
    if score in _COUNTS:
        return int(values.sum())
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
