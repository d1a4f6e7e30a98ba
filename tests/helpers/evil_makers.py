"""What writes the files of `evil_files`, each at a path."""

import struct
import wave
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, PngImagePlugin

from tests.helpers import made_files
from tests.helpers.made_files import numbered, write_pictures, write_strip, write_video

HUGE = 30_000  # pixels a side
FIRST, SECOND = [0, 1, 2, 3], [4, 5, 6, 7]  # the frames of the clips of a video of eight


def textured(count: int, side: int = 64) -> np.ndarray:
    """Numbered frames with a little noise, so that each has a size in the file."""
    noise = np.random.default_rng(0).integers(-6, 7, [count, side, side, 1])
    return (numbered(range(count), side, side) + noise).astype(np.uint8)


def video(path: Path, count: int = 8, **options) -> Path:
    return write_video(path, numbered(range(count)), **options)


def cut_video(path: Path, share: float, codec: str = "libx264", index_first: bool = False) -> Path:
    return made_files.cut(write_video(path, textured(12), codec, index_first), share)


def broken_in_the_middle(path: Path) -> None:
    """A video of twelve JPEGs, of which the ninth is overwritten with zeros, its header too."""
    write_video(path, textured(12), "mjpeg")
    content = path.read_bytes()
    starts = [i for i in range(len(content) - 2) if content[i : i + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 12
    path.write_bytes(content[: starts[8]] + bytes(starts[9] - starts[8] - 64) + content[starts[9] - 64 :])


def flipped_bits(path: Path) -> None:
    """A video as a bad disk returns it, with every fifth byte of its second half changed."""
    content = np.frombuffer(write_video(path, textured(12), index_first=True).read_bytes(), np.uint8).copy()
    content[len(content) // 2 :: 5] ^= 0x5A
    path.write_bytes(content.tobytes())


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def renamed(path: Path, name: str, make: Callable[[Path], object]) -> None:
    """Makes a file of one name and gives it another."""
    beside = path.with_name(name)
    make(beside)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.rename(path)


def picture(path: Path, *, size: int = 16) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), (10, 10, 10)).save(path)


def empty_container(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.height = stream.width = 16
        stream.pix_fmt = "yuv420p"
        container.start_encoding()


def wav(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "NONE"))
        file.writeframes(bytes(16_000))


def m4a(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros([1, 8000], np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())


def with_gaps(path: Path) -> None:
    """Frames at 0, 1, 2, 10, 11, 12, 40 and 41 twelfths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"g": "2", "bf": "0"})
        stream.height = stream.width = 16
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 12)
        for frame, pts in zip(numbered(range(8)), (0, 1, 2, 10, 11, 12, 40, 41), strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 12)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def grows(path: Path) -> None:
    """A video whose frames change their size half-way."""
    parts = [path.with_name(f"part{side}.h264") for side in (32, 64)]
    for part, frames in zip(parts, (FIRST, SECOND), strict=True):
        write_video(part, numbered(frames, *[int(part.stem[4:])] * 2))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A PNG of hardly any data that declares this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def huge_jpeg(path: Path) -> None:
    picture(path)
    content = path.read_bytes()
    size = content.index(b"\xff\xc0") + 5  # behind the marker: length (2), bits (1), height, width
    path.write_bytes(content[:size] + struct.pack(">HH", HUGE, HUGE) + content[size + 4 :])


def text_bomb(path: Path) -> None:
    """A PNG whose comment unpacks to 128 MB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", " " * 2**27, zip=True)
    Image.new("RGB", (16, 16)).save(path, pnginfo=comment)


def raw_video(path: Path, side: int) -> None:
    path.write_bytes(f"YUV4MPEG2 W{side} H{side} F12:1 Ip A1:1 C420jpeg\n".encode() + b"FRAME\n" + bytes(1000))


def pictures(path: Path, mode: str, suffix: str = "png", count: int = 4) -> None:
    """Frames as Pillow stores them in another mode."""
    path.mkdir(parents=True)
    for i, frame in enumerate(numbered(range(count))):
        if mode == "I;16":
            image = Image.fromarray(frame[..., 0].astype(np.uint16) * 257)
        else:
            image = Image.fromarray(frame).convert(mode)
        image.save(path / f"{i}.{suffix}")


def frames(path: Path, damage: Callable[[Path], object], damaged: int = 5) -> None:
    write_pictures(path, numbered(range(10)), "{}.png")
    damage(path / f"{damaged}.png")


def mixed_sizes(path: Path) -> None:
    for i, size in enumerate(((16, 16), (40, 12), (9, 33), (64, 64))):
        write_pictures(path, numbered([i], *size), "{}.png", start=i)


def renamed_frames(path: Path, suffix: str, false_suffix: str) -> None:
    pictures(path, "RGB", suffix)
    for file in path.iterdir():
        file.rename(file.with_suffix(f".{false_suffix}"))


def strips(path: Path, make: Callable[[Path], object]) -> None:
    """A picture that is no good strip, behind a good one in the same folder."""
    write_strip(path.parent / "0.png", numbered(range(4)))
    make(path)


def link(path: Path, target: str | Path) -> None:
    path.symlink_to(target)


def link_out(path: Path) -> None:
    link(path, video(path.parent.parent / "outside" / "video.mp4"))


def link_to_folder(path: Path) -> None:
    link(path, video(path.parent.parent / "outside" / "more" / "video.mp4").parent)


def playlist(path: Path, text: str) -> None:
    """A text that names a video elsewhere, which FFmpeg would open."""
    video(path.parent.parent / "outside" / "video.mp4")
    path.write_text(text)


def bad_name(path: Path) -> None:
    """A name in Latin-1, as old archives have them, which is no valid UTF-8."""
    video(path.with_name("latin.mp4")).rename(path)


def corrupt(path: Path) -> None:
    made_files.cut(path, 0.6)


def many_scans(path: Path) -> Path:
    """A progressive JPEG of a few hundred kilobytes, whose last scan comes many times: minutes to decode."""
    Image.new("L", (4000, 4000)).save(path, "JPEG", progressive=True)
    content = path.read_bytes()
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * 2000 + content[-2:])
    return path
