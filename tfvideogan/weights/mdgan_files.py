"""Which variable of MD-GAN's networks is which tensor of its authors' state dicts, and back.

The keys are those of the released modules (arXiv 1709.07592): G1 and G2 have the same, D2 has slices.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.weights import mapping

logger = logging.getLogger(__name__)

_COUNT = "num_batches_tracked"  # PyTorch counts batches beside the statistics, and no network needs that.
_DOUBLINGS = 4  # The coarsest maps have up to 16 times as many channels as the finest.


def keys_of(levels: int, role: str) -> dict[str, str]:
    """PyTorch's key of each of our variables of MD-GAN's networks, whose frames have 4 * 2**levels pixels."""
    layers: dict[str, str] = {}
    if role == "generator":
        for way, last, first_norm in (("down", levels + 1, 2), ("up", levels + 1, 1)):
            layers |= {f"{way}_conv{n}": f"{way}Conv{n}" for n in range(1, last + 1)}
            layers |= {f"{way}_bn{n}": f"{way}BN{n}" for n in range(first_norm, levels + 1)}
    else:  # Two convolutions a slice, each with batch normalisation and LeakyReLU behind it.
        layers["conv1"] = "slice1.0"
        for level in range(2, levels + 1):
            part, place = 2 + (level - 2) // 2, 3 * (level % 2)
            layers |= {f"conv{level}": f"slice{part}.{place}", f"bn{level}": f"slice{part}.{place + 1}"}
        layers["logits_conv"] = f"slice{3 + (levels - 2) // 2}.0"
    keys = {}
    for ours, theirs in layers.items():
        if "bn" in ours:
            keys |= {f"{ours}/{name}": f"{theirs}.{key}" for name, key in mapping.NORM.items()}
        else:
            keys[f"{ours}/kernel"] = f"{theirs}.weight"
    return keys


def shapes_of(role: str, base_width: int, frame_size: int, num_frames: int) -> mapping.Shapes:
    """The shapes of our variables of MD-GAN's networks, so that a file can be checked before any network is built."""
    widths = mapping.channels(base_width, frame_size, _DOUBLINGS)
    levels, coarsest = len(widths) - 1, widths[-1]
    *windows, seed = [(count, 4, 4) for count in mapping.kernel_frames(levels, num_frames, still=1)]
    if role == "discriminator":
        last = mapping.convolution("logits_conv", seed, coarsest, 1, norm=False)
        return mapping.down("conv", windows, widths) | last
    return {
        **mapping.down("down_conv", windows, widths),
        **mapping.convolution(f"down_conv{levels + 1}", seed, coarsest, coarsest, norm=False),
        **mapping.convolution("up_conv1", seed, coarsest, coarsest, transposed=True),
        **mapping.up("up_conv", windows, widths),
        **mapping.convolution(f"up_conv{levels + 1}", windows[0], base_width, 3, transposed=True, norm=False),
    }


def network(tensors_by_key: Mapping[str, np.ndarray]) -> mapping.Published:
    """G1, G2 or D2 of MD-GAN's authors. Raises UsageError naming each key that does not fit."""
    tensors = _without_prefix(tensors_by_key)
    roles = {"generator": r"downConv\d+\.weight", "discriminator": r"slice\d+\.(0|3)\.weight"}
    counts = {role: sum(bool(re.fullmatch(form, key)) for key in tensors) for role, form in roles.items()}
    role = max(counts, key=counts.get)
    levels = counts[role] - 1
    if levels not in mapping.LEVELS:
        raise UsageError(f"the state dict of another network than MD-GAN's: {mapping.listed(tensors)}")
    keys = keys_of(levels, role)
    unknown = [key for key in tensors if key not in keys.values() and not key.endswith(f".{_COUNT}")]
    _check_keys([key for key in keys.values() if key not in tensors], unknown)
    kernels = {key: tensors[key] for name, key in keys.items() if re.fullmatch(r"(down_|logits_)?conv\d*/kernel", name)}
    if flat := [f"{key} has shape {list(kernel.shape)}" for key, kernel in kernels.items() if kernel.ndim != 5]:
        raise UsageError(f"not MD-GAN's network, whose kernels have 5 axes: {'; '.join(flat)}")
    convolutions = list(kernels.values())
    sizes = {
        "base_width": mapping.base_width((kernel.shape[0] for kernel in convolutions[:-1]), _DOUBLINGS),
        "frame_size": 4 * 2**levels,
        "num_frames": mapping.frames(convolutions),
    }
    arrays = {name: mapping.in_our_layout(tensors[key]) for name, key in keys.items()}
    published = mapping.Published(role, {"model": "mdgan", **sizes}, arrays, keys)
    published.check_shapes(shapes_of(role, **sizes))
    return published


def state_dict(arrays: Mapping[str, np.ndarray], role: str) -> dict[str, np.ndarray]:
    """The state dict of one of MD-GAN's networks by our variables: the inverse of `network`."""
    levels = sum(bool(re.fullmatch(r"(down_)?conv\d+/kernel", name)) for name in arrays) - (role == "generator")
    tensors = {}
    for name, key in keys_of(levels, role).items():
        values = arrays[name]
        tensors[key] = np.ascontiguousarray(np.transpose(values, (4, 3, 0, 1, 2)) if values.ndim == 5 else values)
        if name.endswith("moving_variance"):
            tensors[key.replace("running_var", _COUNT)] = np.zeros([], np.int64)
    return tensors


def _without_prefix(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without `module.`, which PyTorch's DataParallel puts before all keys."""
    if all(key.startswith("module.") for key in state_dict):
        logger.info("the keys are those of a DataParallel module: `module.` is left off")
        return {key.removeprefix("module."): values for key, values in state_dict.items()}
    return dict(state_dict)


def _check_keys(missing: list[str], unknown: list[str]) -> None:
    if missing or unknown:
        bad = [f"{key} is missing" for key in missing] + [f"{key} has no place" for key in unknown]
        raise UsageError(f"not MD-GAN's network: {'; '.join(bad)}")
