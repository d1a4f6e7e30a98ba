"""Writes clips as GIF, MP4, WebP, film-strip or array, by PyAV and Pillow. Frames are uint8 RGB."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import GifImagePlugin, Image

from tfvideogan.files import atomic, optional
from tfvideogan.files.pictures import StripEncoding, encode_strip


def write_clip(path: str | Path, frames: np.ndarray, fps: int = 12) -> None:
    """Writes frames uint8 [T, H, W, 3], completely or not at all, in the format of the suffix of `path`.

    A `.png` is a film-strip, the frames below each other, and an `.npy` the array itself.
    """
    atomic.write_bytes(path, encode_clip(frames, Path(path).suffix.lower(), fps))


def encode_clip(frames: np.ndarray, suffix: str, fps: int = 12) -> bytes:
    """Frames uint8 [T, H, W, 3] in the format of one of the CLIP_SUFFIXES."""
    return _ENCODERS[suffix](frames, fps)


def encode_gif(frames: np.ndarray, fps: int = 12) -> bytes:
    """Encodes frames uint8 [T, H, W, 3] as a looping GIF.

    All frames share one palette and none is dithered, so that what stands still does not flicker.
    """
    rows = Image.fromarray(frames[:: max(1, len(frames) // 8)].reshape(-1, frames.shape[2], 3))
    palette = rows.quantize(256, method=Image.Quantize.MEDIANCUT)
    images = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    # Frames are encoded one by one, since Pillow's save_all merges equal ones and would shorten a still clip.
    timing = {"duration": round(1000 / fps), "loop": 0}
    blocks = list(GifImagePlugin.getheader(images[0], info=timing)[0])
    for image in images:
        image.encoderinfo = {"optimize": False}
        blocks += GifImagePlugin.getdata(image, **timing)
    return b"".join(blocks) + b";"


def encode_summary(frames: np.ndarray, gif: bytes) -> bytes:
    """The GIF of frames uint8 [T, H, W, 3] for TensorBoard: by tensorflow-io where it is installed, or else `gif`."""
    if not optional.has_tensorflow_io():
        return gif
    encoded = optional.tensorflow_io().image.encode_gif(frames).numpy()
    colours = 13 + (3 << ((encoded[10] & 7) + 1) if encoded[10] & 0x80 else 0)  # The global colour table ends here.
    return encoded[:colours] + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0" + encoded[colours:]  # It loops.


def _encode_webp(frames: np.ndarray, fps: int) -> bytes:
    """Encodes frames as a looping WebP."""
    buffer, (first, *others) = io.BytesIO(), map(Image.fromarray, frames)
    timing = {"duration": round(1000 / fps), "loop": 0}
    first.save(buffer, "WEBP", save_all=True, append_images=others, quality=90, method=4, **timing)
    return buffer.getvalue()


def _encode_png(frames: np.ndarray, fps: int) -> bytes:  # noqa: ARG001 - a film-strip has no rate
    return encode_strip(frames, StripEncoding("png"))


def _encode_npy(frames: np.ndarray, fps: int) -> bytes:  # noqa: ARG001 - nor has an array
    buffer = io.BytesIO()
    np.save(buffer, frames)
    return buffer.getvalue()


def _encode_mp4(frames: np.ndarray, fps: int) -> bytes:
    """Encodes frames as H.264. Most players want even sides, so an odd side is padded by repeating its last line."""
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


_ENCODERS = {".gif": encode_gif, ".mp4": _encode_mp4, ".webp": _encode_webp, ".png": _encode_png, ".npy": _encode_npy}
CLIP_SUFFIXES = tuple(_ENCODERS)
