"""How much memory a run's networks ask for, counted from its options: nothing is built.

A `config.json` is a few hundred bytes, whoever wrote it, and can ask for a network of a terabyte.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from tfvideogan.config import ModelConfig, UsageError
from tfvideogan.models import blocks

_FLOAT = 4  # bytes
_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")


def check(config: ModelConfig) -> None:
    """Raises UsageError if the networks of a run ask for more memory than there is."""
    needed, there = of_sampling(config), of_machine()
    if needed > there:
        sizes = f"--base_width={config.base_width}, --frame_size={config.frame_size}, --num_frames={config.num_frames}"
        raise UsageError(
            f"--run_dir asks for about {needed / 2**30:,.0f} GiB by its {sizes}, more than the "
            f"{there / 2**30:,.1f} GiB of this machine; --trust loads it nevertheless"
        )


def of_sampling(config: ModelConfig) -> int:
    """Bytes, about: all weights twice, as their values lie beside them while they are loaded, and one clip's maps."""
    return _FLOAT * (2 * parameters(config) + 2 * _maps(config))


def parameters(config: ModelConfig) -> int:
    """The weights of all networks of a run, of both stages, to some per cent."""
    strides, widths = _strides(config), _widths(config)
    trunk = flat = 0
    for stride, (source, target) in zip(strides, itertools.pairwise(widths), strict=True):
        kernel = blocks.cube(stride)["kernel"]
        trunk += kernel[0] * kernel[1] * kernel[2] * source * target + 4 * target  # The norm has four values a channel.
        flat += kernel[1] * kernel[2] * source * target + 4 * target
    smallest = _seed_frames(config) * blocks.SMALLEST_MAP**2 * widths[-1]
    if config.model == "mdgan":  # Two U-Nets, down and up, and a discriminator.
        return 5 * trunk + 4 * smallest * widths[-1] + smallest
    from_latents, from_code = 100 * smallest, _seed_frames(config) * widths[-1] ** 2
    streams = {
        "vgan": from_latents + flat + 100 * blocks.SMALLEST_MAP**2 * widths[-1],
        "vgan_one_stream": from_latents,
        "vgan_conditional": from_code + 2 * flat,  # An encoder takes the place of the latents.
    }
    return 2 * trunk + streams[config.model] + 2 * smallest


def of_machine() -> int:
    """Bytes of this machine's memory, or of the control group of a container if they are fewer."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # There is no such group, or its limit is "max".
        there = min(there, int(_CONTROL_GROUP.read_text(encoding="ascii")))
    return there


def _maps(config: ModelConfig) -> int:
    """The values of a clip, and of a feature map of each level."""
    frames, size, values = config.num_frames, config.frame_size, 0
    for stride, width in zip([1, *_strides(config)], _widths(config), strict=True):
        frames //= stride
        values += frames * size**2 * width
        size //= 2
    return values


def _strides(config: ModelConfig) -> list[int]:
    return blocks.temporal_strides(config.frame_size, config.num_frames, config.model == "mdgan")


def _widths(config: ModelConfig) -> list[int]:
    """Channels of a clip and of the feature maps, finest first."""
    largest = 4 if config.model == "mdgan" else 3
    return [3, *(config.base_width * 2 ** min(level, largest) for level in range(len(_strides(config))))]


def _seed_frames(config: ModelConfig) -> int:
    """The frames of the smallest feature map."""
    return config.num_frames // 2 ** _strides(config).count(2)
