"""Kernel video distance (Unterthiner et al., arXiv 1812.01717): the squared MMD of I3D's logits of two sets of clips.

The estimator is the unbiased one (Gretton et al., 2012, equation 3), so that it may be below zero, over all clips at
once, with the kernel (x.y / D + 1)^3 of the kernel inception distance (Binkowski et al., arXiv 1801.01401).
"""

from __future__ import annotations

import numpy as np


def kernel_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """The unbiased squared MMD of features [N, D] and [M, D], N and M of at least 2."""
    x, y = (np.asarray(values, np.float64) for values in (generated, real))
    within = (_mean_of_pairs(_kernel(values, values)) for values in (x, y))
    return float(sum(within) - 2 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The kernel of each pair of rows of [N, D] and [M, D]: [N, M]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(kernel: np.ndarray) -> float:
    """The mean over pairs of two different rows, which is what makes the estimator unbiased."""
    count = len(kernel)
    return (kernel.sum() - np.trace(kernel)) / (count * (count - 1))
