"""Layers of clouds for `synthetic:skies`: their forms, and how thick and how lit a layer is in each frame; ours.

A layer is a field of noise on a plane, blown by its own wind. Where the field is above a threshold there is cloud, the
thicker the higher it is. A second look at the field, a little towards the light, tells which side of a heap is lit.
"""

from __future__ import annotations

import dataclasses
from statistics import NormalDist

import numpy as np

from tfvideogan.data.drawing import noise

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Form:
    """How one kind of cloud is drawn; a range is what a number is drawn from, evenly.

    Attributes:
        shape: the texture that says where clouds are.
        detail: the texture that says what their edges and insides look like.
        span: how many frame widths one side of the shape's texture covers.
        detail_span: how many frame widths one side of the detail's texture covers.
        share: the detail's part of the field.
        cover: the part of the sky that is covered.
        softness: over how much of the field an edge fades.
        opacity: how opaque the thickest cloud is.
        relief: how much the direction of the light counts.
        depth: how much darker a thick cloud is than a thin one.
        tilt: the largest angle of the textures to the horizon, in radians.
    """

    shape: str
    detail: str
    span: Range
    detail_span: Range
    share: Range
    cover: Range
    softness: Range
    opacity: Range
    relief: Range
    depth: Range
    tilt: float = 0.0


FORMS = {
    "cumulus": Form("rough", "billows", (3.0, 8.0), (1.5, 4.0), (0.22, 0.45), (0.3, 0.8), (0.25, 0.8), (0.9, 1.0),
                    (0.3, 0.7), (-0.1, 0.35), 3.1),
    "stratus": Form("smooth", "rough", (3.0, 7.0), (1.5, 4.0), (0.25, 0.55), (0.7, 1.0), (1.5, 3.0), (0.7, 1.0),
                    (0.15, 0.5), (0.3, 0.9), 0.3),
    "storm": Form("smooth", "billows", (4.0, 8.0), (2.0, 5.0), (0.25, 0.45), (0.85, 1.0), (1.0, 2.5), (0.9, 1.0),
                  (0.3, 0.7), (0.3, 0.8), 3.1),
    "altocumulus": Form("smooth", "cells", (4.0, 8.0), (1.5, 3.5), (0.45, 0.65), (0.25, 0.65), (0.8, 2.0), (0.7, 1.0),
                        (0.15, 0.4), (0.0, 0.3), 1.0),
    "cirrus": Form("smooth", "wisps", (5.0, 8.0), (2.0, 4.0), (0.4, 0.65), (0.25, 0.65), (1.3, 2.6), (0.5, 0.9),
                   (0.0, 0.2), (-0.2, 0.1), 0.8),
    "streaks": Form("wisps", "rough", (2.0, 4.0), (2.0, 4.0), (0.2, 0.4), (0.2, 0.6), (0.4, 1.5), (0.8, 1.0),
                    (0.15, 0.4), (0.0, 0.5), 0.2),
    "tops": Form("smooth", "billows", (2.0, 5.0), (0.8, 2.0), (0.35, 0.5), (1.0, 1.0), (1.0, 2.0), (1.0, 1.0),
                 (0.25, 0.5), (-0.6, -0.2), 3.1),
}  # fmt: skip


class Layer:
    """One layer, whose numbers are drawn once; `render` then depends on nothing else.

    Args:
        seed: the seed of the textures.
    """

    def __init__(self, rng: np.random.Generator, form: str, seed: int):
        kind = FORMS[form]
        self._textures = [noise.texture(name, seed) for name in (kind.shape, kind.detail)]
        share = rng.uniform(*kind.share)
        weights = np.array([1 - share, share])
        self._weights = (weights / np.hypot(*weights)).astype(np.float32)
        self._spans = [rng.uniform(*kind.span), rng.uniform(*kind.detail_span)]
        self._offsets = rng.random([2, 2])
        angle = rng.uniform(-kind.tilt, kind.tilt)
        self._turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        self._turn[:, 0] *= rng.choice([-1.0, 1.0])
        self.cover = rng.uniform(*kind.cover)
        self._threshold = NormalDist().inv_cdf(np.clip(1 - self.cover, 0.002, 0.998))
        self._softness, self.opacity = rng.uniform(*kind.softness), rng.uniform(*kind.opacity)
        self._relief, self._depth = rng.uniform(*kind.relief), rng.uniform(*kind.depth)
        # Details dissolve faster than what they are details of. Angles are in radians over a clip.
        self._change = rng.uniform(0.08, 0.8) * np.array([0.7, 1.6])

    def render(
        self, x: np.ndarray, y: np.ndarray, paths: np.ndarray, times: np.ndarray, step: float, light: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """How opaque and how lit each pixel is, both float32 [T, H, W] in [0, 1].

        Args:
            x, y: where pixels look at the plane of the clouds, [H, W], in frame widths.
            paths: how far the wind has blown the layer in each frame, [T, 2] (x, y).
            times: the frames' times, [T], from 0 to 1 over the clip.
            step: the distance of neighbouring pixels on the plane.
            light: the direction to the light, [2] (x, y).
        """
        opaque, lit = [], []
        for path, time in zip(paths, times, strict=True):
            here = self._parts(x - path[0], y - path[1], time, step)
            towards = self._parts(x - path[0] + 0.05 * light[0], y - path[1] + 0.05 * light[1], time, step)
            above = here @ self._weights - np.float32(self._threshold)
            edge = np.clip(above / np.float32(self._softness), 0.0, 1.0)
            opaque.append(edge * edge * (3 - 2 * edge) * np.float32(self.opacity))
            thick = np.clip(above * np.float32(0.5), 0.0, 1.0)
            # The large forms cast more shade than their details do.
            relief = np.tanh((here - towards) @ (self._weights * np.float32([2.2, 0.8])))
            lit.append(np.clip(0.68 + self._relief * relief - self._depth * (thick - 0.3), 0.0, 1.0))
        return np.stack(opaque), np.stack(lit).astype(np.float32)

    def _parts(self, x: np.ndarray, y: np.ndarray, time: float, step: float) -> np.ndarray:
        """The fields of shape and detail, float32 [H, W, 2], mean 0 and deviation 1."""
        (a, b), (c, d) = self._turn
        parts = np.empty([*x.shape, 2], np.float32)
        for k, (texture, span, offset) in enumerate(zip(self._textures, self._spans, self._offsets, strict=True)):
            places = (a * x + b * y) / span + offset[0], (c * x + d * y) / span + offset[1]
            angle = self._change[k] * (time - 0.5)
            parts[..., k] = noise.sample(texture, *places, step / span) @ np.float32([np.cos(angle), np.sin(angle)])
        return parts
