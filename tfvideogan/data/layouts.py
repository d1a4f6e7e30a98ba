"""What the axes and the values of arrays mean: by flags, or by a rule that looks at shape and type alone.

Without `--array_layout` an array of three axes is [T, H, W], one of five [N, T, H, W, C], and one of four [T, H, W, C]
if its last axis has 1, 3 or 4 places, or else [N, T, H, W]. Without `--array_range` bool, uint8 and uint16 go from 0 to
the highest value that they can have; of all other types black and white have to be told.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfvideogan.config import DataConfig
from tfvideogan.files.arrays import Header, Part

_BY_TYPE = {"bool": "0:1", "uint8": "0:255", "uint16": "0:65535"}
_MOST_SEQUENCES = 1_000_000


@dataclasses.dataclass(frozen=True)
class Form:
    """How arrays are to be read.

    Attributes:
        layout: `--array_layout`; auto stands for the rule.
        values: `--array_range`; auto stands for the rule.
        least: an array with fewer frames a sequence is refused as a whole.
    """

    layout: str = "auto"
    values: str = "auto"
    least: int = 1

    @classmethod
    def of(cls, options: DataConfig) -> Form:
        """How a training reads arrays."""
        return cls(options.array_layout, options.array_range)


BY_RULE = Form()


def may_hold_clips(header: Header) -> bool:
    """Whether an array has as many axes as clips have; labels, for one, have fewer."""
    return 3 <= len(header.shape) <= 5


def parts(header: Header, form: Form) -> list[Part]:
    """The sequences in an array.

    Raises:
        ValueError: it does not fit the layout, or nothing tells what is black and white, or its sequences are short.
    """
    shape = list(header.shape)
    layout = _by_shape(shape) if form.layout == "auto" else form.layout
    if len(layout) != len(shape):
        raise ValueError(f"its shape {shape} does not fit --array_layout={layout}")
    size = dict(zip(layout, shape, strict=True))
    if size.get("C", 1) not in (1, 3, 4):
        raise ValueError(f"read as {layout}, its shape {shape} has {size['C']} channels, and not 1, 3 or 4")
    if min(shape) < 1 or size.get("N", 1) > _MOST_SEQUENCES:
        raise ValueError(f"its shape is {shape}")
    if size["T"] < form.least:
        raise ValueError(f"read as {layout}, its shape {shape} has {size['T']} frames, fewer than {form.least}")
    values = _by_type(header.dtype) if form.values == "auto" else form.values
    indices = range(size["N"]) if "N" in size else [None]
    return [Part(header.member, layout, values, index) for index in indices]


def _by_shape(shape: list[int]) -> str:
    if not 3 <= len(shape) <= 5:
        raise ValueError(f"its shape {shape} has {len(shape)} axes, and not 3 to 5")
    return {3: "THW", 4: "THWC" if shape[-1] in (1, 3, 4) else "NTHW", 5: "NTHWC"}[len(shape)]


def _by_type(dtype: np.dtype) -> str:
    if dtype.name not in _BY_TYPE:
        raise ValueError(
            f"nothing tells what is black and white in {dtype.name}: --array_range=0:1, -1:1 or 0:255 does "
            "(of train, preview, evaluate and prepare_data)"
        )
    return _BY_TYPE[dtype.name]
