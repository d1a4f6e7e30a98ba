"""Times a run's generator in PyTorch, beside the artefacts of an export.

python -m export.torch_networks --run_dir=runs/vgan --inputs=INPUTS.npz

The command prints one line of JSON, whose names are those of `export.report.Row`: how long one
clip takes, and the largest difference from Keras.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from export import measure
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.files import optional
from tfvideogan.metrics.speed import peak_memory_mb


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("inputs", None, ".npz of latents [N, 100] or frames [N, H, W, 3] in [-1, 1]")
    cli.define_stage()
    flags.DEFINE_enum("layout", "contiguous_format", ["contiguous_format", "channels_last_3d"], "of the weights in "
                      "memory; PyTorch's activations follow it")  # fmt: skip
    cli.define_timing()


def main() -> None:
    cli.require_run("inputs")
    args = cli.flags.FLAGS
    torch = optional.torch()
    cli.load_tensorflow()
    from tfvideogan.runs import loading

    torch.set_num_threads(args.threads)
    model, _ = loading.load_model(args.run_dir, args.stage, args.trust)
    if model.takes_wind:
        raise UsageError(f"--run_dir must be a run without --drift, which PyTorch's copy does not know. "
                         f"Received: {args.run_dir}")  # fmt: skip
    inputs = measure.load_inputs(args.inputs)[0][:1]
    expected = model(inputs, training=False)["clip"].numpy()
    with torch.inference_mode():
        run = generator(torch, model, getattr(torch, args.layout))
        figures = {"max_difference": float(np.abs(run(inputs) - expected).max())}
        figures |= measure.latency(lambda: run(inputs), args.repeats)
    print(json.dumps(figures | {"peak_memory_mb": peak_memory_mb()}))


def generator(torch: Any, model: Any, layout: Any) -> Any:
    """A function from latents [N, 100] or frames [N, H, W, 3] to clips [N, T, H, W, 3], all of them NumPy arrays."""
    from tfvideogan.training.torch_step import TorchNetwork

    networks = [TorchNetwork(torch, network, layout) for network in model.sampling_networks.values()]

    def run(inputs: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(inputs)
        if model.predicts:
            x = x.permute(0, 3, 1, 2)
        if model.repeats_frame:
            x = x[:, :, None].expand(-1, -1, model.num_frames, -1, -1)
        for network in networks:
            x = network(x, training=False)["clip"]
        return x.detach().permute(0, 2, 3, 4, 1).numpy()

    return run


if __name__ == "__main__":
    cli.run(define_flags, main)
