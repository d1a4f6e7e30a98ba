"""Real videos and pictures for tests: every frame is flat, of a grey that tells its number."""

from pathlib import Path

import av
import numpy as np
from PIL import Image

FIRST, STEP = 10, 20  # frame i is of grey 10 + 20 i, far enough apart to survive any codec


def numbered(numbers, height: int = 16, width: int = 16) -> np.ndarray:
    """uint8 [T, H, W, 3], the frames of these numbers (0 to 12)."""
    greys = np.array([FIRST + STEP * i for i in numbers], np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (len(greys), height, width, 3))


def numbers(frames: np.ndarray) -> list[int]:
    """The inverse of `numbered`, for one clip [T, H, W, 3]."""
    return np.rint((frames.mean(axis=(1, 2, 3)) - FIRST) / STEP).astype(int).tolist()


def write_video(path: Path, frames: np.ndarray, codec: str = "libx264", index_first: bool = False) -> Path:
    """uint8 [T, H, W, 3] -> a video by FFmpeg, the container by the suffix.

    Args:
        index_first: an MP4's index before its frames, as files for the web have it.
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


def write_pictures(folder: Path, frames: np.ndarray, name: str = "frame_{}.png", start: int = 0) -> Path:
    """uint8 [T, H, W, 3] -> a folder of pictures by Pillow, numbered from `start`."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, frame in enumerate(frames, start):
        Image.fromarray(frame).save(folder / name.format(i))
    return folder


def write_strip(path: Path, frames: np.ndarray) -> Path:
    """uint8 [T, H, W, 3] -> one picture of the frames under each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(frames)).save(path, quality=95)
    return path


def cut(path: Path, share: float) -> Path:
    """Keeps the first part of a file, as a broken download leaves it."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path
