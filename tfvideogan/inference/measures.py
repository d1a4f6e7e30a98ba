"""The metrics that clips can be scored with, by the names that `--metrics` takes: a score for each clip of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.metrics import flow, motion, reconstruction, separation, ssim

# By default a model is scored with the first ones, up to `mask`. That is scored where the model has one.
OF_PREDICTIONS = ("mse", "psnr", "ssim", "motion", "mask", "flow", "flicker")
OF_GENERATION = ("moving", "flicker", "motion", "mask", "flow")
CAPPED = "psnr_capped_frames"  # This one is a number of frames, and no mean.

OfClips = dict[str, np.ndarray]  # by score, its value [n] for each clip of a batch; NaN for a clip that has none
Scores = dict[str, dict[str, float]]  # by whose scores they are, and by score


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


def of_predictions(predicted: np.ndarray, real: np.ndarray, names: Sequence[str]) -> OfClips:
    """The scores of predicted clips [n, T, H, W, 3] beside the real ones, over frames 2 to T."""
    later, truth = predicted[:, 1:], real[:, 1:]
    scores: OfClips = {}
    if "mse" in names:
        scores["mse"] = reconstruction.frame_mse(later, truth).mean(axis=1)
    if "psnr" in names:
        scores["psnr_db"] = reconstruction.frame_psnr(later, truth, data_range=2.0).mean(axis=1)
        scores[CAPPED] = reconstruction.capped_frames(later, truth, data_range=2.0)
    if "ssim" in names:
        scores["ssim"] = ssim.frame_ssim(later, truth, data_range=2.0).mean(axis=1)
    if "motion" in names:
        scores["generated_motion"] = of_each(motion.mean_frame_difference, predicted)
        scores["real_motion"] = of_each(motion.mean_frame_difference, real)
    if "flow" in names:
        scores["flow_difference_px"] = of_each(flow.difference, predicted, real)
    if "flicker" in names:
        scores["flicker"] = of_each(separation.flicker, predicted)
    return scores


def of_clips(clips: np.ndarray, names: Sequence[str]) -> OfClips:
    """The scores of clips [n, T, H, W, 3] by themselves."""
    scores: OfClips = {}
    if "moving" in names:
        scores["moving_share"] = separation.moving_region(clips).mean(axis=(1, 2, 3))
    if "flicker" in names:
        scores["flicker"] = of_each(separation.flicker, clips)
    if "motion" in names:
        scores["mean_frame_difference"] = of_each(motion.mean_frame_difference, clips)
    if "flow" in names:
        scores["flow_px"] = of_each(flow.speed, clips)
    return scores


def of_each(metric: Callable[..., float], *batches: np.ndarray) -> np.ndarray:
    """A metric of each clip of a batch by itself, [n]; arrays [n, ...] of one length are its arguments."""
    return np.array([metric(*(batch[i : i + 1] for batch in batches)) for i in range(len(batches[0]))])


def of_frames(predicted: np.ndarray, real: np.ndarray) -> dict[str, np.ndarray]:
    """MSE, PSNR and SSIM of each of the frames 2 to T of predicted clips [n, T, H, W, 3]: [n, T - 1] each."""
    later, truth = predicted[:, 1:], real[:, 1:]
    return {
        "mse": reconstruction.frame_mse(later, truth),
        "psnr_db": reconstruction.frame_psnr(later, truth, data_range=2.0),
        "ssim": ssim.frame_ssim(later, truth, data_range=2.0),
    }


def mean(parts: Iterable[dict[str, OfClips]]) -> Scores:
    """The scores of the clips of each batch -> the mean of each score over the clips that have one."""
    means = {
        name: {score: _mean(score, values) for score, values in scores.items()}
        for name, scores in _joined(parts).items()
    }
    return {name: {m: v for m, v in scores.items() if m != CAPPED or v} for name, scores in means.items()}


def frame_curves(parts: Iterable[dict[str, dict[str, np.ndarray]]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """What `of_frames` gives for each batch -> by score, a curve for each model of (frame, mean over clips)."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, scores in _joined(parts).items():
        for score, values in scores.items():
            panels.setdefault(score, {})[name] = [(t, float(v)) for t, v in enumerate(values.mean(axis=0), start=2)]
    return panels


def _joined(parts: Iterable[dict[str, dict[str, np.ndarray]]]) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for part in parts:
        for name, scores in part.items():
            of_name = found.setdefault(name, {})  # A name may have none of the scores that are asked for.
            for score, values in scores.items():
                of_name.setdefault(score, []).append(values)
    return {name: {score: np.concatenate(of) for score, of in scores.items()} for name, scores in found.items()}


def _mean(score: str, values: np.ndarray) -> float:
    if score == CAPPED:
        return int(values.sum())
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
