"""Files as the papers' authors have them, from any weights: PyTorch's two formats and Torch7's, by writers of our own.

`tests/weights/test_torch.py` holds the former against PyTorch, where it is installed.
"""

from __future__ import annotations

import io
import itertools
import struct
import zipfile
from typing import Any

import keras
import numpy as np

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
D2 = {
    "conv1": "slice1.0", "conv2": "slice2.0", "bn2": "slice2.1", "conv3": "slice2.3", "bn3": "slice2.4",
    "conv4": "slice3.0", "bn4": "slice3.1", "conv5": "slice3.3", "bn5": "slice3.4", "logits_conv": "slice4.0",
}  # fmt: skip


def torch_layout(kernel: np.ndarray) -> np.ndarray:
    """Keras' kernel [*K, a, b] as PyTorch's [b, a, *K]."""
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def state_dict(network: keras.Model) -> dict[str, np.ndarray]:
    """The weights of one of MD-GAN's networks by the names of the authors' modules (spec: mdgan.md)."""
    found = {}
    for layer in network.layers:
        theirs = D2.get(layer.name, layer.name.replace("_conv", "Conv").replace("_bn", "BN"))
        if hasattr(layer, "kernel"):
            found[f"{theirs}.weight"] = torch_layout(layer.kernel.numpy())
        elif hasattr(layer, "gamma"):
            found |= {f"{theirs}.{key}": getattr(layer, ours).numpy() for key, ours in NORM.items()}
    return found


def legacy(tensors: dict[str, np.ndarray], pickled: bytes | None = None) -> bytes:
    """A file as PyTorch 0.3 wrote it, with `pickled` in place of its main pickle if that is given."""
    magic = b"\x80\x02\x8a\n" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
    machine = b"\x80\x02}(" + _text("little_endian") + b"\x88" + _text("protocol_version") + _number(1001) + b"u."
    keys = b"\x80\x02](" + b"".join(_text(str(key)) for key in range(len(tensors))) + b"e."
    parts = [magic, b"\x80\x02" + _number(1001) + b".", machine, pickled or pickle_of(tensors, b"N"), keys]
    for values in tensors.values():
        parts += [struct.pack("<q", values.size), np.ascontiguousarray(values).tobytes()]
    return b"".join(parts)


def zipped(
    tensors: dict[str, np.ndarray], pickled: bytes | None = None, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """A file as PyTorch 1.6 and later write it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("netG/data.pkl", pickled or pickle_of(tensors))
        for key, values in enumerate(tensors.values()):
            archive.writestr(f"netG/data/{key}", np.ascontiguousarray(values).tobytes())
        archive.writestr("netG/version", "3\n")
    return file.getvalue()


def pickle_of(tensors: dict[str, np.ndarray], view: bytes = b"") -> bytes:
    """The pickle of an ordered dict of float32 tensors, with memo and versions as PyTorch has them."""
    made = b"ccollections\nOrderedDict\nq\x00)R"
    items = (_text(name) + b"r" + struct.pack("<I", 1 + i) + tensor(str(i), v.shape, v.size, view)
             for i, (name, v) in enumerate(tensors.items()))  # fmt: skip
    versions = b"}(" + _text("_metadata") + made + b"ub"
    return b"\x80\x02" + made + b"(" + b"".join(items) + b"u" + versions + b"."


def tensor(key: str, shape: tuple[int, ...], count: int, view: bytes = b"", offset: int = 0) -> bytes:
    strides = [int(np.prod(shape[axis + 1 :], dtype=object)) for axis in range(len(shape))]
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu") + _number(count)
    axes = b"".join(b"(" + b"".join(map(_number, numbers)) + b"t" for numbers in (shape, strides))
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"tQ" + _number(offset) + axes
    return made + b"\x89ccollections\nOrderedDict\n)RtR"


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if abs(value) < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


class Module(dict):
    """An object of a Torch7 class, with fields."""

    def __init__(self, kind: str, **fields: Any):
        super().__init__(fields)
        self.kind = kind


def torch7(value: Any, tensors: str = "torch.Cuda") -> bytes:
    """A Torch7 file: None, bool, numbers, strings, dicts, arrays (as tensors of this class), and `Module`s."""
    indices = itertools.count(1)
    return b"".join(_torch7(value, indices, tensors))


def _torch7(value: Any, indices: Any, tensors: str) -> Any:
    if value is None:
        yield struct.pack("<i", 0)
    elif isinstance(value, bool):
        yield struct.pack("<ii", 5, value)
    elif isinstance(value, int | float):
        yield struct.pack("<id", 1, value)
    elif isinstance(value, str):
        yield struct.pack("<i", 2) + _lua_string(value)
    elif isinstance(value, np.ndarray):
        yield struct.pack("<ii", 4, next(indices)) + _lua_string("V 1") + _lua_string(f"{tensors}Tensor")
        strides = [stride // value.itemsize for stride in value.strides]
        yield struct.pack(f"<i{2 * value.ndim}qq", value.ndim, *value.shape, *strides, 1)
        yield struct.pack("<ii", 4, next(indices)) + _lua_string("V 1") + _lua_string(f"{tensors}Storage")
        yield struct.pack("<q", value.size) + value.tobytes()
    else:
        if isinstance(value, Module):
            yield struct.pack("<ii", 4, next(indices)) + _lua_string("V 1") + _lua_string(value.kind)
        yield struct.pack("<iii", 3, next(indices), len(value))
        for item in itertools.chain.from_iterable(value.items()):
            yield from _torch7(item, indices, tensors)


def _lua_string(value: str) -> bytes:
    return struct.pack("<i", len(value)) + value.encode("latin-1")


def sequential(*modules: Module, kind: str = "nn.Sequential") -> Module:
    return Module(kind, modules=dict(enumerate(modules, 1)), train=False)


class Torch7Network:
    """Modules of Video-GAN's authors (spec: vgan.md) with the weights of one of our networks."""

    def __init__(self, network: keras.Model, package: str = "cudnn"):
        self._layers = {layer.name: layer for layer in network.layers}
        self._package = package

    def generator(self) -> Module:
        """The two-stream generator: a table of both streams, then their fusion."""
        return self._fused(sequential(Module("nn.View"), *self._stream("b", 1), Module("nn.Tanh")))

    def one_stream(self) -> Module:
        return sequential(Module("nn.View"), *self._stream("f", 1), Module("nn.Tanh"))

    def conditional(self) -> Module:
        encoder = sequential(*self._convolutions("e_conv", "SpatialConvolution", 1))
        return sequential(encoder, self._fused(sequential(*self._stream("b", 2), Module("nn.Tanh"))))

    def discriminator(self) -> Module:
        layers = [*self._convolutions("conv", "VolumetricConvolution", 1)]
        return sequential(*layers, self._module("logits_conv", "VolumetricConvolution"), Module("nn.View"))

    def _fused(self, background: Module) -> Module:
        kind = "VolumetricFullConvolution"
        trunk = self._convolutions("f_conv", kind, 1)
        heads = sequential(sequential(self._module("f_head", kind), Module("nn.Tanh")),
                           sequential(self._module("m_head", kind), Module("nn.Sigmoid"), Module("nn.L1Penalty")),
                           kind="nn.ConcatTable")  # fmt: skip
        streams = sequential(sequential(Module("nn.View"), *trunk, heads), background, kind="nn.ConcatTable")
        fusion = sequential(Module("nn.CMulTable"), Module("nn.CMulTable"), kind="nn.ConcatTable")
        return sequential(streams, Module("nn.FlattenTable"), fusion, Module("nn.CAddTable"))

    def _stream(self, letter: str, first: int) -> list[Module]:
        kind = "VolumetricFullConvolution" if letter == "f" else "SpatialFullConvolution"
        return [*self._convolutions(f"{letter}_conv", kind, first), self._module(f"{letter}_head", kind)]

    def _convolutions(self, stem: str, kind: str, first: int) -> list[Module]:
        made = []
        for name in itertools.takewhile(self._layers.__contains__, (f"{stem}{n}" for n in itertools.count(first))):
            made.append(self._module(name, kind))
            if (norm := name.replace("conv", "bn")) in self._layers:
                layer, rank = self._layers[norm], kind.partition("F")[0].partition("C")[0]
                fields = {key: getattr(layer, ours).numpy() for key, ours in NORM.items()}
                made.append(Module(f"{self._package}.{rank}BatchNormalization", **fields, eps=layer.epsilon))
            made.append(Module(f"{self._package}.ReLU", inplace=True))
        return made

    def _module(self, name: str, kind: str) -> Module:
        layer = self._layers[name]
        weight = torch_layout(layer.kernel.numpy())
        fields = {"weight": weight, "bias": layer.bias.numpy(), "gradWeight": np.zeros(0, np.float32), "nInputPlane": 3}
        return Module(f"{self._package}.{kind}", **fields)
