"""Pictures and clips on disk: the one door to Pillow and PyAV. Frames are uint8 RGB."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from PIL import GifImagePlugin, Image, ImageOps, UnidentifiedImageError

from tfvideogan.config import UsageError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
CLIP_SUFFIXES = (".gif", ".mp4")
MAX_PIXELS = 64_000_000  # of one picture; a larger one is refused from its header
_NOT_VIDEO_FORMATS = {"tty", "ansi", "image2", "webvtt", "srt"}  # FFmpeg reads text as "video" with these


def read_image(path: str | Path, size: int | None = None) -> np.ndarray:
    """A picture as uint8 [H, W, 3], squashed to `size` x `size` if given.

    Raises:
        UsageError: the file is missing, no picture, truncated, or declares over 64 million pixels.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UsageError(f"{path}: {image.width} x {image.height} pixels are more than {MAX_PIXELS:,}")
            frame = np.asarray(ImageOps.exif_transpose(_eight_bits(image)).convert("RGB"))
            return frame if size is None else resize(frame, size)
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UsageError(f"{path}: not a picture that Pillow can read") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"{path}: damaged picture ({error})") from error


def is_strip(path: str | Path) -> bool | None:
    """Whether a picture is, by its header, four or more square frames under each other; None if unreadable."""
    try:
        with Image.open(path) as image:
            return image.height % image.width == 0 and image.height >= 4 * image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits; Pillow's own conversion would cut it off at 255."""
    return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)) if image.mode.startswith("I") else image


def resize(frame: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] -> [size, size, 3], squashed without a crop, antialiased."""
    if frame.shape[:2] == (size, size):
        return frame
    return np.asarray(Image.fromarray(frame).resize([size, size], Image.Resampling.BILINEAR))


def read_video(path: str | Path, size: int) -> Iterator[np.ndarray]:
    """The frames of a video in order, upright, uint8 [size, size, 3], squashed.

    Raises:
        UsageError: the file is missing, not a video, or damaged from some frame on.
    """
    try:
        with av.open(str(path)) as container:
            if container.format.name in _NOT_VIDEO_FORMATS or not container.streams.video:
                raise UsageError(f"{path}: no video in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            count = 0
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise UsageError(f"{path}: damaged from frame {count + 1} on")
                squashed = frame.reformat(size, size, "rgb24", interpolation="AREA").to_ndarray()
                yield np.rot90(squashed, round(frame.rotation / 90))  # as the camera was held, counter-clockwise
                count += 1
            declared = _declared_frames(container, stream)
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
    write_bytes(path, encode(frames, fps))


def check_output(flag: str, path: str | Path, suffixes: tuple[str, ...] = CLIP_SUFFIXES) -> None:
    """Raises UsageError unless a file of this name and kind can be written; missing folders are made later."""
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--{flag} must end in {' or '.join(suffixes)}. Received: {path}")
    if path.is_dir():
        raise UsageError(f"--{flag} must be a file. Received: {path}, which is a folder")
    check_folder(flag, path.parent)


def check_folder(flag: str, path: str | Path) -> None:
    """Raises UsageError unless files can be written in this folder, which need not exist yet."""
    existing = next(folder for folder in [Path(path), *Path(path).absolute().parents] if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise UsageError(f"--{flag} cannot be written: {existing} is no folder that one can write to. Received: {path}")


def write_image(path: str | Path, image: np.ndarray) -> None:
    """uint8 [H, W, 3] -> a PNG; complete or not at all."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes beside `path`, then renames: readers never see half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


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
