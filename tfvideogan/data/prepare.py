"""Makes a data set of TFRecord shards from folders of videos, frames and strips, by Apache Beam.

First the plan gives every input a split and a shard (`plan.py`). A shard is one element of the pipeline, and one worker
writes it from its inputs in order. So one worker and forty give the same bytes, and a job that was killed goes on with
the shards that are missing. All files lie in OUTPUT/.unfinished until they are complete; then the shards get their
final names, and `dataset.json` comes last.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tfvideogan.config import UsageError
from tfvideogan.data import description, records
from tfvideogan.data.inputs import Input
from tfvideogan.data.layouts import BY_RULE, Form
from tfvideogan.data.plan import Job, Shard, find_all, plan
from tfvideogan.data.progress import Progress, quiet
from tfvideogan.data.shard_writer import WriteShard
from tfvideogan.data.wording import counted
from tfvideogan.files import atomic, paths

_JOB = "job.json"

logger = logging.getLogger(__name__)


def prepare(
    roots: Sequence[str],
    job: Job,
    beam_options: Sequence[str],
    allow_outside: bool = False,
    form: Form = BY_RULE,
) -> dict[str, Any]:
    """Makes the data set and returns the content of its `dataset.json`.

    Args:
        allow_outside: whether a list may name files outside of its own folder.
        form: how arrays are read.

    Raises:
        UsageError: nothing is usable, or the output folder holds something else; nothing is written then.
    """
    check_output(job.output)
    contents = find_all(roots, allow_outside, dataclasses.replace(form, least=job.cutting.frames_needed))
    if not contents.inputs:
        unusable = counted(len(contents.unusable), "unusable input")
        if contents.unusable:
            unusable += f", the first: {': '.join(contents.unusable[0])}"
        raise UsageError(f"--input: nothing usable in {', '.join(roots)} ({unusable})")
    shards = plan(contents.inputs, job.splits)
    _begin(job, contents.inputs)
    _run(job, shards, beam_options)
    reports = [json.loads((job.unfinished / f"{shard.name}.json").read_text()) for shard in shards]
    dataset = description.describe(reports, job.options(), contents)
    if not any(dataset["clips"].values()):
        paths.remove_folder(job.unfinished)
        reasons = "; ".join(f"{entry['name']}: {entry['reason']}" for entry in dataset["rejected"][:3])
        raise UsageError(f"--input: none of {counted(dataset['inputs'], 'input')} gave a clip ({reasons}, ...)")
    _publish(job, dataset)
    return dataset


def check_output(output: str) -> None:
    """Raises UsageError unless the folder is new, or empty, or holds a job that was killed."""
    folder = paths.path(output)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"--output must be a folder. Received: {output}, which is a file")
    names = {path.name for path in folder.iterdir()}
    if records.DATASET in names and not (folder / records.UNFINISHED / _JOB).exists():
        raise UsageError(f"--output must be new. Received: {output}, which already holds a data set")
    if names and records.UNFINISHED not in names:
        raise UsageError(f"--output must be new or empty. Received: {output}, which holds other files")


def _begin(job: Job, inputs: Sequence[Input]) -> None:
    """Claims the output folder, which may hold the very same job that was killed."""
    fingerprint = job.fingerprint(inputs)
    path = job.unfinished / _JOB
    if path.exists():
        if path.read_text() != fingerprint:
            raise UsageError(
                f"--output {job.output} holds an unfinished job of other options or inputs; "
                f"repeat that command, or remove {job.unfinished}"
            )
        logger.info("going on with the unfinished job in %s", job.output)
        return
    job.unfinished.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, fingerprint.encode())


def _run(job: Job, shards: list[Shard], beam_options: Sequence[str]) -> None:
    """Runs the pipeline over the shards that are still missing."""
    done = {path.name for path in job.unfinished.iterdir()}
    missing = [shard for shard in shards if f"{shard.name}.json" not in done]
    if not missing:
        return
    options = PipelineOptions(list(beam_options))
    unknown = set(options.get_all_options(retain_unknown_options=True)) - set(options.get_all_options())
    for name in unknown:
        logger.warning("--beam_options: Beam knows no option %s here", name)
    with quiet(job.unfinished) as terminal, Progress(job, shards, terminal), beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(missing)
            | "Spread over workers" >> beam.Reshuffle()
            | "Decode and write" >> beam.ParDo(WriteShard(job))
        )


def _publish(job: Job, dataset: dict[str, Any]) -> None:
    """Gives the shards their final names and writes `dataset.json`; a run that was killed may have done part of it."""
    output = paths.path(job.output)
    for shards in dataset["shards"].values():
        for shard in shards:
            source = job.unfinished / f"{shard.pop('made')}{records.SUFFIX}"
            if source.exists():
                paths.move(source, output / shard["name"])
    text = json.dumps(dataset, indent=1, ensure_ascii=True) + "\n"
    atomic.write_bytes(output / records.DATASET, text.encode("ascii"))
    for path in job.unfinished.iterdir():
        if path.name != _JOB:  # As long as this file is there, the same command can go on with removing the rest.
            path.unlink()
    paths.remove_folder(job.unfinished)
