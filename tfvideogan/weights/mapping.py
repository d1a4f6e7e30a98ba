"""Published networks by our names: what both papers' files have in common.

Convolutions of PyTorch and Torch7 are [out, in, (T,) H, W], and transposed ones [in, out, (T,) H, W]. One permutation
makes them Keras': [(T,) H, W, in, out] and [(T,) H, W, out, in].
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfvideogan.config import UsageError

Shapes = dict[str, tuple[int, ...]]  # It has the shape of each of our variables, by name.

NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LEVELS = range(2, 8)  # Frames have 16 to 512 pixels a side.
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
            elif values.shape != shapes[name]:
                received, expected = _in_their_layout(values.shape), _in_their_layout(shapes[name])
                bad.append(f"{self.keys[name]} has shape {received} and should have {expected}")
        if bad:
            sizes = ", ".join(f"{name} {value}" for name, value in self.options.items())
            raise UsageError(f"no {self.role} of {sizes}: {'; '.join(bad)}")


def in_our_layout(values: np.ndarray) -> np.ndarray:
    return np.transpose(values, (*range(2, values.ndim), 1, 0)) if values.ndim > 1 else values


def _in_their_layout(shape: Sequence[int]) -> list[int]:
    return [*shape[:-3:-1], *shape[:-2]]


def frames(convolutions: list[np.ndarray]) -> int:
    """How many frames clips have: each kernel of 4 frames halves them, and the last kernel spans what is left."""
    *levels, last = convolutions
    return last.shape[2] * 2 ** sum(kernel.shape[2] == 4 for kernel in levels)


def base_width(widths: Iterable[int], doublings: int) -> int:
    """The width that most levels' channels, finest first, bear out, so that a wrong one among them is named."""
    return statistics.mode(width // 2 ** min(level, doublings) for level, width in enumerate(widths))


def channels(base_width: int, frame_size: int, doublings: int) -> list[int]:
    """Channels of a clip, and of the feature maps of each level of its ladder down to 4x4 pixels."""
    levels = (frame_size // 4).bit_length() - 1
    return [3] + [base_width * 2 ** min(level, doublings) for level in range(levels)]


def kernel_frames(levels: int, num_frames: int, still: int = 0) -> list[int]:
    """Frames that the kernel of each level spans, and last those that are left at 4x4 pixels: the inverse of `frames`.

    Args:
        still: how many of the finest levels leave the number of frames as it is.
    """
    halvings = min(levels - still, max(num_frames, 1).bit_length() - 1)
    return [3] * still + [4] * halvings + [3] * (levels - still - halvings) + [num_frames >> halvings]


def convolution(
    name: str, window: Sequence[int], inputs: int, outputs: int, transposed: bool = False, bias: bool = False,
    norm: bool = True,
) -> Shapes:  # fmt: skip
    """The shapes of a convolution's variables, and of those of the batch normalisation behind it."""
    shapes: Shapes = {f"{name}/kernel": (*window, *((outputs, inputs) if transposed else (inputs, outputs)))}
    shapes |= {f"{name}/bias": (outputs,)} if bias else {}
    return shapes | {f"{name.replace('conv', 'bn')}/{variable}": (outputs,) for variable in NORM if norm}


def down(stem: str, windows: Sequence[Sequence[int]], widths: Sequence[int], bias: bool = False) -> Shapes:
    """The shapes of a ladder of convolutions, finest first, of which the first has no batch normalisation."""
    shapes: Shapes = {}
    for level, window in enumerate(windows):
        name = f"{stem}{level + 1}"
        shapes |= convolution(name, window, widths[level], widths[level + 1], bias=bias, norm=level > 0)
    return shapes


def up(stem: str, windows: Sequence[Sequence[int]], widths: Sequence[int], bias: bool = False) -> Shapes:
    """The shapes of the transposed convolutions from 4x4 pixels, whose number is 2, to half the frame's size."""
    shapes: Shapes = {}
    for level in range(1, len(windows)):
        name, size = f"{stem}{len(windows) + 1 - level}", (widths[level + 1], widths[level])
        shapes |= convolution(name, windows[level], *size, transposed=True, bias=bias)
    return shapes


def listed(keys: Iterable[str]) -> str:
    names = list(keys)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
