"""What became of every input, as the content of `dataset.json` and as a report to read."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import tfvideogan
from tfvideogan.data import records
from tfvideogan.data.inputs import Contents
from tfvideogan.data.wording import counted

_NOT_STABILISED = re.compile(r"not stabilised from frame \d+ on: (.+?)(?: between .*|: .*)?$")


def describe(shards: Sequence[dict[str, Any]], options: dict[str, Any], contents: Contents) -> dict[str, Any]:
    """The content of `dataset.json`.

    Args:
        shards: the reports of their writers: `made` (the name of the file until the set is complete), `split`,
            `records`, `bytes`, `sha256`, `sources`.
        options: `Job.options()`.
        contents: what the input folders hold.
    """
    sources = sorted((source for shard in shards for source in shard["sources"]), key=lambda source: source["name"])
    used = [source for source in sources if source["clips"]]
    rejected = [{"name": name, "reason": reason} for name, reason in contents.unusable]
    rejected += [
        {"name": source["name"], "reason": "; ".join(source["problems"]) or "no clip in it"}
        for source in sources
        if not source["clips"]
    ]
    problems = [problem for source in sources for problem in source["problems"]]
    return {
        "schema": records.SCHEMA,
        "num_frames": options["num_frames"],
        "frame_size": options["frame_size"],
        "clips": {split: sum(s["clips"] for s in used if s["split"] == split) for split in options["splits"]},
        "inputs": len(sources) + len(contents.unusable),
        "used": len(used),
        "options": options,
        "shards": _named(shards),
        "rejected": sorted(rejected, key=lambda entry: entry["name"]),
        "not_stabilised": Counter(match[1] for problem in problems if (match := _NOT_STABILISED.match(problem))),
        "ignored": contents.ignored,
        "sources": used,
        "made_by": f"tfvideogan {tfvideogan.__version__}",
    }


def _named(shards: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The shards of each split with their final names; a shard whose inputs were all rejected leaves no file."""
    files: dict[str, list[dict[str, Any]]] = {}
    for shard in shards:
        if shard["records"]:
            kept = {name: shard[name] for name in ("made", "records", "bytes", "sha256")}
            files.setdefault(shard["split"], []).append(kept)
    for split, of_split in files.items():
        for index, file in enumerate(of_split):
            file["name"] = records.shard_name(split, index, len(of_split))
    return files


def report(dataset: dict[str, Any], seconds: float) -> str:
    """The lines that tell a person what was read, written and rejected, and why."""
    shards = [shard for of_split in dataset["shards"].values() for shard in of_split]
    megabytes = sum(shard["bytes"] for shard in shards) / 2**20
    duration = time.strftime("%H:%M:%S", time.gmtime(seconds))
    ignored = counted(len(dataset["ignored"]), "other file")
    clips = ", ".join(f"{split}: {counted(count, 'clip')}" for split, count in dataset["clips"].items())
    lines = [
        f"read      {counted(dataset['inputs'], 'input')} in {duration}: "
        f"{dataset['used']} used, {len(dataset['rejected'])} rejected, {ignored} ignored{_noted(dataset)}",
        f"written   {clips}; {counted(len(shards), 'shard')}, {megabytes:.1f} MB",
    ]
    lines += [f"rejected  {_printable(entry['name'])}: {_printable(entry['reason'])}" for entry in dataset["rejected"]]
    lines += [
        f"in part   {_printable(source['name'])}: {counted(source['clips'], 'clip')}; {_printable(problem)}"
        for source in dataset["sources"]
        for problem in source["problems"]
    ]
    lines += [
        f"note      {_printable(source['name'])}: {_printable(note)}"
        for source in dataset["sources"]
        for note in source.get("notes", ())
    ]
    lines += [
        f"dropped   {counted(count, 'segment')}: {why}" for why, count in sorted(dataset["not_stabilised"].items())
    ]
    empty = [split for split, count in dataset["clips"].items() if not count]
    lines += [f"note      the split {split!r} got no clip: too few videos" for split in empty]
    return "\n".join(lines)


def _noted(dataset: dict[str, Any]) -> str:
    """How many of the inputs that were used were not taken just as they are."""
    count = sum("notes" in source for source in dataset["sources"])
    return f"; {counted(count, 'input')} with a note" if count else ""


def _printable(text: str) -> str:
    """One printable line of a name or a reason, whatever bytes are in it."""
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())
