"""Frechet video distance (Unterthiner et al., arXiv 1812.01717): of two Gaussians, fitted to I3D's logits of clips.

The name is the protocol: `fvd2048_16f` is of 2,048 generated and 2,048 real clips of 16 frames, and `kvd2048_16f` is
the kernel distance of the same features (`kvd.py`).
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from tfvideogan.config import UsageError

CUSTOMARY_CLIPS = 2048
FEWEST_FRAMES = 10  # I3D halves time thrice and then averages two steps of it.
FEATURES = 400


@dataclasses.dataclass(frozen=True)
class Distance:
    """A distance between two sets of clips by its name.

    Attributes:
        kind: `fvd` or `kvd`.
        num_clips: clips of each set.
        num_frames: frames of each clip, the first ones, one after another.
    """

    kind: str
    num_clips: int
    num_frames: int

    @property
    def name(self) -> str:
        return f"{self.kind}{self.num_clips}_{self.num_frames}f"

    @classmethod
    def parse(cls, name: str) -> Distance | None:
        """The distance of a name as `fvd2048_16f`, or None for a name of another form.

        Raises:
            UsageError: the distance is not defined for so few frames or clips.
        """
        match = re.fullmatch(r"(fvd|kvd)(\d{1,7})_(\d{1,4})f", name)
        if not match:
            return None
        distance = cls(match[1], int(match[2]), int(match[3]))
        if distance.num_frames < FEWEST_FRAMES:
            raise UsageError(f"--metrics: I3D takes clips of {FEWEST_FRAMES} frames or more. Received: {name}")
        if distance.num_clips < 2:
            raise UsageError(f"--metrics: a distance is between sets of 2 clips or more. Received: {name}")
        return distance

    def warnings(self) -> list[str]:
        """What makes the number another one than what is published under the distance's name."""
        warnings = []
        if self.num_clips < CUSTOMARY_CLIPS:
            effect = "which raises FVD" if self.kind == "fvd" else "and a variance of its own"
            warnings.append(f"{self.name}: fewer clips than the {CUSTOMARY_CLIPS} of published figures, {effect}")
        if self.kind == "fvd" and self.num_clips <= FEATURES:
            warnings.append(f"{self.name}: the covariance of {FEATURES} features from so few clips is singular")
        return warnings


def frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """The Frechet distance of Gaussians fitted to features [N, D] and [M, D], by covariances over N - 1 and M - 1."""
    sets = (np.asarray(features, np.float64) for features in (generated, real))
    moments = [(v.mean(axis=0), np.atleast_2d(np.cov(v, rowvar=False))) for v in sets]
    return of_gaussians(*moments[0], *moments[1])


def of_gaussians(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) of means [D] and covariances [D, D] (Dowson and Landau, 1982).

    The trace of the root is taken of C_a^(1/2) C_b C_a^(1/2), which has the same eigenvalues and is symmetric, so that
    singular covariances need no special case and give no imaginary part.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    trace_of_root = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_of_root
    return max(float(distance), 0.0)  # Rounding alone gives less.
