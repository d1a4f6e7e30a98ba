"""Built-in scenes before a camera that stands still, with the true mask of what moves: `scenes`; ours.

One to three things, each with its gait and its texture, move before a room, a street, a meadow, the sea or a sky.
As in `synthetic`, clip i follows from (kind, split, seed, i) alone, and looks alike at every `frame_size`.
"""

from __future__ import annotations

import numpy as np

from tfvideogan.data.drawing import actors, noise
from tfvideogan.data.drawing.actors import Actor
from tfvideogan.data.drawing.backdrops import Backdrop
from tfvideogan.data.drawing.cel import CANVAS, Cel
from tfvideogan.data.skies import Skies
from tfvideogan.data.synthetic import SPLITS, Synthetic, to_uint8

# Who may move where, and how often each place is drawn.
PLACES = {
    "room": (3, [actors.walker, actors.walker, actors.ball, actors.pendulum]),
    "street": (4, [actors.walker, actors.walker, actors.car, actors.car, actors.car, actors.ball]),
    "meadow": (3, [actors.walker, actors.ball, actors.bird, actors.flag, actors.smoke, actors.car]),
    "sea": (2, [actors.boat, actors.boat, actors.boat, actors.bird, actors.bird, actors.flag]),
    "sky": (1, [actors.bird] * 3),
}


class Scenes(Synthetic):
    """Things that move before a still backdrop; their true mask is known.

    A flag and a column of smoke stay where they are, so the rule of `metrics.separation`, by which a pixel moves if it
    differs from its median, finds less of them than the mask.
    """

    kind = 5

    def __init__(self, frame_size: int, num_frames: int, split: str = "train", seed: int = 0, num_clips: int = 2000):
        super().__init__(frame_size, num_frames, split, seed, num_clips)
        self._skies = Skies(CANVAS, 1, split, seed, num_clips)
        self._textures = SPLITS.index(split)

    def _make(self, index: int) -> np.ndarray:
        return self.clip_and_mask(index)[0]

    def clip_and_mask(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Clip `index`, uint8 [T, H, W, 3], and where its things cover it, bool [T, H, W]."""
        rng = self._rng(index)
        backdrop, cast = self._stage(rng, index)
        tone = backdrop.light * rng.normal(1.0, 0.03, 3)
        cels = [(actor, Cel(tone), self._cloth(rng)) for actor in cast]
        still = to_uint8(backdrop.picture)
        frames, masks = zip(
            *(self._frame(still, cels, t / self.num_frames) for t in range(self.num_frames)), strict=True
        )
        return np.stack(frames), np.stack(masks) > 127

    def _stage(self, rng: np.random.Generator, index: int) -> tuple[Backdrop, list[Actor]]:
        shares = np.array([share for share, _ in PLACES.values()])
        place = list(PLACES)[rng.choice(len(PLACES), p=shares / shares.sum())]
        ground = float(rng.uniform(0.75, 0.95))
        backdrop = Backdrop(rng, self._skies.still(index), ground, self._textures)
        getattr(backdrop, place)()
        candidates, count = PLACES[place][1], int(rng.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))
        # The nearer a thing stands, the lower in the picture; it is drawn after the others.
        grounds = np.sort(ground + rng.uniform(-0.06, 0.06, count))
        return backdrop, [
            candidates[k](rng, float(g)) for k, g in zip(rng.permutation(len(candidates)), grounds, strict=False)
        ]

    def _cloth(self, rng: np.random.Generator) -> np.ndarray:
        """The light and dark of an actor's texture, [2 CANVAS, 2 CANVAS, 1], around 1."""
        levels = noise.texture(str(rng.choice(["rough", "billows", "cells", "wisps"])), self._textures)
        return 1 + rng.uniform(0.03, 0.15) * levels[0][..., :1]

    def _frame(
        self, still: np.ndarray, cels: list[tuple[Actor, Cel, np.ndarray]], time: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """A frame [H, W, 3], and how far moving things cover it, [H, W], both uint8."""
        cv2, shape = noise.opencv(), (self.frame_size, self.frame_size)
        frame, mask = still.copy(), np.zeros([CANVAS, CANVAS], np.uint8)
        for actor, cel, cloth in cels:
            cel.clear()
            actor(cel, time)
            x, y, width, height = cv2.boundingRect(cel.cover)
            part = (slice(y, y + height), slice(x, x + width))
            row, column = np.rint(cel.anchor[::-1] * CANVAS).astype(int) % CANVAS  # The texture goes with the actor.
            texture = cloth[CANVAS - row + y :][:height, CANVAS - column + x :][:, :width]
            cover = cel.cover[part].astype(np.float32)[..., None] / 255
            painted = frame[part] + (cel.colour[part] * texture - frame[part]) * cover
            frame[part] = np.clip(np.rint(painted), 0, 255)
            mask[part] = np.maximum(mask[part], cv2.subtract(cel.cover[part], cel.still[part]))
        how = cv2.INTER_AREA if self.frame_size <= CANVAS else cv2.INTER_LINEAR
        return cv2.resize(frame, shape, interpolation=how), cv2.resize(mask, shape, interpolation=how)
