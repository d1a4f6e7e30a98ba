"""Clips on disk, the one door to PyAV: videos are read, GIFs and MP4s are written. Frames are uint8 RGB."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import GifImagePlugin, Image

from tfvideogan.config import UsageError
from tfvideogan.files import atomic, optional, paths
from tfvideogan.files.pictures import Fit, check_pixels

CLIP_SUFFIXES = (".gif", ".mp4")
_TEXT_FORMATS = {"tty", "ansi", "image2", "webvtt", "srt"}  # FFmpeg reads any text as "video" with these
_POINTER_FORMATS = {"hls", "dash", "concat", "imf", "sdp", "rtsp"}  # texts that name other files, wherever they lie
_ONLY_FILES = {"protocol_whitelist": "file"}  # nothing that a file names is fetched from a network


def read_video(path: str | Path, fit: Fit) -> Iterator[np.ndarray]:
    """The frames of a video in order, whatever their times, upright and scaled, uint8 [H, W, 3].

    Raises:
        UsageError: the file is missing, not a video, too large, or damaged from some frame on.
    """
    try:
        with paths.local(path) as file, av.open(str(Path(file).absolute()), options=_ONLY_FILES) as container:
            if container.format.name in _TEXT_FORMATS | _POINTER_FORMATS or not container.streams.video:
                raise UsageError(f"{path}: no video in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            check_pixels(path, stream.codec_context.width, stream.codec_context.height)
            start = (container.start_time or 0) / av.time_base
            count = 0
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise UsageError(f"{path}: damaged from frame {count + 1} on")
                scaled = frame.reformat(*fit(frame.width, frame.height), "rgb24", interpolation="AREA").to_ndarray()
                yield np.rot90(scaled, round(frame.rotation / 90))  # as the camera was held, counter-clockwise
                count += 1
            declared = _declared_frames(container, stream)
            if declared and not stream.frames and count and frame.time is not None:  # a rate that varies: by time
                count = max(count, round((frame.time - start) * stream.average_rate) + 1)
            if count < 0.9 * declared:  # FFmpeg takes a file that is cut off for one that ends
                raise UsageError(f"{path}: cut off after {count} of about {declared} frames")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"{path}: {error}") from error


def _declared_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int:
    """How many frames a video's header promises, 0 if it says nothing."""
    if stream.frames or not (container.duration and stream.average_rate):
        return stream.frames
    return int(container.duration / av.time_base * stream.average_rate)


def write_clip(path: str | Path, frames: np.ndarray, fps: int = 12) -> None:
    """Frames uint8 [T, H, W, 3] -> a GIF or an MP4, by the suffix of `path`; complete or not at all."""
    encode = encode_gif if Path(path).suffix.lower() == ".gif" else _encode_mp4
    atomic.write_bytes(path, encode(frames, fps))


def encode_gif(frames: np.ndarray, fps: int = 12) -> bytes:
    """Frames uint8 [T, H, W, 3] -> a looping GIF.

    One palette for all frames and no dithering, so that what is still stays still.
    """
    rows = Image.fromarray(frames[:: max(1, len(frames) // 8)].reshape(-1, frames.shape[2], 3))
    palette = rows.quantize(256, method=Image.Quantize.MEDIANCUT)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    # Frame by frame: Pillow's own save_all merges equal frames, and a still clip would lose its length.
    timing = {"duration": round(1000 / fps), "loop": 0}
    blocks = list(GifImagePlugin.getheader(images[0], info=timing)[0])
    for image in images:
        image.encoderinfo = {"optimize": False}
        blocks += GifImagePlugin.getdata(image, **timing)
    return b"".join(blocks) + b";"


def encode_summary(frames: np.ndarray, gif: bytes) -> bytes:
    """Frames uint8 [T, H, W, 3], and their GIF -> the GIF for TensorBoard, by tensorflow-io where it is installed."""
    if not optional.has_tensorflow_io():
        return gif
    encoded = optional.tensorflow_io().image.encode_gif(frames).numpy()
    colours = 13 + (3 << ((encoded[10] & 7) + 1) if encoded[10] & 0x80 else 0)  # where the global table ends
    return encoded[:colours] + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" + encoded[colours:]  # it plays once otherwise


def _encode_mp4(frames: np.ndarray, fps: int) -> bytes:
    """H.264 with even sides, which most players ask for: an odd side is padded by its last line."""
    frames = np.pad(frames, [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)], mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "16", "preset": "medium"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
