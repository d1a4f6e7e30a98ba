"""Files and names that make trouble, and what must become of each in a data set of clips of 4 frames of 16 x 16.

Frames are flat and numbered as in `made_files`, so what a clip holds can be told. `evil_makers` writes the files.
"""

import dataclasses
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.helpers import made_files
from tests.helpers.evil_makers import (
    FIRST,
    HUGE,
    SECOND,
    bad_name,
    broken_in_the_middle,
    corrupt,
    cut_video,
    empty_container,
    flipped_bits,
    frames,
    grows,
    huge_jpeg,
    link,
    link_out,
    link_to_folder,
    m4a,
    mixed_sizes,
    picture,
    pictures,
    playlist,
    png,
    raw_video,
    renamed,
    renamed_frames,
    strips,
    text_bomb,
    video,
    wav,
    with_gaps,
    write,
)
from tests.helpers.made_files import numbered, write_pictures, write_strip, write_video

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
    "png_bomb": Evil(lambda p: write(p, png(HUGE, HUGE)), r"0.png: .*900,?000,?000", path="png_bomb/0.png"),
    "png_large": Evil(lambda p: write(p, png(9000, 9000)), "9000 x 9000 pixels are more", path="png_large/0.png"),
    "jpeg_bomb": Evil(huge_jpeg, r"0.jpg: .*900,?000,?000", path="jpeg_bomb/0.jpg"),
    "text_bomb": Evil(text_bomb, "0.png: damaged picture", path="text_bomb/0.png"),
    "postscript": Evil(lambda p: write(p, POSTSCRIPT), "0.jpg: not a picture", path="postscript/0.jpg"),
    "no_pixels": Evil(lambda p: write(p, png(0, 16)), "0.png: ", path="no_pixels/0.png"),
    "mixed_sizes": Evil(mixed_sizes, clips=[FIRST]),
    "frame_cut": Evil(lambda p: frames(p, corrupt), r"5.png: damaged picture", [FIRST, [6, 7, 8, 9]]),
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
