"""Published networks by our names: what both papers' files have in common.

Convolutions of PyTorch and Torch7 are [out, in, (T,) H, W], and transposed ones [in, out, (T,) H, W]. One permutation
makes them Keras': [(T,) H, W, in, out] and [(T,) H, W, out, in].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfvideogan.config import UsageError

NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LEVELS = range(2, 8)  # Frames of 16 to 512 pixels.
LARGEST = 1e9  # Flipped bits of an exponent make more. Torch7's files and PyTorch's legacy ones have no checksum.


@dataclasses.dataclass(frozen=True)
class Published:
    """A network of a published file.

    Attributes:
        role: `generator` or `discriminator`.
        options: those of `Config.create` that say which networks these weights are of; a discriminator has no `model`
            where it does not tell.
        arrays: by our variables (`down_conv1/kernel`), in our layouts, as views of the file.
        keys: what the file calls each.
    """

    role: str
    options: dict[str, Any]
    arrays: dict[str, np.ndarray]
    keys: dict[str, str]

    def check(self) -> None:
        """Raises UsageError naming each tensor whose values can be no weights, or a variance below zero."""
        bad = []
        for name, values in self.arrays.items():
            lowest, highest = (float(of(initial=0)) for of in (values.min, values.max))  # Each is NaN if a value is.
            if values.dtype.kind != "f":
                bad.append(f"{self.keys[name]} is of {values.dtype}")
            elif not np.isfinite(lowest + highest):
                bad.append(f"{self.keys[name]} has values that are not finite")
            elif max(-lowest, highest) > LARGEST:
                bad.append(f"{self.keys[name]} has values up to {max(-lowest, highest):.0e}, as damage makes them")
            elif name.endswith("moving_variance") and lowest < 0:
                bad.append(f"{self.keys[name]} has variances below zero")
        if bad:
            raise UsageError("; ".join(bad))

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raises UsageError naming each tensor that is not as our network has it, by our variables' shapes."""
        bad = [f"{name} is missing" for name in shapes if name not in self.arrays]
        for name, values in self.arrays.items():
            if name not in shapes:
                bad.append(f"{self.keys[name]} has no place")
            elif values.shape != tuple(shapes[name]):
                bad.append(f"{self.keys[name]} is {name} of {list(values.shape)} and should be {list(shapes[name])}")
        if bad:
            raise UsageError(f"not this network: {'; '.join(bad)}")


def in_our_layout(values: np.ndarray) -> np.ndarray:
    return np.transpose(values, (*range(2, values.ndim), 1, 0)) if values.ndim > 1 else values


def frames(convolutions: list[np.ndarray]) -> int:
    """How many frames clips have: each kernel of 4 frames halves them, and the last kernel spans what is left."""
    *levels, last = convolutions
    return last.shape[2] * 2 ** sum(kernel.shape[2] == 4 for kernel in levels)


def check_width(keys: Mapping[str, str], tensors: Mapping[str, np.ndarray], coarsest: int, expected: int) -> None:
    """Raises UsageError for a width that the file's own tensors do not bear out.

    The network that is then built can be no more than ten times as large as what the file holds.
    """
    if coarsest != expected or sum(values.size for values in tensors.values()) < 16 * coarsest**2:
        first = next(iter(keys.values()))
        raise UsageError(
            f"not this network: by {first} the coarsest maps have {expected} channels. Received: {coarsest}, and "
            f"{sum(values.size for values in tensors.values())} values in all"
        )


def listed(keys: Iterable[str]) -> str:
    names = list(keys)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
