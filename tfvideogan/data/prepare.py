"""Folders of videos, frames and strips -> a data set of TFRecord shards, carried by Apache Beam.

The plan is made first: every input has its split and its shard, by a hash of its name.
A shard is one element of the pipeline and is written by one worker from its inputs in
order, so one worker and forty give the same bytes, and a job that was killed goes on
with the shards that are missing. All of it lies in OUTPUT/.unfinished until it is
complete; then the shards get their names, and `dataset.json` comes last.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tfvideogan.config import UsageError
from tfvideogan.data import description, records
from tfvideogan.data.inputs import Input
from tfvideogan.data.plan import Job, Shard, find_all, plan
from tfvideogan.data.progress import Progress, quiet
from tfvideogan.data.shard_writer import WriteShard
from tfvideogan.files import atomic, paths

_JOB = "job.json"

logger = logging.getLogger(__name__)


def prepare(roots: Sequence[str], job: Job, beam_options: Sequence[str]) -> dict[str, Any]:
    """Makes the data set and returns the content of its `dataset.json`.

    Raises:
        UsageError: nothing usable, or an output folder that holds something else; nothing is written then.
    """
    check_output(job.output)
    found = find_all(roots)
    if not found.inputs:
        raise UsageError(f"--input: nothing usable in {', '.join(roots)}; {len(found.unusable)} inputs were unusable")
    shards = plan(found.inputs, job.splits)
    _begin(job, found.inputs)
    _run(job, shards, beam_options)
    made = [json.loads((job.unfinished / f"{shard.name}.json").read_text()) for shard in shards]
    dataset = description.describe(made, job.options(), found)
    if not any(dataset["clips"].values()):
        paths.remove_folder(job.unfinished)
        reasons = "; ".join(f"{entry['name']}: {entry['reason']}" for entry in dataset["rejected"][:3])
        raise UsageError(f"--input: none of {dataset['inputs']} inputs gave a clip ({reasons}, ...)")
    _publish(job, dataset)
    return dataset


def check_output(output: str) -> None:
    """Raises UsageError unless the folder is new, empty, or of a job that was killed."""
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
    """Claims the output folder, or goes on in it if the very same job was killed there."""
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
    """The pipeline, over the shards that are not there yet."""
    done = {path.name for path in job.unfinished.iterdir()}
    missing = [shard for shard in shards if f"{shard.name}.json" not in done]
    if not missing:
        return
    options = PipelineOptions(list(beam_options))
    known = options.get_all_options()
    for name in set(options.get_all_options(retain_unknown_options=True)) - set(known):
        logger.warning("--beam_options: Beam knows no option %s here", name)
    with quiet() as terminal, Progress(job, shards, terminal), beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(missing)
            | "Spread over workers" >> beam.Reshuffle()
            | "Decode and write" >> beam.ParDo(WriteShard(job))
        )


def _publish(job: Job, dataset: dict[str, Any]) -> None:
    """Final names, then the description; each step may have been done already by a run that was killed."""
    output = paths.path(job.output)
    for shards in dataset["shards"].values():
        for shard in shards:
            made = job.unfinished / f"{shard.pop('made')}{records.SUFFIX}"
            if made.exists():
                paths.move(made, output / shard["name"])
    text = json.dumps(dataset, indent=1, ensure_ascii=True) + "\n"
    atomic.write_bytes(output / records.DATASET, text.encode("ascii"))
    for path in job.unfinished.iterdir():
        if path.name != _JOB:  # as long as it is there, the same command may go on tidying
            path.unlink()
    paths.remove_folder(job.unfinished)
