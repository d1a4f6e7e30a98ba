"""Files and names that make trouble, and what must become of each in a data set of clips of 4 frames of 16 x 16.

Frames are flat and numbered as in `made_files`, so what a clip holds can be told.
"""

import dataclasses
import gzip
import os
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
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"  # a program
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n../outside/video.mp4\n#EXT-X-ENDLIST\n"
_CANNOT_OPEN = r"Invalid data found|End of file|moov atom"


@dataclasses.dataclass(frozen=True)
class Evil:
    """A file that makes trouble, and what must become of it.

    Attributes:
        make: writes the file, or what belongs to it, at a path.
        reason: a pattern of the reason for which it is rejected or used in part; None if it is used in whole.
        clips: the numbers of each clip's frames; a rejected input has none.
        path: where `make` writes, if that is not the name of the input.
        ignored: whether it is no input at all.
    """

    make: Callable[[Path], object]
    reason: str | None = None
    clips: list[list[int]] = dataclasses.field(default_factory=list)
    path: str | None = None
    ignored: bool = False


FIRST, SECOND = [0, 1, 2, 3], [4, 5, 6, 7]


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


def _png(width: int, height: int) -> bytes:
    """A PNG of hardly any data that declares this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

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


def _corrupt(path: Path) -> None:
    made_files.cut(path, 0.6)


EVIL: dict[str, Evil] = {
    # Files that are empty, cut off, or of another kind than their name says.
    "zero.mp4": Evil(Path.touch, _CANNOT_OPEN),
    "zero_jpg": Evil(lambda p: write(p, b""), "0.jpg: not a picture", path="zero_jpg/0.jpg"),
    "zero_png": Evil(lambda p: write(p, b""), "0.png: not a picture", path="zero_png/0.png"),
    "cut, index at end.mp4": Evil(lambda p: cut_video(p, 0.6), _CANNOT_OPEN),
    "cut, index first.mp4": Evil(lambda p: cut_video(p, 0.7, index_first=True), "damaged from|cut off", [FIRST]),
    "cut.mkv": Evil(lambda p: cut_video(p, 0.7), "damaged from|cut off", [FIRST]),
    "cut.avi": Evil(lambda p: cut_video(p, 0.8, "mjpeg"), "damaged from|cut off|Invalid", [FIRST]),
    "broken in the middle.avi": Evil(broken_in_the_middle, "damaged before frame", [FIRST, SECOND]),
    "flipped bits.mp4": Evil(flipped_bits, "damaged from|Invalid data found"),
    "text.mp4": Evil(lambda p: write(p, b"Once upon a time.\n" * 50), _CANNOT_OPEN),
    "html.mp4": Evil(lambda p: write(p, b"<!DOCTYPE html><html><body>404 Not Found</body></html>"), _CANNOT_OPEN),
    "random.mp4": Evil(lambda p: write(p, np.random.default_rng(1).bytes(20_000)), _CANNOT_OPEN),
    "zeros.mp4": Evil(lambda p: write(p, bytes(20_000)), _CANNOT_OPEN),
    "gzip.mkv": Evil(lambda p: write(p, gzip.compress(bytes(9_999))), _CANNOT_OPEN),
    "picture.mp4": Evil(lambda p: renamed(p, "picture.jpg", picture), "1 frame, fewer than 4"),
    "video_as_jpg": Evil(
        lambda p: renamed(p, "a.mp4", video), "0.jpg: not a picture", path="video_as_jpg/0.jpg"
    ),
    "subtitles.srt": Evil(
        lambda p: write(p, b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n"), "no video in it|" + _CANNOT_OPEN
    ),
    "playlist.m3u8": Evil(lambda p: playlist(p, PLAYLIST), "no video in it"),
    "concat.mp4": Evil(lambda p: playlist(p, "ffconcat version 1.0\nfile good0.mp4\n"), "no video in it"),
    # Videos of odd kinds.
    "sound_wav.mp4": Evil(wav, "no video in it"),
    "sound_m4a.mp4": Evil(m4a, "no video in it"),
    "no frames.mp4": Evil(empty_container, "0 frames, fewer than 4|no video in it"),
    "one frame.mp4": Evil(lambda p: video(p, 1), "1 frame, fewer than 4"),
    "three frames.mp4": Evil(lambda p: video(p, 3), "3 frames, fewer than 4"),
    "odd size.mkv": Evil(lambda p: write_video(p, numbered(FIRST, 17, 31), "ffv1"), clips=[FIRST]),
    "tiny.mkv": Evil(lambda p: write_video(p, numbered(FIRST, 2, 2), "ffv1"), clips=[FIRST]),
    "thin.mkv": Evil(lambda p: write_video(p, numbered(FIRST, 2, 400), "ffv1"), clips=[FIRST]),
    "rate varies.mp4": Evil(with_gaps, clips=[FIRST, SECOND]),
    "rate varies.mkv": Evil(with_gaps, clips=[FIRST, SECOND]),
    "grows.h264": Evil(grows, clips=[FIRST, SECOND]),
    "animated.gif": Evil(lambda p: video(p, codec="gif"), clips=[FIRST, SECOND]),
    "large.y4m": Evil(lambda p: raw_video(p, 9000), "9000 x 9000 pixels are more than"),
    "huge.y4m": Evil(lambda p: raw_video(p, HUGE), "30000 x 30000 pixels are more than|busy"),
    # Pictures.
    "png_bomb": Evil(lambda p: write(p, _png(HUGE, HUGE)), r"0.png: .*900,?000,?000", path="png_bomb/0.png"),
    "png_large": Evil(lambda p: write(p, _png(9000, 9000)), "9000 x 9000 pixels are more", path="png_large/0.png"),
    "jpeg_bomb": Evil(huge_jpeg, r"0.jpg: .*900,?000,?000", path="jpeg_bomb/0.jpg"),
    "text_bomb": Evil(text_bomb, "0.png: damaged picture", path="text_bomb/0.png"),
    "postscript": Evil(lambda p: write(p, POSTSCRIPT), "0.jpg: not a picture", path="postscript/0.jpg"),
    "no_pixels": Evil(lambda p: write(p, _png(0, 16)), "0.png: ", path="no_pixels/0.png"),
    "mixed_sizes": Evil(mixed_sizes, clips=[FIRST]),
    "frame_cut": Evil(lambda p: frames(p, _corrupt), r"5.png: damaged picture", [FIRST, [6, 7, 8, 9]]),
    "frame_empty": Evil(lambda p: frames(p, lambda f: f.write_bytes(b"")), "5.png: not a", [FIRST, [6, 7, 8, 9]]),
    "first_frame_bad": Evil(
        lambda p: frames(p, lambda f: f.write_text("?"), 0), "0.png: not a", [[1, 2, 3, 4], [5, 6, 7, 8]]
    ),
    "bits_16": Evil(lambda p: pictures(p, "I;16"), clips=[FIRST]),
    "cmyk": Evil(lambda p: pictures(p, "CMYK", "jpg"), clips=[FIRST]),
    "rgba": Evil(lambda p: pictures(p, "RGBA"), clips=[FIRST]),
    "grey": Evil(lambda p: pictures(p, "L"), clips=[FIRST]),
    "palette": Evil(lambda p: pictures(p, "P"), clips=[FIRST]),
    "misnamed": Evil(lambda p: renamed_frames(p, "jpg", "png"), clips=[FIRST]),
    "few_frames": Evil(lambda p: write_pictures(p, numbered(range(3))), "3 frames, fewer than 4"),
    "strips_uneven/1.png": Evil(
        lambda p: strips(p, lambda s: write_strip(s, numbered(range(4), height=15))), "16 x 60 pixels are no vertical"
    ),
    "strips_cut/1.jpg": Evil(
        lambda p: strips(p, lambda s: made_files.cut(write_strip(s, numbered(range(4))), 0.5)), "damaged picture"
    ),
    "strips_square/1.jpg": Evil(lambda p: strips(p, picture), "16 x 16 pixels are no vertical strip"),
    # Names in the folder that are no files of the folder.
    "link out.mp4": Evil(link_out, "a link out of the folder"),
    "link to nothing.mp4": Evil(lambda p: link(p, "nothing.mp4"), "a link to nothing"),
    "link to itself.mp4": Evil(lambda p: link(p, p.name), "a link to nothing"),
    "link to a folder": Evil(link_to_folder, "a link to a folder"),
    "link up": Evil(lambda p: link(p, ".."), "a link to a folder"),
    "link inside.mp4": Evil(lambda p: link(p, "good0.mp4"), clips=[FIRST, SECOND]),
    "pipe.mp4": Evil(os.mkfifo, "no file, but a pipe"),
    "pipe.txt": Evil(os.mkfifo, "no file, but a pipe"),
    "pipe_jpg/0.jpg": Evil(os.mkfifo, "no file, but a pipe"),
    # Names.
    "two  words.mp4": Evil(video, clips=[FIRST, SECOND]),
    "Größe 天空 ☁.mp4": Evil(video, clips=[FIRST, SECOND]),
    "-v.mp4": Evil(video, clips=[FIRST, SECOND]),
    "new\nline.mp4": Evil(video, clips=[FIRST, SECOND]),
    "100%d%s.mp4": Evil(video, clips=[FIRST, SECOND]),
    "one,two.mp4": Evil(video, clips=[FIRST, SECOND]),
    "file:http:x.mp4": Evil(video, clips=[FIRST, SECOND]),
    "a*[b]?.mp4": Evil(video, clips=[FIRST, SECOND]),
    "no suffix": Evil(lambda p: renamed(p, "a.mp4", video), clips=[FIRST, SECOND]),
    "n" * 251 + ".mp4": Evil(video, clips=[FIRST, SECOND]),
    os.fsdecode(b"caf\xe9.mp4"): Evil(bad_name, clips=[FIRST, SECOND]),
    "folder.mp4/inside.mp4": Evil(video, clips=[FIRST, SECOND]),
    ".hidden.mp4": Evil(video, ignored=True),
    "notes.txt": Evil(lambda p: p.write_text("see cover.jpg\n"), ignored=True),
    "info.json": Evil(lambda p: p.write_text("{"), ignored=True),
}  # fmt: skip
GOOD = {f"good{i}.mp4": Evil(video, clips=[FIRST, SECOND]) for i in range(3)}


def make(folder: Path, evil: dict[str, Evil]) -> None:
    for name, entry in evil.items():
        path = folder / (entry.path or name)
        path.parent.mkdir(parents=True, exist_ok=True)
        entry.make(path)
