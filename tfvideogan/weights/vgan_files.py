"""Which variable of Video-GAN's networks is which tensor of its authors' Torch7 modules (arXiv 1609.02612).

Modules are told by their classes and their order, so it does not matter how the file nests them.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tfvideogan.config import UsageError
from tfvideogan.weights import mapping
from tfvideogan.weights.torch7 import Module

_LATENTS = 100  # Video-GAN's generators take so many.
_DOUBLINGS = 3  # The coarsest maps have up to 8 times as many channels as the finest.

# What our networks call the convolutions of each class: two streams, an encoder, and the discriminator.
_STREAMS = {
    "VolumetricFullConvolution": "f_conv", "SpatialFullConvolution": "b_conv", "SpatialConvolution": "e_conv",
    "SpatialConvolutionMM": "e_conv", "VolumetricConvolution": "conv", "VolumetricConvolutionMM": "conv",
}  # fmt: skip


def networks(content: Any) -> list[mapping.Published]:
    """The generator, the discriminator, or both, of a Torch7 file of Video-GAN's authors.

    Raises:
        UsageError: there is none, or something in it has no place in these networks.
    """
    if isinstance(content, Module):
        return [_network(content)]
    modules = [value for value in content.values() if isinstance(value, Module)] if isinstance(content, dict) else []
    with_modules = [module for module in modules if next(_leaves(module), None)]
    if not with_modules:
        raise UsageError("no network: a Torch7 file must hold an nn.Sequential, or a table of them")
    return [_network(module) for module in with_modules]


def _network(network: Module) -> mapping.Published:
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
            name = _name(stream, convolutions[stream], counts)
            fields = {"kernel": "weight", "bias": "bias"}
        elif kind.endswith("BatchNormalization") and name:
            name, fields = name.replace("conv", "bn"), mapping.NORM
        else:
            raise UsageError(f"{where} has no place in Video-GAN's networks")
        for ours, key in fields.items():
            values = convolutions[stream][-1] if ours == "kernel" else leaf.fields.get(key)
            if not isinstance(values, np.ndarray) or f"{name}/{ours}" in arrays:
                problem = "has no place in Video-GAN's networks" if f"{name}/{ours}" in arrays else "is missing"
                raise UsageError(f"{where}.{key} {problem}")
            arrays[f"{name}/{ours}"], keys[f"{name}/{ours}"] = mapping.in_our_layout(values), f"{where}.{key}"
    return _described(convolutions, arrays, keys)


def _name(stream: str, so_far: list[np.ndarray], counts: Mapping[str, int]) -> str:
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
) -> mapping.Published:
    """The network that these convolutions are of."""
    video, judge = convolutions["f_conv"], convolutions["conv"]
    if bool(video) == bool(judge) or (video and "f_head/kernel" not in arrays):
        found = mapping.listed(keys.values()) or "no convolution"
        raise UsageError(f"neither a generator nor a discriminator of Video-GAN. Received: {found}")
    # The heads stand on one trunk, so that only one of them doubles the frames.
    trunk = video[: -2 if convolutions["b_conv"] else -1]
    ladder = judge or [*trunk[1:], *trunk[:1]]
    levels = len(trunk) or len(judge) - 1
    if levels not in mapping.LEVELS:
        raise UsageError(f"a network of {levels} levels: {mapping.listed(keys.values())}")
    widths = [kernel.shape[0] for kernel in judge[:-1]] or [kernel.shape[1] for kernel in reversed(trunk)]
    frames = mapping.frames(ladder) * (1 if judge else 2)
    sizes = {"base_width": mapping.base_width(widths, _DOUBLINGS), "frame_size": 4 * 2**levels, "num_frames": frames}
    model = None
    if video:
        streams = "vgan" if convolutions["b_conv"] else "vgan_one_stream"
        model = "vgan_conditional" if convolutions["e_conv"] else streams
    options = {"model": model, **sizes} if model else sizes
    published = mapping.Published("generator" if model else "discriminator", options, arrays, keys)
    published.check_shapes(shapes_of(model, **sizes))
    return published


def shapes_of(model: str | None, base_width: int, frame_size: int, num_frames: int) -> mapping.Shapes:
    """The shapes of our variables of a model's generator, or without a model of the discriminator."""
    widths = mapping.channels(base_width, frame_size, _DOUBLINGS)
    levels, coarsest = len(widths) - 1, widths[-1]
    *windows, seed = [(count, 4, 4) for count in mapping.kernel_frames(levels, num_frames)]
    if model is None:
        last = mapping.convolution("logits_conv", seed, coarsest, 2, bias=True, norm=False)
        return mapping.down("conv", windows, widths, bias=True) | last
    deconv = functools.partial(mapping.convolution, transposed=True, bias=True)
    square = [(4, 4)] * levels
    shapes = mapping.up("f_conv", windows, widths, bias=True) | deconv("f_head", (4, 4, 4), base_width, 3, norm=False)
    if model == "vgan_conditional":
        shapes |= mapping.down("e_conv", square, widths, bias=True)
        shapes |= deconv("f_conv1", (seed[0], 1, 1), coarsest, coarsest)
    else:
        shapes |= deconv("f_conv1", seed, _LATENTS, coarsest)
    if model == "vgan":
        shapes |= deconv("b_conv1", (4, 4), _LATENTS, coarsest)
    if model != "vgan_one_stream":
        shapes |= deconv("m_head", (4, 4, 4), base_width, 1, norm=False)
        shapes |= mapping.up("b_conv", square, widths, bias=True) | deconv("b_head", (4, 4), base_width, 3, norm=False)
    return shapes


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
