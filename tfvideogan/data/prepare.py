"""Folders of videos, frames and strips -> a data set of TFRecord shards, carried by Apache Beam.

The plan is made first: every input has its split and its shard, by a hash of its name.
A shard is one element of the pipeline and is written by one worker from its inputs in
order, so one worker and forty give the same bytes, and a job that was killed goes on
with the shards that are missing. All of it lies in OUTPUT/.unfinished until it is
complete; then the shards get their names, and `dataset.json` comes last.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from tqdm import tqdm

from tfvideogan.config import UsageError
from tfvideogan.data import description, records
from tfvideogan.data.cutting import Cutting
from tfvideogan.data.inputs import Found, Input, find_inputs
from tfvideogan.data.worker import Limits, Worker
from tfvideogan.files import atomic, checksums, paths, pictures

logger = logging.getLogger(__name__)

_INPUTS_A_SHARD, _MOST_SHARDS = 8, 1024
_JOB = "job.json"


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker needs beside its shard.

    Attributes:
        splits: (name, share) of each split; the shares add up to 1.
    """

    output: str
    cutting: Cutting
    encoding: pictures.StripEncoding
    limits: Limits
    splits: tuple[tuple[str, float], ...]

    @property
    def unfinished(self) -> paths.Path:
        return paths.path(self.output) / records.UNFINISHED

    def options(self) -> dict[str, Any]:
        """All that decides what becomes of an input."""
        return {
            **dataclasses.asdict(self.cutting),
            "encoding": self.encoding.name,
            "quality": self.encoding.quality if self.encoding.name == "jpeg" else None,
            "time_limit": self.limits.seconds,
            "memory_limit": self.limits.megabytes,
            "splits": dict(self.splits),
        }

    def fingerprint(self, inputs: Sequence[Input]) -> str:
        """What must be equal for a job that was killed to go on: options, and the very same files."""
        files = sorted([item.name, *item.files] for item in inputs)
        return hashlib.sha256(json.dumps([records.SCHEMA, self.options(), files]).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Shard:
    """A file of the job: its split, its number there, and its inputs."""

    split: str
    index: int
    inputs: tuple[Input, ...]

    @property
    def name(self) -> str:
        return f"{self.split}-{self.index:05d}"


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


def find_all(roots: Sequence[str]) -> Found:
    """The inputs of all folders; names begin with the folder's where there are several."""
    whole = Found([], [], [])
    for root in roots:
        try:
            found = find_inputs(root)
        except UsageError as error:
            raise UsageError(f"--input: {error}") from error
        prefix = f"{pathlib.Path(root).absolute().name}/" if len(roots) > 1 else ""
        for item in found.inputs:
            own = prefix.rstrip("/") if item.group == "." and prefix else item.group  # a root that is itself a sequence
            whole.inputs.append(dataclasses.replace(item, name=prefix + item.name, group=own))
        whole.unusable += [(prefix + name, reason) for name, reason in found.unusable]
        whole.ignored += [prefix + name for name in found.ignored]
    name, times = max(
        collections.Counter(item.name for item in whole.inputs).items(), key=lambda x: x[1], default=("", 0)
    )
    if times > 1:
        raise UsageError(f"--input: {times} inputs have the name {name!r}; give folders of different names")
    return whole


def plan(inputs: Sequence[Input], splits: Sequence[tuple[str, float]]) -> list[Shard]:
    """Every input's split and shard: functions of names alone, and of how many there are."""
    shards = []
    for split, _ in splits:
        members = [item for item in inputs if split_of(item.group, splits) == split]
        members.sort(key=lambda item: (_hash(item.name), item.name))  # so that each shard is a mixture
        count = min(-(-len(members) // _INPUTS_A_SHARD), _MOST_SHARDS)
        shards += [Shard(split, index, tuple(members[index::count])) for index in range(count)]
    return shards


def split_of(group: str, splits: Sequence[tuple[str, float]]) -> str:
    """The split of a video, by its name: adding other videos does not move it."""
    position = _hash(group) / 2**64
    for name, share in splits:
        position -= share
        if position < 0:
            return name
    return splits[-1][0]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")


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
    with _quiet() as terminal, _Progress(job, shards, terminal), beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(missing)
            | "Spread over workers" >> beam.Reshuffle()
            | "Decode and write" >> beam.ParDo(WriteShard(job))
        )


@contextlib.contextmanager
def _quiet() -> Iterator[TextIO]:
    """Keeps what Beam's processes tell of themselves from the terminal, which is handed on for the progress.

    Raises:
        UsageError: what ended the pipeline, and where all that was told lies.
    """
    terminal = os.fdopen(os.dup(2), "w", buffering=1)
    with tempfile.NamedTemporaryFile("a", prefix="tfvideogan-beam-", suffix=".log", delete=False) as log:
        os.dup2(log.fileno(), 2)
    try:
        yield terminal
    except Exception as error:  # Beam wraps what happened in a RuntimeError of many lines, the last one tells
        with pathlib.Path(log.name).open("a") as file:
            file.write(str(error))
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"the pipeline ended ({told[-1]}); the same command goes on; see {log.name}") from error
    else:
        pathlib.Path(log.name).unlink()
    finally:
        os.dup2(terminal.fileno(), 2)
        terminal.close()


class WriteShard(beam.DoFn):
    """Shard -> its file and its report, both complete or absent."""

    def __init__(self, job: Job):
        super().__init__()
        self._job = job

    def setup(self) -> None:
        self._worker = Worker(self._job.cutting, self._job.encoding, self._job.limits)

    def teardown(self) -> None:
        self._worker.close()

    def process(self, shard: Shard) -> Iterator[str]:
        final = self._job.unfinished / f"{shard.name}{records.SUFFIX}"
        beside = final.with_name(f"{final.name}.{uuid.uuid4().hex}.part")
        sources = []
        with tf.io.TFRecordWriter(str(beside)) as writer:
            for item in shard.inputs:
                sources.append(self._write_clips(item, shard.split, writer))
        paths.move(beside, final)
        told = {
            "made": shard.name,
            "split": shard.split,
            "records": sum(source["clips"] for source in sources),
            "bytes": final.stat().length,
            "sha256": checksums.sha256(final),
            "sources": sources,
        }
        atomic.write_bytes(final.with_name(f"{shard.name}.json"), json.dumps(told).encode())
        yield shard.name

    def _write_clips(self, item: Input, split: str, writer: Any) -> dict[str, Any]:
        clips, problems = 0, []
        for clip in self._worker.clips(item):
            if isinstance(clip, UsageError):
                problems.append(_without_root(str(clip), item))
            else:
                writer.write(records.example(clip.strip, self._job.cutting.num_frames, item.name, clip.start))
                clips += 1
        return {
            "name": item.name,
            "kind": item.kind,
            "split": split,
            "clips": clips,
            "problems": problems,
            **_checksum(item),
        }


def _without_root(message: str, item: Input) -> str:
    """A problem as it reads beside the input's name: a frame by its own name."""
    for file in item.files:
        own = "" if item.kind != "frames" else f"{paths.path(file).name}: "
        message = message.replace(f"{file}: ", own).replace(f": {str(pathlib.Path(file).absolute())!r}", "")
    return message.removeprefix(f"{item.name}: ").replace(f"{item.name}: ", "")


def _checksum(item: Input) -> dict[str, Any]:
    """SHA-256 of a file, or of the list of a sequence's names and checksums."""
    try:
        if not all(paths.path(file).is_file() for file in item.files):  # a pipe would never end
            raise FileNotFoundError(item.name)
        sizes = [paths.path(file).stat().length for file in item.files]
        sums = [checksums.sha256(file) for file in item.files]
    except Exception as error:  # what cannot be read has been reported as such; each file system has errors of its own
        return {"bytes": None, "sha256": None, "unread": type(error).__name__}
    if item.kind == "frames":
        lines = [f"{paths.path(file).name} {found}\n" for file, found in zip(item.files, sums, strict=True)]
        sums = [hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()]
    return {"bytes": sum(sizes), "sha256": sums[0]}


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


class _Progress:
    """A bar over the inputs, moved by the shard reports that appear, whatever machine writes them."""

    def __init__(self, job: Job, shards: list[Shard], terminal: TextIO):
        self._job, self._terminal = job, terminal
        self._sizes = {f"{shard.name}.json": len(shard.inputs) for shard in shards}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        total = sum(self._sizes.values())
        self._bar = tqdm(total=total, desc="preparing", unit=" inputs", dynamic_ncols=True, file=self._terminal)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self._bar.close()

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            self._look()

    def _look(self) -> None:
        there = [path.name for path in self._job.unfinished.iterdir()]
        self._bar.update(sum(self._sizes.get(name, 0) for name in there) - self._bar.n)
