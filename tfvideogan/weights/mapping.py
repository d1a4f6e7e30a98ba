"""Published networks by our names: which variable of ours is which tensor of the authors' files.

Convolutions of PyTorch and Torch7 are [out, in, (T,) H, W], and transposed ones [in, out, (T,) H, W]. One permutation
makes them Keras': [(T,) H, W, in, out] and [(T,) H, W, out, in].
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.weights.torch7 import Module

logger = logging.getLogger(__name__)

_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_COUNT = "num_batches_tracked"  # PyTorch counts batches beside the statistics, and no network needs that.
_LEVELS = range(2, 8)  # Frames of 16 to 512 pixels.


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
        """Raises UsageError naming each tensor that is no number throughout, or a variance below zero."""
        bad = []
        for name, values in self.arrays.items():
            if values.dtype.kind != "f":
                bad.append(f"{self.keys[name]} is of {values.dtype}")
            elif not np.isfinite(values).all():
                bad.append(f"{self.keys[name]} has values that are not finite")
            elif name.endswith("moving_variance") and (values < 0).any():
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


def mdgan_keys(levels: int, role: str) -> dict[str, str]:
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
            keys |= {f"{ours}/{name}": f"{theirs}.{key}" for name, key in _NORM.items()}
        else:
            keys[f"{ours}/kernel"] = f"{theirs}.weight"
    return keys


def mdgan(state_dict: Mapping[str, np.ndarray]) -> Published:
    """G1, G2 or D2 of MD-GAN's authors. Raises UsageError naming each key that does not fit."""
    tensors = _without_prefix(state_dict)
    roles = {"generator": r"downConv\d+\.weight", "discriminator": r"slice\d+\.(0|3)\.weight"}
    counts = {role: sum(bool(re.fullmatch(form, key)) for key in tensors) for role, form in roles.items()}
    role = max(counts, key=counts.get)
    levels = counts[role] - 1
    if levels not in _LEVELS:
        raise UsageError(f"the state dict of another network than MD-GAN's: {_listed(tensors)}")
    keys = mdgan_keys(levels, role)
    unknown = [key for key in tensors if key not in keys.values() and not key.endswith(f".{_COUNT}")]
    _check_keys([key for key in keys.values() if key not in tensors], unknown)
    convolutions = [tensors[key] for name, key in keys.items() if re.fullmatch(r"(down_|logits_)?conv\d*/kernel", name)]
    _check_ranks((keys[name], tensors[keys[name]], 5 if name.endswith("kernel") else 1) for name in keys)
    width = convolutions[0].shape[0]
    _check_width(keys, tensors, convolutions[-1].shape[1], width * 2 ** min(levels - 1, 4))
    options = {"model": "mdgan", "base_width": width, "frame_size": 4 * 2**levels, "num_frames": _frames(convolutions)}
    return Published(role, options, {n: _in_our_layout(tensors[k]) for n, k in keys.items()}, keys)


def to_mdgan(arrays: Mapping[str, np.ndarray], role: str) -> dict[str, np.ndarray]:
    """The state dict of one of MD-GAN's networks by our variables: the inverse of `mdgan`."""
    levels = sum(bool(re.fullmatch(r"(down_)?conv\d+/kernel", name)) for name in arrays) - (role == "generator")
    found = {}
    for name, key in mdgan_keys(levels, role).items():
        values = arrays[name]
        found[key] = np.ascontiguousarray(np.transpose(values, (4, 3, 0, 1, 2)) if values.ndim == 5 else values)
        if name.endswith("moving_variance"):
            found[key.replace("running_var", _COUNT)] = np.zeros([], np.int64)
    return found


def vgan(content: Any) -> list[Published]:
    """The generator, the discriminator, or both, of a Torch7 file of Video-GAN's authors.

    Raises:
        UsageError: there is none, or something in it has no place in these networks.
    """
    if isinstance(content, Module):
        return [_vgan_network(content)]
    found = [value for value in content.values() if isinstance(value, Module)] if isinstance(content, dict) else []
    networks = [module for module in found if next(_leaves(module), None)]
    if not networks:
        raise UsageError("no network: a Torch7 file must hold an nn.Sequential, or a table of them")
    return [_vgan_network(module) for module in networks]


# What our networks call the convolutions of each class: two streams, an encoder, and the discriminator.
_STREAMS = {
    "VolumetricFullConvolution": "f_conv", "SpatialFullConvolution": "b_conv", "SpatialConvolution": "e_conv",
    "SpatialConvolutionMM": "e_conv", "VolumetricConvolution": "conv", "VolumetricConvolutionMM": "conv",
}  # fmt: skip


def _vgan_network(network: Module) -> Published:
    leaves = [(place, leaf) for place, leaf in _leaves(network) if isinstance(leaf.fields.get("weight"), np.ndarray)]
    counts = collections.Counter(_STREAMS.get(_short(leaf)) for _, leaf in leaves)
    convolutions: dict[str, list[np.ndarray]] = {stream: [] for stream in _STREAMS.values()}
    arrays: dict[str, np.ndarray] = {}
    keys: dict[str, str] = {}
    name = ""
    for place, leaf in leaves:
        where, kind = f"module {place} ({leaf.kind})", _short(leaf)
        if stream := _STREAMS.get(kind):
            convolutions[stream].append(_kernel(leaf, where))
            name = _vgan_name(stream, convolutions[stream], counts)
            found = {"kernel": "weight", "bias": "bias"}
        elif kind.endswith("BatchNormalization") and name:
            name, found = name.replace("conv", "bn"), _NORM
        else:
            raise UsageError(f"{where} has no place in Video-GAN's networks")
        for ours, key in found.items():
            values = convolutions[stream][-1] if ours == "kernel" else leaf.fields.get(key)
            if not isinstance(values, np.ndarray) or f"{name}/{ours}" in arrays:
                problem = "has no place in Video-GAN's networks" if f"{name}/{ours}" in arrays else "is missing"
                raise UsageError(f"{where}.{key} {problem}")
            arrays[f"{name}/{ours}"], keys[f"{name}/{ours}"] = _in_our_layout(values), f"{where}.{key}"
    return _described(convolutions, arrays, keys)


def _vgan_name(stream: str, so_far: list[np.ndarray], counts: Mapping[str, int]) -> str:
    """What our networks call the last of these convolutions of one stream, by how many each stream has."""
    number = len(so_far)
    heads = {"f_conv": 2 if counts["b_conv"] else 1, "b_conv": 1, "conv": 1, "e_conv": 0}[stream]
    if number > counts[stream] - heads:
        if stream == "f_conv":
            return "m_head" if so_far[-1].shape[1] == 1 else "f_head"
        return "b_head" if stream == "b_conv" else "logits_conv"
    # The conditional background begins with the encoder's code, where the other has a convolution of the latents.
    return f"{stream}{number + (stream == 'b_conv' and counts['e_conv'] > 0)}"


def _described(
    convolutions: dict[str, list[np.ndarray]], arrays: dict[str, np.ndarray], keys: dict[str, str]
) -> Published:
    """The network that these convolutions are of."""
    video, judge = convolutions["f_conv"], convolutions["conv"]
    if bool(video) == bool(judge) or (video and "f_head/kernel" not in arrays):
        raise UsageError(f"neither a generator nor a discriminator of Video-GAN: {_listed(keys.values())}")
    # The heads stand on one trunk, so that only one of them doubles the frames.
    trunk = video[: -2 if convolutions["b_conv"] else -1]
    ladder = judge or [*trunk[1:], *trunk[:1]]
    levels = len(trunk) or len(judge) - 1
    if levels not in _LEVELS:
        raise UsageError(f"a network of {levels} levels: {_listed(keys.values())}")
    width = judge[0].shape[0] if judge else trunk[-1].shape[1]
    coarsest = judge[-1].shape[1] if judge else trunk[0].shape[1]
    _check_width(keys, arrays, coarsest, width * 2 ** min(levels - 1, 3))
    frames = _frames(ladder) * (1 if judge else 2)
    options = {"base_width": width, "frame_size": 4 * 2**levels, "num_frames": frames}
    if video:
        streams = "vgan" if convolutions["b_conv"] else "vgan_one_stream"
        options["model"] = "vgan_conditional" if convolutions["e_conv"] else streams
    return Published("generator" if video else "discriminator", options, arrays, keys)


def _leaves(module: Module) -> Iterator[tuple[str, Module]]:
    """The modules that hold no others, in order, with their places (`1.1.2`).

    Each is told once: modules may hold one another as often as a file likes.
    """
    seen, waiting = set(), [("", module)]
    while waiting:
        place, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        parts = module.fields.get("modules")
        if not isinstance(parts, dict):
            yield place or "0", module
            continue
        numbers = sorted((key for key in parts if isinstance(parts[key], Module) and type(key) is int), reverse=True)
        waiting += [(f"{place}.{number}".strip("."), parts[number]) for number in numbers]


def _short(leaf: Module) -> str:
    """`cudnn.SpatialConvolution` -> `SpatialConvolution`; both packages' modules hold the same."""
    return leaf.kind.rpartition(".")[2]


def _kernel(leaf: Module, where: str) -> np.ndarray:
    """The weights of a convolution. Those of the classes called MM are matrices [out, in * H * W]."""
    weight, fields = leaf.fields["weight"], leaf.fields
    rank = 5 if "Volumetric" in leaf.kind else 4
    if weight.ndim == 2 and not any(isinstance(fields.get(name), str | dict) for name in ("kT", "kH", "kW")):
        taps = [fields.get(name) for name in ("kT", "kH", "kW")[5 - rank :]]
        sizes = [fields.get("nOutputPlane"), fields.get("nInputPlane"), *taps]
        if all(type(size) is int and size > 0 for size in sizes) and np.prod(sizes, dtype=object) == weight.size:
            return weight.reshape(sizes)
    if weight.ndim != rank:
        raise UsageError(f"{where}.weight has shape {list(weight.shape)}, and a kernel has {rank} axes")
    return weight


def _in_our_layout(values: np.ndarray) -> np.ndarray:
    return np.transpose(values, (*range(2, values.ndim), 1, 0)) if values.ndim > 1 else values


def _frames(convolutions: list[np.ndarray]) -> int:
    """How many frames clips have: each kernel of 4 frames halves them, and the last kernel spans what is left."""
    *levels, last = convolutions
    return last.shape[2] * 2 ** sum(kernel.shape[2] == 4 for kernel in levels)


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


def _check_ranks(expected: Iterable[tuple[str, np.ndarray, int]]) -> None:
    bad = [
        f"{key} has shape {list(values.shape)}, not {rank} axes"
        for key, values, rank in expected
        if values.ndim != rank
    ]
    if bad:
        raise UsageError(f"not this network: {'; '.join(bad)}")


def _check_width(keys: Mapping[str, str], tensors: Mapping[str, np.ndarray], coarsest: int, expected: int) -> None:
    """Raises UsageError for a width that the file's own tensors do not bear out.

    The network that is then built can be no more than ten times as large as what the file holds.
    """
    if coarsest != expected or sum(values.size for values in tensors.values()) < 16 * coarsest**2:
        first = next(iter(keys.values()))
        raise UsageError(
            f"not this network: by {first} the coarsest maps have {expected} channels. Received: {coarsest}, and "
            f"{sum(values.size for values in tensors.values())} values in all"
        )


def _listed(keys: Iterable[str]) -> str:
    names = list(keys)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
