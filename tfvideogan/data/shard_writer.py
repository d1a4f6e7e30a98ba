"""The Beam step that writes one shard from its inputs in order, and a report of what became of each."""

from __future__ import annotations

import functools
import hashlib
import json
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.data import records
from tfvideogan.data.inputs import Input
from tfvideogan.data.plan import Job, Shard, read_as
from tfvideogan.data.worker import Worker
from tfvideogan.files import atomic, checksums, paths


class WriteShard(beam.DoFn):
    """Writes the file of a shard and then its report, each of them completely or not at all."""

    def __init__(self, job: Job):
        super().__init__()
        self._job = job

    def setup(self) -> None:
        self._notes: list[str] = []
        self._worker = Worker(self._job.cutting, self._job.encoding, self._job.limits, self._notes.append)

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
        report = {
            "made": shard.name,
            "split": shard.split,
            "records": sum(source["clips"] for source in sources),
            "bytes": final.stat().length,
            "sha256": checksums.sha256(final),
            "sources": sources,
        }
        atomic.write_bytes(final.with_name(f"{shard.name}.json"), json.dumps(report).encode())
        yield shard.name

    def _write_clips(self, item: Input, split: str, writer: Any) -> dict[str, Any]:
        """Writes the clips of one input and returns its entry of the report."""
        clips, problems = 0, []
        self._notes.clear()
        for clip in self._worker.clips(item):
            if isinstance(clip, UsageError):
                problems.append(_without_root(str(clip), item))
            else:
                writer.write(records.example(clip.strip, self._job.cutting.num_frames, item.name, clip.start))
                clips += 1
        return {
            "name": item.name,
            "kind": item.kind,
            **read_as(item),
            "split": split,
            "clips": clips,
            "problems": problems,
            **({"notes": [_without_root(note, item) for note in self._notes]} if self._notes else {}),
            **_checksum(item),
        }


def _without_root(message: str, item: Input) -> str:
    """A problem without the input's name, which the report has beside it; a frame keeps its own name."""
    for file in item.files:
        own = "" if item.kind != "frames" else f"{paths.path(file).name}: "
        message = message.replace(f"{file}: ", own).replace(f": {str(pathlib.Path(file).absolute())!r}", "")
    return message.removeprefix(f"{item.name}: ").replace(f"{item.name}: ", "")


@functools.lru_cache(maxsize=4)
def _sha256_of_all(file: str) -> str:
    """The checksum of a file that holds many inputs, which is read once."""
    return checksums.sha256(file)


def _checksum(item: Input) -> dict[str, Any]:
    """Size and SHA-256 of a file, or of a sequence of frames over the list of their names and checksums."""
    try:
        if not all(map(paths.is_file, item.files)):  # To read a pipe would never end.
            raise FileNotFoundError(item.name)
        sizes = [paths.path(file).stat().length for file in item.files]
        read = _sha256_of_all if item.kind == "array" else checksums.sha256
        sums = [read(file) for file in item.files]
    except Exception as error:  # Each file system raises errors of its own; `Worker.clips` has reported the problem.
        return {"bytes": None, "sha256": None, "unread": type(error).__name__}
    if item.kind == "frames":
        lines = [f"{paths.path(file).name} {digest}\n" for file, digest in zip(item.files, sums, strict=True)]
        sums = [hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()]
    return {"bytes": sum(sizes), "sha256": sums[0]}
