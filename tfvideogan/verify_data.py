"""Reads every record of a data set, checks it, and names each bad shard and record.

python -m tfvideogan.verify_data --data=records/mine

Checksums, decoding and shapes are checked. A table has a line for each shard. The exit status is 0 if all is well, and
1 if something is damaged or missing.
"""

from __future__ import annotations

from typing import Any

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    cli.flags.DEFINE_string("data", None, "required: folder of a data set, a glob of TFRecord shards, or one shard")


def main() -> int:
    cli.require("data")
    data = cli.flags.FLAGS.data
    cli.load_tensorflow()
    from tfvideogan.data import records
    from tfvideogan.data.wording import counted

    shards = _shards(data)
    if not shards:
        raise UsageError(f"--data must be a data set, TFRecord shards or a glob of them. Received: {data!r}")
    expected, problems = records.expected(shards), []
    print(f"{'records':>8}{'MB':>9}  {'frames':<12}{'shard'}")
    for shard in shards:
        line, faults = verify(shard, expected.get(shard, {}))
        print(line, flush=True)
        problems += faults
    for problem in problems:
        print(f"BAD  {problem}")
    print(f"{counted(len(shards), 'shard')}, {counted(len(problems), 'problem')}")
    return 1 if problems else 0


def _shards(data: str) -> list[str] | None:
    """All shards of a data set, of every split; or the shards that the name stands for in a training."""
    from tfvideogan.data import records
    from tfvideogan.files import paths

    folder = paths.path(data)
    if not paths.is_file(folder / records.DATASET):
        return records.find_shards(data)
    of_splits = records.read_dataset(data)["shards"].values()
    return [str(folder / shard["name"]) for of_split in of_splits for shard in of_split]


def verify(shard: str, expected: dict[str, Any]) -> tuple[str, list[str]]:
    """A shard's line of the table, and what is wrong with the shard.

    Args:
        expected: `records`, `sha256`, `frames` and `size` as far as they are known.
    """
    import tensorflow as tf

    from tfvideogan.data import records
    from tfvideogan.data.wording import counted
    from tfvideogan.files import checksums, paths

    shapes, problems, count, size = set(), [], 0, f"{'-':>9}"
    try:
        for count, record in enumerate(records.scan(shard), 1):
            fault = _fault(record, shapes, expected)
            problems += [f"{shard}: record {count - 1}: {fault}"] if fault else []
        size = f"{paths.path(shard).stat().length / 2**20:9.1f}"
        if "sha256" in expected and not problems and checksums.sha256(shard) != expected["sha256"]:
            problems.append(f"{shard}: does not match its SHA-256 in {records.DATASET}")
        if count != expected.get("records", count):
            problems.append(f"{shard}: {counted(count, 'record')}, {expected['records']} expected")
    except (FileNotFoundError, tf.errors.NotFoundError):
        problems.append(f"{shard}: no such file")
    except (OSError, tf.errors.OpError) as error:
        problems.append(f"{shard}: cannot be read: {' '.join(str(error).split())}")
    shown = ", ".join(f"{frames} x {side}px" for frames, side in sorted(shapes)) or "-"
    return f"{count:8}{size}  {shown:<11} {shard}{'  BAD' if problems else ''}", problems


def _fault(record: Any, shapes: set[tuple[int, int]], expected: dict[str, Any]) -> str | None:
    """What is wrong with one record, or None. The (frames, size) of the clip are added to `shapes`."""
    from tfvideogan.data import records

    if isinstance(record, records.BadRecord):
        return record.reason + (", nothing behind it can be read" if record.last else "")
    try:
        clip = records.describe(record)
    except ValueError as error:
        return str(error)
    shapes.add((clip["frames"], clip["size"]))
    asked = {name: expected[name] for name in ("frames", "size") if name in expected}
    if any(clip[name] != value for name, value in asked.items()):
        return f"{clip['frames']} frames of {clip['size']} pixels, where {asked} were expected"
    return None


if __name__ == "__main__":
    cli.run(define_flags, main)
