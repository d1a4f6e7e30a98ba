"""Reads videos by PyAV, as they are shown and past what is damaged. Frames are uint8 RGB."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from tfvideogan.config import UsageError
from tfvideogan.files import paths
from tfvideogan.files.flatten import PAPER
from tfvideogan.files.pictures import Fit, check_pixels

logger = logging.getLogger("tfvideogan")

_TEXT_FORMATS = {"tty", "ansi", "webvtt", "srt", "tedcaptions", "subviewer", "microdvd"}  # Any text looks like these.
# These name other files anywhere, which FFmpeg opens before it has told the format, or they are devices.
_POINTER_FORMATS = {"hls", "dash", "concat", "imf", "sdp", "rtsp", "rtp", "sap", "image2", "image2pipe", "lavfi",
                    "vapoursynth", "avisynth", "vobsub", "mlv", "mpjpeg", "webm_dash_manifest", "hds",
                    "smoothstreaming"}  # fmt: skip
_FORMATS = av.formats_available - _TEXT_FORMATS - _POINTER_FORMATS
# Of all others FFmpeg tries the content, and it opens nothing but files.
_ONLY_FILES = {"protocol_whitelist": "file", "format_whitelist": ",".join(sorted(_FORMATS))}


def read_video(path: str | Path, fit: Fit) -> Iterator[np.ndarray]:
    """The frames of a video in order, whatever their times, upright and scaled, uint8 [H, W, 3].

    Raises:
        UsageError: the file is missing, not a video, too large, or damaged from some frame on.
    """
    for frame in read_past_damage(path, fit):
        if isinstance(frame, UsageError):
            raise frame
        yield frame


def read_past_damage(path: str | Path, fit: Fit) -> Iterator[np.ndarray | UsageError]:
    """The frames as `read_video` gives them, and errors in the places of those that are damaged.

    After damage the frames go on with the next good key frame, since those before it are made of damaged ones.

    Raises:
        UsageError: the file is missing, not a video, or too large.
    """
    try:
        with paths.local(path) as file, av.open(str(Path(file).absolute()), options=_ONLY_FILES) as container:
            if not container.streams.video:
                raise UsageError(f"{path}: no video in it")
            stream = _meant(container)
            stream.thread_type = "SLICE"  # Threads of whole frames would tell of damage frames too late.
            check_pixels(path, stream.codec_context.width, stream.codec_context.height)
            matrix = None
            for frame in _deinterlaced(path, stream, _decoded(path, container, stream)):
                if isinstance(frame, UsageError):
                    yield frame
                    continue
                matrix = matrix or _display_matrix(frame)
                yield _upright(_scaled(frame, stream, fit), *matrix)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except av.ArgumentError as error:  # FFmpeg answers so where a format is none of these.
        raise UsageError(f"{path}: no video in it") from error
    except av.InvalidDataError as error:
        raise UsageError(f"{path}: damaged, or not a video ({error.strerror})") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"{path}: {error}") from error


def _decoded(
    path: str | Path, container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame | UsageError]:
    """The frames that a stream shows, an error for each gap, and one if the file ends before its time."""
    damage = _Damage(path)
    start = end = (container.start_time or 0) / av.time_base
    for packet in container.demux():  # The ends of all streams tell how far the file reaches.
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream.index == stream.index:
            frames, failed = _frames_of(packet)
            damage.note(packet, failed)
            for frame in frames:
                yield from damage.passed_by(frame)
    declared = (container.duration or 0) / av.time_base
    if end - start < 0.9 * declared:  # FFmpeg takes a file that is cut off for one that ends.
        about = round(declared * float(stream.average_rate or 0)) or stream.frames
        yield UsageError(f"{path}: cut off after {damage.count} of about {about} frames")
    elif damage.at is not None:
        yield UsageError(f"{path}: damaged from frame {damage.first or damage.count + 1} on")


class GapError(UsageError):
    """The error in the place of damaged frames, with their number."""

    def __init__(self, message: str, frames: int):
        super().__init__(message)
        self.frames = frames


class _Damage:
    """Where a stream is damaged: from some time on, until the next good key frame.

    Attributes:
        count: the frames that came by.
        at: the time (pts) from which frames are damaged, or None.
        first: the number of the first such frame, from 1, or None if none came by as yet.
    """

    def __init__(self, path: str | Path):
        self._path, self.count, self.at, self.first = path, 0, None, None

    def note(self, packet: av.Packet, failed: bool) -> None:
        """Notes a packet that could not be decoded."""
        if failed and self.at is None:
            self.at = packet.pts or 0

    def passed_by(self, frame: av.VideoFrame) -> Iterator[av.VideoFrame | UsageError]:
        """The frame if it is good, behind an error if a gap ends with it."""
        self.count += 1
        time = frame.pts or 0
        if frame.is_corrupt:
            self.at = time if self.at is None else min(self.at, time)
        elif frame.key_frame and self.at is not None and time > self.at:
            lost = self.count - (self.first or self.count)
            where = f"from frame {self.first} to {self.count - 1}" if lost else f"before frame {self.count}"
            yield GapError(f"{self._path}: damaged {where}", lost)
            self.at = self.first = None
        if self.at is None or time < self.at:  # Frames before the damage may come after it.
            yield frame
        else:
            self.first = self.first or self.count


def _frames_of(packet: av.Packet) -> tuple[list[av.VideoFrame], bool]:
    """What a packet is decoded to, and whether it is damaged."""
    try:
        return packet.decode(), bool(packet.is_corrupt)
    except (av.InvalidDataError, av.PatchWelcomeError):
        return [], True


def _scaled(frame: av.VideoFrame, stream: av.VideoStream, fit: Fit) -> np.ndarray:
    """The frame with square pixels, on paper, and scaled."""
    aspect = float(stream.sample_aspect_ratio or 1)  # A pixel is so many times as wide as it is high.
    width = round(frame.width * aspect) if 0.1 <= aspect <= 10 else frame.width
    return _on_paper(frame).reformat(*fit(width, frame.height), "rgb24", interpolation="AREA").to_ndarray()


def _meant(container: av.container.InputContainer) -> av.VideoStream:
    """The video stream that players show: an attached cover is none."""
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    return next((s for s in container.streams.video if not s.disposition & covers), container.streams.video[0])


def _deinterlaced(
    path: str | Path, stream: av.VideoStream, frames: Iterator[av.VideoFrame | UsageError]
) -> Iterator[av.VideoFrame | UsageError]:
    """The same, but from the first interlaced frame on they pass FFmpeg's bwdif, one for one."""
    graph, is_noted = None, False
    for frame in frames:
        if isinstance(frame, UsageError):
            yield from _drained(graph)
            graph = None
            yield frame
            continue
        if graph is None and frame.interlaced_frame:
            if not is_noted:
                logger.warning("%s: interlaced; FFmpeg's filter bwdif makes whole frames of it", path)
            is_noted = True
            graph = _filter(stream, "bwdif", "mode=send_frame:deint=interlaced")
        if graph is None:
            yield frame
        else:
            graph.push(frame)
            yield from _pulled(graph)
    yield from _drained(graph)


def _drained(graph: av.filter.Graph | None) -> Iterator[av.VideoFrame]:
    """The frames that a filter still holds."""
    if graph:
        graph.push(None)
        yield from _pulled(graph)


def _filter(stream: av.VideoStream, name: str, options: str) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.link_nodes(graph.add_buffer(template=stream), graph.add(name, options), graph.add("buffersink")).configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    with contextlib.suppress(av.FFmpegError, EOFError):  # The filter has no frame ready, or no more.
        while True:
            yield graph.pull()


def _on_paper(frame: av.VideoFrame) -> av.VideoFrame:
    """The frame with PAPER behind what is transparent."""
    if not any(component.is_alpha for component in frame.format.components):
        return frame
    values = frame.to_ndarray(format="rgba").astype(np.uint16)
    alpha = values[..., 3:]
    mixed = (values[..., :3] * alpha + np.uint16(PAPER) * (255 - alpha) + 127) // 255
    return av.VideoFrame.from_ndarray(mixed.astype(np.uint8), format="rgb24")


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """(a, b, c, d): a pixel (x, y) is shown at (a x + c y, b x + d y).

    It is read of the first frame and holds for all: a frame whose side data were looked at stays in memory until
    Python's collector finds it.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = map(int, np.frombuffer(bytes(data), np.int32)[:5])
    return a, b, c, d


def _upright(picture: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """The picture turned and mirrored as its display matrix asks, in steps of 90 degrees."""
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
