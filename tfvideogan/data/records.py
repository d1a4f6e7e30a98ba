"""The schema of a data set: clips as film-strips in TFRecord shards, and `dataset.json`.

    OUTPUT/dataset.json                      counts, sources, options, rejected inputs, shards with checksums
    OUTPUT/train-00000-of-00012.tfrecord     tf.train.Examples:

    strip   bytes   JPEG or PNG, T frames of S x S pixels under each other
    frames  int64   T
    source  bytes   the name of the input that the clip was cut from
    start   int64   the number of the clip's first frame in that input

A clip is one strip and not T pictures, as that takes one decoding and one header instead of T.
"""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import tensorflow as tf

from tfvideogan.config import UsageError
from tfvideogan.files import declared, paths, pictures

SCHEMA = 1
DATASET = "dataset.json"
SUFFIX = ".tfrecord"
UNFINISHED = ".unfinished"  # A data set lies in this folder of its own until it is complete.
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
    """The clip of a record, uint8 [T, S, S, 3]; a record of another shape raises InvalidArgumentError.

    The shape is the one that the strip's header declares, so that nothing of another size is decoded.
    """
    spec = {"strip": tf.io.FixedLenFeature([], tf.string)}
    strip = tf.io.parse_single_example(serialized, spec)["strip"]
    size = _declared_shape(strip)
    fits = tf.reduce_all(size == [num_frames * frame_size, frame_size])
    message = f"a strip of {num_frames} frames of {frame_size} pixels was expected. Received height and width:"
    strip = tf.io.decode_image(declared.require(strip, fits, message, size), 3, expand_animations=False)
    return tf.reshape(strip, [num_frames, frame_size, frame_size, 3])


def describe(serialized: bytes) -> dict[str, Any]:
    """The `frames`, `size`, `source` and `start` of a record, whose strip is decoded to check it.

    Raises:
        ValueError: this is no record of the schema, or its strip is damaged, too large or has another shape.
    """
    fields, strip = _fields(serialized)
    try:
        height, width = _declared_shape(strip).numpy().tolist()
        if height == width * fields["frames"] and width * height <= pictures.MAX_PIXELS:
            tf.io.decode_image(strip, 3, expand_animations=False)
    except tf.errors.OpError as error:
        # Of what TensorFlow raises, the reason stands behind a list of calls, and among names of nodes.
        last = str(error).partition("\n\t [[")[0].splitlines()[-1]
        reason = re.sub(r"\{\{.*?\}\} | \[Op:.*", "", last)
        raise ValueError(f"no clip of schema {SCHEMA}: {reason}") from error
    if height != width * fields["frames"]:
        raise ValueError(f"a strip of {width} x {height} pixels for {fields['frames']} frames")
    if width * height > pictures.MAX_PIXELS:
        raise ValueError(f"a strip of {width} x {height} pixels, which are more than {pictures.MAX_PIXELS:,}")
    return fields | {"size": width}


def declared_shape(serialized: bytes) -> tuple[int, int]:
    """Frames and pixels a side that the fields of a record and the header of its strip declare; nothing is decoded.

    Raises:
        ValueError: this is no record of the schema, or its strip is no JPEG or PNG, or one of another shape.
    """
    fields, strip = _fields(serialized)
    width, height = pictures.strip_size(strip)
    if height != width * fields["frames"]:
        raise ValueError(f"a strip of {width} x {height} pixels for {fields['frames']} frames")
    return fields["frames"], width


def _fields(serialized: bytes) -> tuple[dict[str, Any], bytes]:
    """The `frames`, `start` and `source` of a record, and its strip. Raises ValueError for a record of no clip."""
    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except Exception as error:  # The versions of protobuf share no public base class of DecodeError.
        raise ValueError(f"no clip of schema {SCHEMA}: {type(error).__name__}") from error
    numbers = {name: _only(name, features[name].int64_list.value) for name in ("frames", "start")}
    source, strip = (_only(name, features[name].bytes_list.value) for name in ("source", "strip"))
    return numbers | {"source": source.decode("utf-8", "surrogateescape")}, strip


def _only(name: str, values: Sequence[Any]) -> Any:
    """The one value of a field. Raises ValueError if it has none of its type, or several."""
    if len(values) != 1:
        raise ValueError(f"no clip of schema {SCHEMA}: {len(values)} values in place of one as its {name}")
    return values[0]


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _declared_shape(strip: tf.Tensor) -> tf.Tensor:
    """Height and width as the header of a strip has them; a graph, since op by op it takes longer than decoding."""
    return declared.shape(strip, "strips")


def source_of(serialized: bytes) -> bytes:
    """The name of the input that the clip of a record was cut from; nothing is decoded."""
    return tf.train.Example.FromString(serialized).features.feature["source"].bytes_list.value[0]


@dataclasses.dataclass(frozen=True)
class BadRecord:
    """Why a record cannot be read; it is `last` if nothing behind it can be read either."""

    reason: str
    last: bool


def scan(shard: str | paths.Path) -> Iterator[bytes | BadRecord]:
    """Every record of a shard in order, its checksums checked.

    TensorFlow's own reader stops at the first damaged record and does not tell its number. This one goes on with the
    next record, as long as the lengths can be trusted.
    """
    with paths.path(shard).open("rb") as file:
        while (record := _next(file)) is not None:
            yield record
            if isinstance(record, BadRecord) and record.last:
                return


def read(shard: str | paths.Path, start: int) -> bytes:
    """The record that begins at the byte `start` of a shard.

    Raises:
        ValueError: no undamaged record begins there, or the shard cannot be read.
    """
    try:
        with paths.path(shard).open("rb") as file:
            file.seek(start)
            record = _next(file)
    except (OSError, tf.errors.OpError) as error:
        raise ValueError(f"{shard}: {paths.first_line(error)}") from error
    if not isinstance(record, bytes):
        raise ValueError(f"{shard}: the record at byte {start}: {record.reason if record else 'cut off'}")
    return record


def size_on_disk(record: bytes) -> int:
    """The bytes that a record takes in its shard: its length, the length's checksum, its data, and their checksum."""
    return _LENGTH.size + _CHECK.size + len(record) + _CHECK.size


def _next(file: BinaryIO) -> bytes | BadRecord | None:
    """The record at the position of an open shard, which moves behind it, or None at the end."""
    header = file.read(_LENGTH.size + _CHECK.size)
    if not header:
        return None
    if len(header) < _LENGTH.size + _CHECK.size:
        return BadRecord("cut off in its length", last=True)
    (length,), (check,) = _LENGTH.unpack(header[: _LENGTH.size]), _CHECK.unpack(header[_LENGTH.size :])
    if _masked_crc(header[: _LENGTH.size]) != check or length > _LARGEST_RECORD:
        return BadRecord("its length does not match its checksum", last=True)
    data, check = file.read(length), file.read(_CHECK.size)
    if len(check) < _CHECK.size:
        return BadRecord("cut off", last=True)
    if _CHECK.pack(_masked_crc(data)) != check:
        return BadRecord("its data do not match their checksum", last=False)
    return data


def _masked_crc(data: bytes) -> int:
    """The CRC32C of data, masked as TFRecords want it: rotated, and a constant added."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_dataset(folder: str | paths.Path) -> dict[str, Any]:
    """The content of a folder's `dataset.json`.

    Raises:
        UsageError: the file cannot be read, or is of another schema.
    """
    path = paths.path(folder) / DATASET
    try:
        content = paths.parse_json(paths.read_text(path))
        schema = content["schema"]
        _ = content["num_frames"], content["frame_size"]
        _ = [(shard["name"], shard["records"]) for shards in content["shards"].values() for shard in shards]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, tf.errors.OpError) as error:
        raise UsageError(f"{path}: not a data set's description: {error}") from error
    names = [shard["name"] for shards in content["shards"].values() for shard in shards]
    wrong = [name for name in names if not (isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name, re.ASCII))]
    if wrong:
        raise UsageError(f"{path}: shards must be files beside it, by their plain names. Received: {wrong[0]!r}")
    if schema != SCHEMA:
        raise UsageError(f"{path}: schema {schema!r}, this version reads schema {SCHEMA}")
    return content


def find_shards(data: str) -> list[str] | None:
    """The shards that a name stands for, or None if it stands for none.

    The name may be the folder of a data set (which stands for its `train` split, or its only one), `FOLDER/SPLIT`, a
    glob, a single shard, or a folder of shards without a `dataset.json`.

    Raises:
        UsageError: the data set has no such split, or was not finished.
    """
    where = paths.path(data)
    if _is_glob(data) and not where.exists():
        matches = sorted(name for name in tf.io.gfile.glob(data) if name.endswith(SUFFIX))
        if matches:
            return matches
    if where.suffix == SUFFIX and paths.is_file(where):
        return [str(where)]
    for folder, split in ((where, None), (where.parent, where.name)):
        if paths.is_file(folder / DATASET) and not (split and (where.exists() or _is_glob(split))):
            return _shards_of_split(folder, split)
    if where.is_dir() and (where / UNFINISHED).exists():
        raise UsageError(f"{data} is a data set that was not finished; the same prepare_data command goes on with it")
    if where.is_dir():
        return sorted(str(path) for path in where.iterdir() if path.suffix == SUFFIX and paths.is_file(path)) or None
    return None


def _is_glob(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _shards_of_split(folder: paths.Path, split: str | None) -> list[str]:
    """The shards of a split, of `train` by default, or of the only split."""
    shards = read_dataset(folder)["shards"]
    split = split or ("train" if "train" in shards else next(iter(shards), ""))
    if split not in shards:
        raise UsageError(f"{folder} has the splits {', '.join(shards)}. Received: {split!r}")
    files = [folder / shard["name"] for shard in shards[split]]
    for path in files:
        local = not paths.is_remote(path) and Path(path).exists()
        if local and (not paths.is_file(path) or Path(path).resolve().parent != Path(folder).resolve()):
            raise UsageError(f"{path} is no regular file of its folder, and no shard")
    return list(map(str, files))


def expected(shards: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`records` and `sha256` of each shard and `frames` and `size` of its clips, by the `dataset.json` beside it."""
    entries = {}
    for folder in {paths.path(shard).parent for shard in shards}:
        if paths.is_file(folder / DATASET):
            dataset = read_dataset(folder)
            shape = {"frames": dataset["num_frames"], "size": dataset["frame_size"]}
            for of_split in dataset["shards"].values():
                entries |= {str(folder / shard["name"]): shard | shape for shard in of_split}
    return entries


def count_sources(shards: Sequence[str]) -> int | None:
    """How many inputs the clips of these shards' splits are of, by the one `dataset.json` beside them, if it tells."""
    folders = {paths.path(shard).parent for shard in shards}
    if len(folders) != 1 or not (folders.copy().pop() / DATASET).is_file():
        return None
    dataset = read_dataset(folders.pop())
    names = {paths.path(shard).name for shard in shards}
    splits = {split for split, described in dataset["shards"].items() if names & {shard["name"] for shard in described}}
    return sum(source.get("split") in splits for source in dataset.get("sources", [])) or None


def shard_name(split: str, index: int, count: int) -> str:
    """The file name of a shard, as `train-00003-of-00012.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}{SUFFIX}"
