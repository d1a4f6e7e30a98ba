"""Real videos and pictures for tests: every frame is flat, of a grey that tells its number."""

import contextlib
import hashlib
import io
import json
import socket
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tfvideogan.data import records
from tfvideogan.files import pictures

FIRST, STEP = 10, 20  # Frame i has the grey 10 + 20 i; the greys are so far apart that they survive any codec.


def numbered(numbers, height: int = 16, width: int = 16) -> np.ndarray:
    """The frames of these numbers (0 to 12), uint8 [T, H, W, 3]."""
    greys = np.array([FIRST + STEP * i for i in numbers], np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (len(greys), height, width, 3))


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers of the frames of one clip [T, H, W, 3], the inverse of `numbered`."""
    return np.rint((frames.mean(axis=(1, 2, 3)) - FIRST) / STEP).astype(int).tolist()


def write_video(path: Path, frames: np.ndarray, codec: str = "libx264", index_first: bool = False) -> Path:
    """Writes uint8 [T, H, W, 3] as a video by FFmpeg, in the container of the suffix.

    Args:
        index_first: whether an MP4 has its index before its frames, as files for the web do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream = container.add_stream(codec, rate=12, options={"g": "2", "bf": "0"} if codec == "libx264" else {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8", "ffv1": "bgr0"}.get(codec, "yuv420p")
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def write_interlaced(path: Path, frames: np.ndarray) -> Path:
    """Writes uint8 [T, H, W, 3] as a video whose frames are of two fields, the upper first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        options = {"crf": "1", "flags": "+ildct+ilme", "x264opts": "tff=1"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            out.mux(stream.encode(shown.reformat(format="yuv420p")))
        out.mux(stream.encode())
    return path


def write_pictures(folder: Path, frames: np.ndarray, name: str = "frame_{}.png", start: int = 0) -> Path:
    """Writes uint8 [T, H, W, 3] as a folder of pictures by Pillow, numbered from `start`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames, start):
        Image.fromarray(frame).save(folder / name.format(i))
    return folder


def one_transparent(path: Path, levels: np.ndarray, transparent: list[int], bits: int = 16) -> Path:
    """Writes a PNG, grey [H, W] or colours [H, W, 3], of which one level or colour is transparent."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], bits, 2 if levels.ndim == 3 else 0, 0, 0, 0)
    digits = (levels[..., None].astype(np.uint16) >> np.arange(bits)[::-1]) & 1
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in digits)
    chunks = chunk(b"IHDR", header) + chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def write_strip(path: Path, frames: np.ndarray) -> Path:
    """Writes uint8 [T, H, W, 3] as one picture of the frames under each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(frames)).save(path, quality=95)
    return path


def write_shard(path: Path, clips: list[np.ndarray], encoding: str = "png") -> Path:
    """Writes clips uint8 [T, H, W, 3] as a TFRecord shard; clip i is from `source{i}` and starts at its frame i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for i, clip in enumerate(clips):
            strip = pictures.encode_strip(clip, pictures.StripEncoding(encoding))
            writer.write(records.example(strip, len(clip), f"source{i}", i))
    return path


def write_dataset(folder: Path, splits: dict[str, list[list[np.ndarray]]], schema: int = 1) -> list[Path]:
    """Writes a data set of clips by split and shard, described as far as readers look, and returns its shards."""
    described, written = {}, []
    for split, shards in splits.items():
        for index, clips in enumerate(shards):
            path = write_shard(folder / f"{split}-{index:05d}-of-{len(shards):05d}.tfrecord", clips)
            entry = {"name": path.name, "records": len(clips), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            described.setdefault(split, []).append(entry)
            written.append(path)
    frames, size = written and clips[0].shape[:2]
    content = {"schema": schema, "num_frames": frames, "frame_size": size, "shards": described}
    (folder / "dataset.json").write_text(json.dumps(content))
    return written


def offsets(shard: Path) -> list[int]:
    """Where each record of a shard begins. It is a length (8 bytes), its checksum (4), data, and their checksum (4)."""
    content, starts = shard.read_bytes(), [0]
    while starts[-1] < len(content):
        starts.append(starts[-1] + 16 + int.from_bytes(content[starts[-1] : starts[-1] + 8], "little"))
    return starts[:-1]


def flip(path: Path, position: int) -> Path:
    """Flips one bit of a file, as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    return path


def cut(path: Path, share: float) -> Path:
    """Cuts a file off, as a broken download does, and keeps this share of it."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def free_ports(count: int) -> list[int]:
    """Free ports of this machine."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def process_status(pid: int | str = "self") -> dict[str, int]:
    """The numbers in the status of a process that Linux gives: VmRSS in kB, Threads, and so on."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = {name: rest.split() for name, rest in (line.split(":", 1) for line in lines)}
    return {name: int(rest[0]) for name, rest in words.items() if rest and rest[0].isdecimal()}


def picture(height: int = 40, width: int = 60, kind: str = "JPEG", mode: str = "RGB", **options) -> bytes:
    """A smooth picture as the bytes of a file."""
    coarse = np.random.default_rng(0).integers(0, 256, [5, 7, 3], np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(coarse).resize([width, height], Image.Resampling.BICUBIC).convert(mode)
    image.save(buffer, kind, **options)
    return buffer.getvalue()
