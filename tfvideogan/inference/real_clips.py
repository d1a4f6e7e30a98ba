"""The real clips that a run is scored on: which they are, and what a JSON line tells of them."""

from __future__ import annotations

import logging
from typing import Any

from tfvideogan.config import Config, UsageError
from tfvideogan.data.folder import ClipFolder
from tfvideogan.data.indexed import Indexed, evenly
from tfvideogan.data.layouts import Form
from tfvideogan.data.record_source import Records
from tfvideogan.data.sources import ClipSource, held_out, open_source, share_clips, split_names

logger = logging.getLogger("tfvideogan")


def open_for(
    config: Config, data: str | None, num_clips: int, form: Form | None = None, allow_outside: bool = False
) -> tuple[ClipSource, dict[str, Any]]:
    """The clips to score a run on, and what the JSON line tells of them.

    Args:
        config: the options of the run.
        data: the value of `--data`; None for the run's own data, as `sources.held_out` names them.
        num_clips: so many clips of a folder are to stand for all.
        form: how arrays are read, by default as in the training.
        allow_outside: whether a list may name files outside of its own folder.

    Raises:
        UsageError: there is no such data, or nothing in it is usable.
    """
    trained_on, frame_size, num_frames = config.data.data, config.model.frame_size, config.model.num_frames
    if data is None and len(split_names(trained_on)) > 1:
        raise UsageError("the run was trained on several sources: name one to score it on with --data")
    name = held_out(trained_on) if data is None else data
    try:
        form = form or Form.of(config.data)
        how = {"allow_outside": allow_outside, "form": form, "stand_in": num_clips}
        source = open_source(name, frame_size, num_frames, config.train.seed, **how)
    except UsageError as error:
        flag = "--data" if data else "--data (not given: the run's own clips)"
        raise UsageError(str(error).replace("--data", flag, 1)) from error
    is_trained_on, is_test = share_clips(name, trained_on), name.endswith((":test", "/test"))
    if is_trained_on:
        why = "is what the run was trained on" if data or is_test else "has no test split"
        logger.warning("%s %s: scored on clips of the training", name, why)
    return source, {
        "data": name,
        "split": "train" if is_trained_on else "test" if is_test else "other data",
        "data_seed": config.train.seed,
        "frame_size": frame_size,
        "num_frames": num_frames,
        "resize": "as prepared" if isinstance(source, Records) else "squash, antialiased",
    }


def chosen(source: ClipSource, count: int) -> dict[str, Any]:
    """Which `count` clips of a source are scored, for the JSON line: how many of how many, and of how many videos."""
    if isinstance(source, Records):
        of_videos, all_videos = source.videos(count)
        return {"chosen": f"{count} of {len(source)}, evenly", "videos": f"{of_videos} of {all_videos or 'unknown'}"}
    if isinstance(source, Indexed) and isinstance(source.clips, ClipFolder):
        origins, decoded = source.clips.origins, source.clips.decoded
        of = f"{decoded.total()}"
        if len(decoded) < source.clips.num_inputs:
            of += f" clips of {len(decoded)} videos"
        of_videos = len({origins[number].name for number in evenly(count, len(source))})
        return {"chosen": f"{count} of {of}, evenly", "videos": f"{of_videos} of {source.clips.num_inputs}"}
    return {"chosen": f"the first {count}"}
