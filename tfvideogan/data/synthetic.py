"""Built-in clips, made on the fly from a seed: `sky`, `sprites` and `moves`, and what all kinds share.

Each kind is a sequence of clips, uint8 [T, H, W, 3]. Clip i follows from (kind, split, seed, i) alone, so that a run is
repeatable and the held-out split ("test") has no clip of the training split. All lengths are fractions of the frame, so
that the same clip is seen at every `frame_size`.
"""

from __future__ import annotations

import colorsys

import numpy as np

from tfvideogan.data.drawing.noise import fractal

SPLITS = ("train", "test")
KEPT_BYTES = 2 * 2**30


class Synthetic:
    """What all kinds share: length, indexing, and a random generator for each clip."""

    kind: int

    def __init__(self, frame_size: int, num_frames: int, split: str = "train", seed: int = 0, num_clips: int = 2000):
        if split not in SPLITS:
            raise ValueError(f"the split of synthetic clips must be one of {SPLITS}. Received: split={split!r}")
        self.frame_size = frame_size
        self.num_frames = num_frames
        self.split = split
        self._key = (self.kind, SPLITS.index(split), seed)
        self._num_clips = num_clips
        self._kept: dict[int, np.ndarray] = {}
        self._keeps_all = num_clips * num_frames * frame_size**2 * 3 <= KEPT_BYTES

    def __len__(self) -> int:
        return self._num_clips

    def __getitem__(self, index: int) -> np.ndarray:
        """Clip `index`, uint8 [T, H, W, 3]; it is made once if all clips together fit in memory."""
        if index not in self._kept:
            clip = self._make(index)
            if not self._keeps_all:
                return clip
            self._kept[index] = clip
        return self._kept[index]

    def _make(self, index: int) -> np.ndarray:
        raise NotImplementedError

    def _rng(self, index: int) -> np.random.Generator:
        if not 0 <= index < self._num_clips:
            raise IndexError(index)
        return np.random.default_rng([*self._key, index])


class Sky(Synthetic):
    """Drifting multi-octave clouds over a gradient, with a still horizon.

    The same wind blows in all clips, from left to right, so that a predictor can learn where the clouds go from one
    frame on, and do better than to repeat it.
    """

    kind = 1
    WIND = 0.012  # In frame widths a frame, for clips of 32 frames.

    def _make(self, index: int) -> np.ndarray:
        rng, size = self._rng(index), self.frame_size
        drift = np.arange(self.num_frames) * self.WIND * 32 / self.num_frames  # [T]
        y = (np.arange(size) + 0.5) / size
        x = y[None, :] - drift[:, None] + self.WIND * 32  # [T, W], >= 0: upwind of the first frame

        clouds = fractal(rng, y * 1.6, x, octaves=5, scale=3.0, span=1.6)  # [T, H, W]
        cover = rng.uniform(0.42, 0.55)
        cloud = np.clip((clouds - cover) / 0.22, 0.0, 1.0)[..., None]

        hue, warmth = rng.uniform(0.55, 0.64), rng.uniform(0.0, 1.0)
        top = np.array(colorsys.hsv_to_rgb(hue, rng.uniform(0.55, 0.8), rng.uniform(0.45, 0.8)))
        bottom = (1 - warmth) * np.array([0.75, 0.86, 0.95]) + warmth * np.array([0.98, 0.72, 0.52])
        sky = top + (bottom - top) * (y**1.5)[:, None, None]  # [H, 1, 3]
        light = np.array([1.0, 0.98 - 0.08 * warmth, 0.96 - 0.18 * warmth])
        shade = 0.72 + 0.28 * np.clip((clouds - cover) / 0.45, 0.0, 1.0)[..., None]
        frames = sky + (light * shade - sky) * cloud * 0.9  # [T, H, W, 3]

        ridge = 0.84 + 0.10 * (fractal(rng, np.zeros(1), y[None], octaves=4, scale=3.0, span=1.0)[0, 0] - 0.5)
        land = np.clip((y[:, None] - ridge[None]) * size + 0.5, 0.0, 1.0)[..., None]  # [H, W, 1], antialiased
        earth = bottom * 0.22 * (1.3 - y[:, None, None])
        return to_uint8(frames + (earth - frames) * land)


class Sprites(Synthetic):
    """A textured shape that moves over a textured still background; its true mask is known."""

    kind = 2

    def _make(self, index: int) -> np.ndarray:
        return self.clip_and_mask(index)[0]

    def clip_and_mask(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Clip `index`, uint8 [T, H, W, 3], and where its shape covers it, bool [T, H, W]."""
        rng, size = self._rng(index), self.frame_size
        grid = (np.arange(size) + 0.5) / size
        background = self._background(rng, grid)  # [H, W, 3]

        radius, path = rng.uniform(0.11, 0.15), self._path(rng, index)
        dy = grid[None, :, None] - path[:, 0, None, None]  # [T, H, 1]
        dx = grid[None, None, :] - path[:, 1, None, None]  # [T, 1, W]
        cover = np.clip(0.5 - (_distance(rng, dy, dx) - radius) * size, 0.0, 1.0)  # [T, H, W], antialiased

        hue, tilt = rng.uniform(), rng.uniform(0, np.pi)
        bright = np.array(colorsys.hsv_to_rgb(hue, 0.85, 1.0))
        pale = np.array(colorsys.hsv_to_rgb(hue, 0.25, 1.0))
        wave = np.sin((dy * np.sin(tilt) + dx * np.cos(tilt)) * 2 * np.pi / (0.9 * radius))
        shape = bright + (pale - bright) * np.clip(0.5 + 1.5 * wave, 0, 1)[..., None]  # It moves with the shape.
        frames = background + (shape - background) * cover[..., None]
        return to_uint8(frames), cover > 0.5

    def _path(self, rng: np.random.Generator, index: int) -> np.ndarray:  # noqa: ARG002 - `Moves` has use for it.
        """Where the middle of the shape is in each frame: [T, 2] (y, x)."""
        angle = rng.uniform(0, 2 * np.pi)
        # The shape moves so far that it covers hardly any pixel for half of the clip, and the median is background.
        step = np.array([np.sin(angle), np.cos(angle)]) * rng.uniform(0.33, 0.36)
        centre = rng.uniform(0.42, 0.58, 2)
        return centre + np.linspace(-1.0, 1.0, self.num_frames)[:, None] * step

    @staticmethod
    def _background(rng: np.random.Generator, grid: np.ndarray) -> np.ndarray:
        texture = fractal(rng, grid, grid[None], octaves=3, scale=4.0, span=1.0)[0][..., None]  # [H, W, 1]
        hue = rng.uniform()
        dark = np.array(colorsys.hsv_to_rgb(hue, 0.5, 0.15))
        light = np.array(colorsys.hsv_to_rgb(hue + rng.uniform(-0.1, 0.1), 0.35, 0.5))
        return dark + (light - dark) * np.clip((texture - 0.25) * 2.0, 0.0, 1.0)


class Moves(Sprites):
    """Sprites whose motion is their class, i % 8 for clip i; what they look like tells nothing of it (ours)."""

    kind = 6
    CLASSES = ("right", "left", "down", "up", "clockwise", "anticlockwise", "to and fro", "up and down")

    def label(self, index: int) -> int:
        """The class of clip `index`, as its place in `CLASSES`."""
        return index % len(self.CLASSES)

    def _path(self, rng: np.random.Generator, index: int) -> np.ndarray:
        reach, centre, phase = rng.uniform(0.25, 0.36), rng.uniform(0.42, 0.58, 2), rng.uniform(0, 2 * np.pi)
        time = np.linspace(-1.0, 1.0, self.num_frames)
        turn, still = np.pi * time + phase, np.zeros_like(time)
        paths = (
            (still, time), (still, -time), (time, still), (-time, still),
            (np.sin(turn), np.cos(turn)), (np.cos(turn), np.sin(turn)),
            (still, np.sin(turn)), (np.sin(turn), still),
        )  # fmt: skip
        return centre + reach * np.stack(paths[self.label(index)], axis=1)


def _distance(rng: np.random.Generator, dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Distances from the centre in a norm that is drawn: its ball is a disc, a square or a diamond."""
    norms = (
        lambda: np.hypot(dy, dx),
        lambda: np.maximum(np.abs(dy), np.abs(dx)) * 1.12,
        lambda: (np.abs(dy) + np.abs(dx)) * 0.82,
    )
    return norms[rng.integers(len(norms))]()


def to_uint8(frames: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(frames * 255.0), 0, 255).astype(np.uint8)
