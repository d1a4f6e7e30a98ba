"""Clips from a folder, told by its content, or made on the fly: `open_source` is the one door.

A source is a sequence of clips, uint8 [T, H, W, 3]. A folder may hold
- a list file (`*.txt`) of vertical strips, one path a line, as Video-GAN's loader reads
  (where there are several, as for training and test, `--data` names one of them);
- videos of any container, and folders of frames at any depth (the Sky Time-lapse
  layout has two levels). Both are cut into consecutive windows, the rest dropped;
  pictures that are vertical strips are taken as such.
Frames are squashed to the frame size, without a crop. What cannot be used is named in
a warning and counted in the closing line.
"""

from __future__ import annotations

import itertools
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from tqdm import tqdm

from tfvideogan import media
from tfvideogan.config import UsageError
from tfvideogan.data import synthetic

logger = logging.getLogger(__name__)

SYNTHETIC = {"sky": synthetic.Sky, "sprites": synthetic.Sprites}
_IGNORED_SUFFIXES = {".txt", ".md", ".json", ".csv", ".xml", ".yaml", ".html", ".pdf", ".zip", ".py", ".npy"}


class ClipSource(Protocol):
    """A sequence of clips, uint8 [T, H, W, 3]."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


def open_source(data: str, frame_size: int, num_frames: int, seed: int = 0, max_clips: int | None = None) -> ClipSource:
    """The clips that `--data` names: a folder, or `synthetic:NAME` or `synthetic:NAME:test`.

    Args:
        seed: of built-in clips.
        max_clips: of a folder, stop decoding after so many.

    Raises:
        UsageError: no such folder or name, or nothing usable in the folder.
    """
    if not data:
        raise UsageError("--data must be a folder or synthetic:NAME. Received: ''")
    if data.startswith("synthetic:"):
        _, name, *split = data.split(":")
        if name not in SYNTHETIC or split not in ([], ["train"], ["test"]):
            names = ", ".join(f"synthetic:{known}[:test]" for known in SYNTHETIC)
            raise UsageError(f"--data names no built-in clips; there are {names}. Received: {data!r}")
        return SYNTHETIC[name](frame_size, num_frames, *split, seed=seed)
    return ClipFolder(data, frame_size, num_frames, max_clips)


class ClipFolder:
    """The clips of a folder, decoded once to an unlinked temporary file that is mapped into memory.

    Args:
        path: a folder, see the module's docstring for the layouts, or one video or list of strips.
        frame_size: pixels a side.
        num_frames: frames a clip.
        max_clips: stop decoding after so many.

    Raises:
        UsageError: the folder is missing or holds nothing usable, or the disk is full.
    """

    def __init__(self, path: str | Path, frame_size: int, num_frames: int, max_clips: int | None = None):
        self.path = Path(path)
        self.size, self.num_frames = frame_size, num_frames
        self.skipped: list[str] = []
        if not self.path.exists():
            raise UsageError(f"--data must be a folder or synthetic:NAME. Received: {str(path)!r}, no such folder")
        with tempfile.TemporaryFile(prefix="tfvideogan-clips-") as spool:
            count = self._decode_to(spool, max_clips)
            logger.info("%s: %d clips, %d unusable inputs", path, count, len(self.skipped))
            if not count:
                raise UsageError(
                    f"--data: nothing usable in {path}. Looked for videos, folders of frames "
                    f"({', '.join(media.IMAGE_SUFFIXES)}) and list files (*.txt) of vertical strips, "
                    f"each of {num_frames} frames or more; {len(self.skipped)} inputs were unusable"
                )
            shape = (count, num_frames, frame_size, frame_size, 3)
            self._clips = np.memmap(spool, np.uint8, "r", shape=shape)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.array(self._clips[index])

    def _decode_to(self, spool: BinaryIO, max_clips: int | None) -> int:
        count = 0
        for clip in itertools.islice(self._read(), max_clips):
            try:
                spool.write(clip.tobytes())
                spool.flush()
            except OSError as error:
                where = tempfile.gettempdir()
                raise UsageError(f"--data: {self.path} decodes to more than {where} holds: {error}") from error
            count += 1
        return count

    def _read(self) -> Iterator[np.ndarray]:
        """Every clip, the strips of a list file or else whatever the folder holds."""
        strips = self._listed_strips()
        if strips:
            for path in _progress(strips, "strips"):
                yield from self._strip(path)
            return
        found = [self.path] if self.path.is_file() else _natural_order(self.path.rglob("*"))
        files = [path for path in found if _is_visible_file(path, self.path)]
        pictures: dict[Path, list[Path]] = {}
        videos = []
        for path in files:
            if path.suffix.lower() in media.IMAGE_SUFFIXES:
                pictures.setdefault(path.parent, []).append(path)
            elif path.suffix.lower() not in _IGNORED_SUFFIXES:
                videos.append(path)
        for path in _progress(videos, "videos"):
            yield from self._windows(_or_error(media.read_video(path, self.size)), path)
        for folder in _progress(list(pictures), "frame folders"):
            yield from self._pictures(folder, pictures[folder])

    def _listed_strips(self) -> list[Path]:
        """The strips of the one list file; a text that names no existing picture is no list."""
        listings = [self.path] if self.path.suffix.lower() == ".txt" else sorted(self.path.glob("*.txt"))
        lists = {listing: _strips_named_in(listing) for listing in listings if listing.is_file()}
        lists = {listing: paths for listing, paths in lists.items() if any(path.is_file() for path in paths)}
        if len(lists) > 1:
            names = ", ".join(map(str, lists))
            raise UsageError(f"--data: {self.path} holds several lists of strips, name one of them: {names}")
        return next(iter(lists.values()), [])

    def _pictures(self, folder: Path, paths: list[Path]) -> Iterator[np.ndarray]:
        """The pictures of one folder: frames in their order, or each a strip if the first readable one is."""
        if next((known for path in paths if (known := media.is_strip(path)) is not None), False):
            for path in paths:
                yield from self._strip(path)
            return
        one_by_one = (map(media.read_image, [path], [self.size]) for path in paths)
        yield from self._windows(itertools.chain.from_iterable(map(_or_error, one_by_one)), folder)

    def _windows(self, frames: Iterable[np.ndarray | UsageError], path: Path) -> Iterator[np.ndarray]:
        """Consecutive windows of a sequence; none spans a frame that cannot be read."""
        window: list[np.ndarray] = []
        usable = damaged = 0
        for frame in frames:
            if isinstance(frame, UsageError):
                self._skip(f"{frame} (after {usable} clips)")
                window, damaged = [], damaged + 1
                continue
            window.append(frame)
            if len(window) == self.num_frames:
                yield np.stack(window)
                window, usable = [], usable + 1
        if not usable and not damaged:
            self._skip(f"{path}: {len(window)} frames, fewer than {self.num_frames}")

    def _strip(self, path: Path) -> Iterator[np.ndarray]:
        """A vertical strip of square frames: the first ones, the last repeated when there are too few."""
        try:
            strip = media.read_image(path)
        except UsageError as error:
            self._skip(str(error))
            return
        height, width = strip.shape[:2]
        if height % width or height < 2 * width:
            self._skip(f"{path}: {width} x {height} pixels are no vertical strip of square frames")
            return
        tiles = strip.reshape(-1, width, width, 3)[: self.num_frames]
        tiles = np.concatenate([tiles, np.repeat(tiles[-1:], self.num_frames - len(tiles), axis=0)])
        yield np.stack([media.resize(tile, self.size) for tile in tiles])

    def _skip(self, reason: str) -> None:
        logger.warning("skipped: %s", reason)
        self.skipped.append(reason)


def _or_error(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray | UsageError]:
    """The frames, and in place of those that cannot be read the error that says why."""
    try:
        yield from frames
    except UsageError as error:
        yield error


def _strips_named_in(listing: Path) -> list[Path]:
    """The pictures that a list file names; a class index behind a path is passed over."""
    lines = listing.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = [re.sub(r"[\s,]+\d+$", "", line.strip()) for line in lines]
    return [listing.parent / name for name in names if Path(name).suffix.lower() in media.IMAGE_SUFFIXES]


def _natural_order(paths: Iterable[Path]) -> list[Path]:
    """Frame 10 after frame 9, whether or not the numbers are padded."""
    return sorted(
        paths, key=lambda path: [int(x) if x.isdecimal() else x.casefold() for x in re.split(r"(\d+)", str(path))]
    )


def _is_visible_file(path: Path, root: Path) -> bool:
    return path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)


def _progress(items: list[Path], what: str) -> Iterable[Path]:
    return tqdm(items, desc=f"reading {what}", unit="", leave=False, disable=len(items) < 2)
