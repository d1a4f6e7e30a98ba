"""Optical flow of clips (Farneback, 2003, by OpenCV): whether what is generated moves as what is real (ours).

Protocol: flow between neighbouring frames in grey, in pixels of the frame, at the clip's own size.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tfvideogan.files import optional

# The scale of a pyramid's levels, their number, the window, how often it iterates, size and sigma of its polynomials.
_FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


def require() -> Any:
    """OpenCV. Raises UsageError if it is missing."""
    return optional.package("cv2", "OpenCV", "data")


def flows(clip: np.ndarray) -> np.ndarray:
    """The flow (u, v), in pixels, of a clip uint8 [T, H, W, 3] from each frame to the next: [T - 1, H, W, 2].

    Raises:
        UsageError: OpenCV is missing.
    """
    cv2 = require()
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    return np.stack([cv2.calcOpticalFlowFarneback(*pair, None, *_FARNEBACK) for pair in itertools.pairwise(greys)])


def speed(clips: np.ndarray) -> float:
    """The mean length of the flow of clips uint8 [N, T, H, W, 3], in pixels a frame."""
    return float(np.mean([np.linalg.norm(flows(clip), axis=-1).mean() for clip in clips]))


def difference(generated: np.ndarray, real: np.ndarray) -> float:
    """The mean end-point error between the flows of clips uint8 [N, T, H, W, 3], in pixels a frame.

    A clip that stands still scores the mean speed of the real one.
    """
    errors = [np.linalg.norm(flows(a) - flows(b), axis=-1).mean() for a, b in zip(generated, real, strict=True)]
    return float(np.mean(errors))
