"""Pictures and clips on disk: the one door to Pillow and PyAV. Frames are uint8 RGB."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from PIL import GifImagePlugin, Image, ImageOps, UnidentifiedImageError

from tfvideogan.config import UsageError
from tfvideogan.files import paths

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # not EPS, a program
CLIP_SUFFIXES = (".gif", ".mp4")
MAX_PIXELS = 64_000_000  # of one picture; a larger one is refused from its header
_TEXT_FORMATS = {"tty", "ansi", "image2", "webvtt", "srt"}  # FFmpeg reads any text as "video" with these
_POINTER_FORMATS = {"hls", "dash", "concat", "imf", "sdp", "rtsp"}  # texts that name other files, wherever they lie
_ONLY_FILES = {"protocol_whitelist": "file"}  # nothing that a file names is fetched from a network


# (width, height) of a frame -> those it is scaled to
Fit = Callable[[int, int], tuple[int, int]]


def squash(size: int) -> Fit:
    """To `size` x `size` whatever the shape was, as MD-GAN's data are."""
    return lambda width, height: (size, size)  # noqa: ARG005


def short_side(size: int) -> Fit:
    """To a short side of `size` pixels, the shape kept, as Video-GAN's data are before they are cropped."""

    def fit(width: int, height: int) -> tuple[int, int]:
        scale = size / min(width, height)
        return max(size, round(width * scale)), max(size, round(height * scale))

    return fit


def centre_crop(frame: np.ndarray) -> np.ndarray:
    """The square in the middle of uint8 [H, W, 3], as large as it goes."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]


def read_image(path: str | Path, fit: Fit | None = None) -> np.ndarray:
    """A picture as uint8 [H, W, 3], scaled if `fit` is given.

    Raises:
        UsageError: the file is missing, no picture, truncated, or declares over 64 million pixels.
    """
    try:
        with paths.local(path) as file, Image.open(file, formats=_IMAGE_FORMATS) as image:
            _check_pixels(path, image.width, image.height)
            if image.format == "WEBP" and paths.has_tensorflow_io():
                upright, image = image.getexif(), Image.fromarray(_decode_webp(Path(file).read_bytes()))
                image.info["exif"] = upright.tobytes()
            frame = np.asarray(ImageOps.exif_transpose(_eight_bits(image)).convert("RGB"))
            return frame if fit is None else resize(frame, *fit(frame.shape[1], frame.shape[0]))
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise UsageError(f"{path}: not a picture that Pillow can read") from error
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"{path}: damaged picture ({error})") from error


def _decode_webp(content: bytes) -> np.ndarray:
    """uint8 [H, W, 3], by tensorflow-io where it is installed."""
    return paths.tensorflow_io().image.decode_webp(content).numpy()[..., :3]


def is_strip(path: str | Path) -> bool | None:
    """Whether a picture is, by its header, four or more square frames under each other; None if unreadable."""
    try:
        with paths.local(path) as file, Image.open(file, formats=_IMAGE_FORMATS) as image:
            return image.height % image.width == 0 and image.height >= 4 * image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits; Pillow's own conversion would cut it off at 255."""
    return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)) if image.mode.startswith("I") else image


def _check_pixels(path: str | Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UsageError(f"{path}: {width} x {height} pixels are more than {MAX_PIXELS:,}")


def resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [H, W, 3] -> [height, width, 3], without a crop, antialiased."""
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(Image.fromarray(frame).resize([width, height], Image.Resampling.BILINEAR))


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
            _check_pixels(path, stream.codec_context.width, stream.codec_context.height)
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
    write_bytes(path, encode(frames, fps))


def check_output(flag: str, path: str | Path, suffixes: tuple[str, ...] = CLIP_SUFFIXES) -> None:
    """Raises UsageError unless a file of this name and kind can be written; missing folders are made later."""
    path = paths.path(path)
    if path.suffix.lower() not in suffixes:
        raise UsageError(f"--{flag} must end in {' or '.join(suffixes)}. Received: {path}")
    if path.is_dir():
        raise UsageError(f"--{flag} must be a file. Received: {path}, which is a folder")
    check_folder(flag, path.parent)


def check_folder(flag: str, path: str | Path) -> None:
    """Raises UsageError unless files can be written in this folder, which need not exist yet."""
    if paths.is_remote(paths.path(path)):
        return
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
    path = paths.path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if paths.is_remote(path):  # an object appears when it is complete
        path.write_bytes(content)
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the new name: a power cut must not leave an empty file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class StripEncoding:
    """How film-strips are compressed: `jpeg` of a quality up to 100, or lossless `png`."""

    name: str = "jpeg"
    quality: int = 95


def encode_strip(frames: np.ndarray, encoding: StripEncoding) -> bytes:
    """Frames uint8 [T, H, W, 3] -> one picture of them under each other.

    Full colour resolution: no frame bleeds into its neighbour if H is a multiple of 8.
    """
    buffer = io.BytesIO()
    image = Image.fromarray(frames.reshape(-1, *frames.shape[2:]))
    if encoding.name == "jpeg":
        image.save(buffer, "JPEG", quality=encoding.quality, subsampling=0)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


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
    if not paths.has_tensorflow_io():
        return gif
    encoded = paths.tensorflow_io().image.encode_gif(frames).numpy()
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
