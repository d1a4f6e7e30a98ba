"""Scores on held-out clips while a run trains, and its best step, kept in a run folder of its own (ours).

    RUN/curves-stage1.png    the scores over the steps, beside those of copying the first frame, or of real clips
    RUN/best/                what sampling needs of the best step of each stage; best.json tells its score

The clips are those of the test split of the run's data, if there is one.
"""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import numpy as np

from tfvideogan.config import Config
from tfvideogan.data.layouts import Form
from tfvideogan.data.sources import held_out, open_source, share_clips
from tfvideogan.files import atomic, paths, pictures
from tfvideogan.inference import curves, measures, sampling, scoring
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs import state
from tfvideogan.runs.journal import Journal, tolerated
from tfvideogan.runs.run_folder import RunFolder

logger = logging.getLogger(__name__)

BEST = "best"
_SHORT = {"psnr_db": "psnr", "motion_ratio": "motion"}
_LARGER_IS_BETTER = ("psnr", "ssim", "mask_iou")


class Validation:
    """The scores of a stage's model on clips that it is not trained on, the same ones each time.

    Raises:
        UsageError: the held-out clips cannot be read.
    """

    def __init__(self, config: Config, model: AdversarialModel, folder: RunFolder):
        self.data, size = held_out(config.data.data), (config.model.frame_size, config.model.num_frames)
        if share_clips(self.data, config.data.data):
            logger.warning("%s is what the run trains on: --eval_every scores on clips of the training", self.data)
        data = config.data
        how = {"max_bad_shards": data.max_bad_shards, "allow_outside": data.allow_outside, "form": Form.of(data)}
        source = open_source(self.data, *size, config.train.seed, **how, stand_in=config.train.eval_clips)
        self.num_clips = min(config.train.eval_clips, len(source))
        self._model, self._seed = model, config.train.seed
        self._real = list(scoring.real_batches(model, source, self.num_clips))
        self._forward = sampling.forward_pass(model)
        self._beside = None if model.predicts else scoring.scores_of_real(self._real)
        self._folder = folder
        self._best = Best(folder, config) if config.train.keep_best != "none" else None

    def write(self, step: int, journal: Journal) -> None:
        """Scores a step, draws the curves anew, and keeps the step if it is the best."""
        scores, beside = self.scores()
        journal.write_scores(step, scores, beside, data=self.data, num_clips=self.num_clips)
        if lines := journal.scores():  # A full disk may have kept none.
            with tolerated("the curves"):
                pictures.write_image(self._folder.path / f"curves-stage{self._model.stage}.png", self.curves(lines))
        if self._best:
            self._best.offer(self._model.stage, step, scores, self._model)

    def scores(self) -> tuple[dict[str, float], dict[str, float]]:
        """The scores of the model's own stage, and those of copying the first frame, or of real clips."""
        if self._beside is None:
            scores = scoring.scores_of_predictions(self._model, self._real, forward=self._forward)
            return _short(scores[f"stage_{self._model.stage}"]), _short(scores["persistence"])
        scores = scoring.scores_of_generation(self._model, self.num_clips, self._seed, self._beside, self._forward)
        return _short(scores), _short(self._beside)

    def curves(self, lines: list[dict[str, Any]]) -> np.ndarray:
        """A picture uint8 [H, W, 3] of the scores that a journal's lines tell, over the steps."""
        beside = "copying" if self._model.predicts else "real clips"
        panels = {
            name: {
                "held out": [(line["step"], _number(line["held_out"].get(name))) for line in lines],
                beside: [(line["step"], _number(line["beside"].get(name))) for line in lines],
            }
            for name in lines[-1]["held_out"]
            if name != measures.NOT_FINITE
        }
        return curves.picture({f"stage {self._model.stage}: {name}": panel for name, panel in panels.items()})


class Best:
    """The best step of each stage by one metric, in `RUN/best`, which all commands take as a `--run_dir`."""

    def __init__(self, folder: RunFolder, config: Config):
        self._folder, self._config, self._metric = RunFolder(folder.path / BEST), config, config.train.keep_best

    def offer(self, stage: int, step: int, scores: dict[str, float], model: AdversarialModel) -> None:
        """Keeps a step if it is better than the one that is kept."""
        # A mean over those clips alone that are finite numbers would make a failing step look good.
        value = math.nan if scores.get(measures.NOT_FINITE) else scores[self._metric]
        file = self._folder.path / f"{BEST}.json"
        kept = _read(file)
        before = kept.get(str(stage))
        same = before and before["metric"] == self._metric
        if _badness(self._metric, value) >= (_badness(self._metric, before["value"]) if same else math.inf):
            return
        with tolerated(f"the best step, {step},"):
            self._folder.write_config(self._config)
            self._folder.save(stage, step, state.for_sampling(model), keep=1)
            for other in self._folder.list():
                if other.stage == stage and other.step > step:  # It was the best by another metric.
                    paths.remove_folder(other.path)
            kept[str(stage)] = {"step": step, "metric": self._metric, "value": value}
            atomic.write_bytes(file, (json.dumps(kept, indent=2) + "\n").encode())
            logger.info("stage %d, step %d: the best so far, %s %.4g", stage, step, self._metric, value)


def _badness(metric: str, value: float) -> float:
    """What is less for a better score: motion is best at 1, and a score that is no number is the worst."""
    if math.isnan(value) or (metric == "motion" and value <= 0):
        return math.inf
    if metric == "motion":
        return abs(math.log(value))
    return -value if metric in _LARGER_IS_BETTER else value


def _read(file: paths.Path) -> dict[str, dict[str, Any]]:
    """What `best.json` tells; nothing, with a warning, if it is damaged."""
    if not file.exists():
        return {}
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        logger.warning("%s is damaged (%s): the best step is sought anew", file, error)
        return {}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _short(scores: dict[str, float]) -> dict[str, float]:
    return {_SHORT.get(name, name): value for name, value in scores.items()}
