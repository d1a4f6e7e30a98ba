"""A run's generator in PyTorch, to time it beside the artefacts: `pip install -c constraints.txt -e '.[bench]'`.

python -m export.torch_networks --run_dir=runs/vgan --inputs=INPUTS.npy

The command prints one line of JSON, whose names are those of `export.report.Row`: how long one
clip takes, and the largest difference from Keras.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from export import measure
from tfvideogan import cli
from tfvideogan.files import optional


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of a trained run")
    flags.DEFINE_string("inputs", None, ".npy of latents [N, 100] or frames [N, H, W, 3] in [-1, 1]")
    cli.define_stage()
    flags.DEFINE_enum("layout", "contiguous_format", ["contiguous_format", "channels_last_3d"], "of the weights in "
                      "memory; PyTorch's activations follow it")  # fmt: skip
    cli.define_timing()


def main() -> None:
    cli.require("run_dir", "inputs")
    args = cli.flags.FLAGS
    torch = optional.package("torch", "torch", extra="bench")
    cli.load_tensorflow()
    from tfvideogan.runs import loading

    torch.set_num_threads(args.threads)
    model, _ = loading.load_model(args.run_dir, args.stage)
    inputs = np.load(args.inputs)[:1]
    expected = model(inputs, training=False)["clip"].numpy()
    with torch.inference_mode():
        run = generator(torch, model, getattr(torch, args.layout))
        figures = {"max_difference": float(np.abs(run(inputs) - expected).max())}
        figures |= measure.latency(lambda: run(inputs), args.repeats)
    print(json.dumps(figures | {"peak_memory_mb": measure.peak_memory_mb()}))


def generator(torch: Any, model: Any, layout: Any) -> Any:
    """A function from latents [N, 100] or frames [N, H, W, 3] to clips [N, T, H, W, 3], all of them NumPy arrays."""
    networks = [_Network(torch, network, layout) for network in model.sampling_networks.values()]

    def run(inputs: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(inputs)
        if model.predicts:
            x = x.permute(0, 3, 1, 2)
        if model.repeats_frame:
            x = x[:, :, None].expand(-1, -1, model.num_frames, -1, -1)
        for network in networks:
            x = network(x)
        return x.permute(0, 2, 3, 4, 1).numpy()

    return run


class _Network:
    """A functional Keras network of this package, made layer by layer of PyTorch's, with channels before time."""

    def __init__(self, torch: Any, network: Any, layout: Any):
        self._torch = torch
        self._network = network
        self._modules = {layer.name: _module(torch, layer, layout) for layer in network.layers}

    def __call__(self, x: Any) -> Any:
        values = {id(self._network.inputs[0]): x}
        for layer in self._network.layers[1:]:
            sources = layer.input if isinstance(layer.input, list) else [layer.input]
            values[id(layer.output)] = self._modules[layer.name](*(values[id(source)] for source in sources))
        named = {layer.name: values[id(layer.output)] for layer in self._network.layers if id(layer.output) in values}
        if "mask" in named:  # equation 2 of Video-GAN is no layer in Keras
            return named["mask"] * named["foreground"] + (1 - named["mask"]) * named["background"]
        return named.get("generated", named.get("clip"))


def _module(torch: Any, layer: Any, layout: Any) -> Any:
    """The function in PyTorch that a Keras layer is."""
    nn, kind = torch.nn, type(layer).__name__
    if kind.startswith("Conv"):
        return _convolution(torch, layer, layout)
    if kind == "BatchNormalization":
        mean, variance, gamma, beta = (
            torch.from_numpy(v.numpy()) for v in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
        )
        return lambda x: nn.functional.batch_norm(x, mean, variance, gamma, beta, eps=layer.epsilon)
    if kind == "Reshape":  # a vector becomes a map of one position, and an image a clip of one frame
        dimensions = len(layer.target_shape) - 1
        return lambda x: x.reshape(*x.shape, *[1] * dimensions) if x.ndim == 2 else x[:, :, None]
    if kind == "Activation":
        return getattr(torch, layer.activation.__name__)
    plain = {"ReLU": nn.ReLU(), "LeakyReLU": nn.LeakyReLU(getattr(layer, "negative_slope", 0.0)), "Add": torch.add}
    return plain.get(kind)


def _convolution(torch: Any, layer: Any, layout: Any) -> Any:
    kernel = layer.kernel.numpy()
    dimensions = kernel.ndim - 2
    name = f"conv_transpose{dimensions}d" if "Transpose" in type(layer).__name__ else f"conv{dimensions}d"
    weight = torch.from_numpy(np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1))))
    if layout is not torch.contiguous_format:
        weight = weight.contiguous(memory_format=layout if dimensions == 3 else torch.channels_last)
    bias = torch.from_numpy(layer.bias.numpy()) if layer.use_bias else None
    padding = [
        (k - s) // 2 if layer.padding == "same" else 0 for k, s in zip(kernel.shape, layer.strides, strict=False)
    ]
    function = getattr(torch.nn.functional, name)
    return lambda x: function(x, weight, bias, stride=layer.strides, padding=padding)


if __name__ == "__main__":
    cli.run(define_flags, main)
