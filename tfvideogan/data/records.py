"""The one place for the TFRecord schema: a clip as a film-strip, shards of them, and `dataset.json`.

    OUTPUT/dataset.json                      counts, sources, options, rejected inputs, shards with checksums
    OUTPUT/train-00000-of-00012.tfrecord     tf.train.Examples:

    strip   bytes   JPEG or PNG, T frames of S x S pixels under each other
    frames  int64   T
    source  bytes   the input's name
    start   int64   the number of the clip's first frame in it

A strip rather than T pictures: one decoding instead of T, and T - 1 headers fewer.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import google_crc32c
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.files import paths

SCHEMA = 1
DATASET = "dataset.json"
SUFFIX = ".tfrecord"
UNFINISHED = ".unfinished"  # where a data set lies until it is complete
_LENGTH, _CHECK = struct.Struct("<Q"), struct.Struct("<I")
_LARGEST_RECORD = 2**31


def example(strip: bytes, frames: int, source: str, start: int) -> bytes:
    """A serialised record of one clip."""

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "strip": of_bytes(strip),
        "frames": of_int(frames),
        "source": of_bytes(source.encode("utf-8", "surrogateescape")),
        "start": of_int(start),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def decode(serialized: tf.Tensor, num_frames: int, frame_size: int) -> tf.Tensor:
    """A record -> uint8 [T, S, S, 3]; an error in the graph if it holds another shape."""
    spec = {"strip": tf.io.FixedLenFeature([], tf.string)}
    strip = tf.io.decode_image(tf.io.parse_single_example(serialized, spec)["strip"], 3, expand_animations=False)
    return tf.reshape(strip, [num_frames, frame_size, frame_size, 3])


def describe(serialized: bytes) -> dict[str, Any]:
    """What a record says: `frames`, `size`, `source`, `start`; its strip is decoded.

    Raises:
        ValueError: it is no record of this schema, or its strip is damaged or of another shape.
    """
    try:
        features = tf.train.Example.FromString(serialized).features.feature
        said = {name: features[name].int64_list.value[0] for name in ("frames", "start")}
        said["source"] = features["source"].bytes_list.value[0].decode("utf-8", "surrogateescape")
        height, width = tf.io.decode_image(features["strip"].bytes_list.value[0], 3, expand_animations=False).shape[:2]
    except (tf.errors.InvalidArgumentError, IndexError) as error:
        raise ValueError(f"no clip of schema {SCHEMA}: {str(error).splitlines()[0]}") from error
    except Exception as error:  # protobuf's DecodeError has no public base that all versions share
        raise ValueError(f"no clip of schema {SCHEMA}: {type(error).__name__}") from error
    if height != width * said["frames"]:
        raise ValueError(f"a strip of {width} x {height} pixels for {said['frames']} frames")
    return said | {"size": width}


@dataclasses.dataclass(frozen=True)
class BadRecord:
    """What is wrong with a record; `last` if nothing behind it can be read."""

    reason: str
    last: bool


def scan(shard: str | paths.Path) -> Iterator[bytes | BadRecord]:
    """Every record of a shard in order, its checksums checked.

    TensorFlow's own reader stops at the first damaged record without a word on its
    number; this one goes on behind it where the lengths can be trusted.
    """
    with paths.path(shard).open("rb") as file:
        while header := file.read(_LENGTH.size + _CHECK.size):
            if len(header) < _LENGTH.size + _CHECK.size:
                yield BadRecord("cut off in its length", last=True)
                return
            (length,), (check,) = _LENGTH.unpack(header[: _LENGTH.size]), _CHECK.unpack(header[_LENGTH.size :])
            if _masked_crc(header[: _LENGTH.size]) != check or length > _LARGEST_RECORD:
                yield BadRecord("its length does not match its checksum", last=True)
                return
            content = file.read(length + _CHECK.size)
            if len(content) < length + _CHECK.size:
                yield BadRecord("cut off", last=True)
                return
            data, (check,) = content[:length], _CHECK.unpack(content[length:])
            yield data if _masked_crc(data) == check else BadRecord("its data do not match their checksum", last=False)


def _masked_crc(data: bytes) -> int:
    """TFRecord's CRC32C, rotated and shifted so that checksums of checksums stay apart."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_dataset(folder: str | paths.Path) -> dict[str, Any]:
    """`dataset.json` of a folder.

    Raises:
        UsageError: it cannot be read, or is of another schema.
    """
    path = paths.path(folder) / DATASET
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["schema"]
        shards = content["shards"]
        _ = content["num_frames"], content["frame_size"]
        _ = [(shard["name"], shard["records"]) for of_split in shards.values() for shard in of_split]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError) as error:
        raise UsageError(f"{path}: not a data set's description: {error}") from error
    if found != SCHEMA:
        raise UsageError(f"{path}: schema {found!r}, this version reads schema {SCHEMA}")
    return content


def find_shards(data: str) -> list[str] | None:
    """The shards that a name means, or None if it means none.

    A data set's folder (its `train` split, or the only one), `FOLDER/SPLIT` of one, a
    glob, a single shard, or a folder with shards and no description.

    Raises:
        UsageError: a data set without the split, or one that was not finished.
    """
    where = paths.path(data)
    if _is_glob(data) and not where.exists():
        found = sorted(name for name in tf.io.gfile.glob(data) if name.endswith(SUFFIX))
        if found:
            return found
    if where.suffix == SUFFIX and where.is_file():
        return [str(where)]
    for folder, split in ((where, None), (where.parent, where.name)):
        if (folder / DATASET).is_file() and not (split and (where.exists() or _is_glob(split))):
            return _of_split(folder, split)
    if where.is_dir() and (where / UNFINISHED).exists():
        raise UsageError(f"{data} is a data set that was not finished; the same prepare_data command goes on with it")
    if where.is_dir():
        return sorted(str(path) for path in where.iterdir() if path.suffix == SUFFIX) or None
    return None


def _is_glob(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _of_split(folder: paths.Path, split: str | None) -> list[str]:
    shards = read_dataset(folder)["shards"]
    split = split or ("train" if "train" in shards else next(iter(shards), ""))
    if split not in shards:
        raise UsageError(f"{folder} has the splits {', '.join(shards)}. Received: {split!r}")
    return [str(folder / shard["name"]) for shard in shards[split]]


def expected(shards: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the `dataset.json` beside each shard says of it: `records`, `sha256`, and its clips' `frames` and `size`."""
    found = {}
    for folder in {paths.path(shard).parent for shard in shards}:
        if (folder / DATASET).is_file():
            dataset = read_dataset(folder)
            shape = {"frames": dataset["num_frames"], "size": dataset["frame_size"]}
            for of_split in dataset["shards"].values():
                found |= {str(folder / shard["name"]): shard | shape for shard in of_split}
    return found


def shard_name(split: str, index: int, count: int) -> str:
    """`train-00003-of-00012.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}{SUFFIX}"
