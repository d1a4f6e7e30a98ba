"""Times every network's forward pass and every model's training step beside the machine's matrix product.

python -m tfvideogan.benchmark --networks=vgan_two_stream,mdgan_base

Each figure is the median of the repeats, after one run to warm up. The last column is the share of the rate of a matrix
product in the same precision, which is measured first in the same process, and again at the end to show drift.
With --precision=both everything is timed in float32 and then in bfloat16. With --others each training step is timed in
PyTorch, too: the same networks, losses and Adams, in both memory layouts, and in bfloat16 by autocast.
With --check_device the report is of another kind: whether this device trains as a CPU does, in every precision and with
XLA, and what a full-size step takes there (docs/gpu.md). Its exit status is 1 if anything is not as it should be.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tfvideogan import cli
from tfvideogan.config import MODELS, UsageError
from tfvideogan.metrics.speed import flops_per_clip, matrix_product_rate, time_repeats

if TYPE_CHECKING:
    import numpy as np

    from tfvideogan.models.adversarial import AdversarialModel


# The type of the matrix product that stands beside each precision.
PRODUCTS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_list("networks", None, "networks whose forward pass to time (default: all; see --list)")
    flags.DEFINE_list("models", None, "models whose training step to time (default: all; 'none' for none)")
    flags.DEFINE_integer("batch_size", 8, "clips a training step; forward passes take one clip", lower_bound=1)
    flags.DEFINE_integer("base_width", None, "channels of the finest feature map (default: the papers')", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "timed runs of each, after one to warm up", lower_bound=1)
    flags.DEFINE_enum("precision", "float32", [*PRODUCTS, "both"], "arithmetic of the networks")
    flags.DEFINE_bool("others", False, "time each training step in PyTorch, too, which must be installed")
    flags.DEFINE_bool("check_device", False, "hold training steps of the models on this device against the CPU's, then "
                      "time full-size ones, instead")  # fmt: skip
    flags.DEFINE_bool("list", False, "list the networks and models, and stop")


def main() -> int | None:
    args = cli.flags.FLAGS
    for name in ("networks", "precision", "others"):
        if args.check_device and args[name].present:
            raise UsageError(f"--check_device has no use for --{name}")
    cli.load_tensorflow(gpus=True)
    import keras

    from tfvideogan.models.registry import NETWORKS

    networks = _chosen("networks", args.networks, list(NETWORKS))
    models = _chosen("models", args.models, list(MODELS))
    if args.list:
        print(f"networks: {', '.join(NETWORKS)}\nmodels: {', '.join(MODELS)}")
        return None
    if args.check_device:
        return _check_device(models, args.batch_size, args.repeats, args.base_width)
    for precision in PRODUCTS if args.precision == "both" else [args.precision]:
        keras.mixed_precision.set_global_policy(precision)
        _time_all(networks, models, precision)
    return None


def _time_all(networks: list[str], models: list[str], precision: str) -> None:
    """Prints the table of one precision, which is the global policy."""
    args, dtype = cli.flags.FLAGS, PRODUCTS[precision]
    product_rate = matrix_product_rate(dtype=dtype, repeats=args.repeats)
    print(f"matrix product: {product_rate:.0f} GFLOP/s in {dtype}; networks in {precision}")
    print(f"{'':48}{'ms':>9}{'clips/s':>10}{'GFLOP':>9}{'GFLOP/s':>10}{'share':>8}")
    for name in networks:
        _report(f"{name}, forward, 1 clip", 1, product_rate, *forward_pass(name, args.base_width), args.repeats)
    for name in models:
        for step in training_steps(name, args.base_width, args.batch_size, precision, args.others):
            runs = {step.label: step.run} | {f"  in {label}": run for label, run in step.others.items()}
            seconds = {
                label: _report(label, args.batch_size, product_rate, run, step.operations, args.repeats)
                for label, run in runs.items()
            }
            ours, *others = seconds.values()
            if others:
                print(f"  PyTorch's best takes {min(others) / ours:.2f} times as long", flush=True)
    print(f"matrix product again: {matrix_product_rate(dtype=dtype, repeats=args.repeats):.0f} GFLOP/s in {dtype}")


def _check_device(models: list[str], batch_size: int, repeats: int, base_width: int | None) -> int:
    """Prints what `training/device_check.py` finds; returns the exit status."""
    import tensorflow as tf

    from tfvideogan.training import device_check

    tf.get_logger().setLevel("ERROR")  # TensorFlow warns of the many functions that are traced here.
    for line in device_check.description():
        print(line, flush=True)
    faults = 0
    for title, lines in (
        (f"{device_check.SMALL_STEPS} small steps against the CPU's in float32", device_check.small_steps(models)),
        ("full-size steps", device_check.full_steps(models, batch_size, repeats, base_width)),
    ):
        print(f"\n{title}")
        for line, well in lines:
            print(line, flush=True)
            faults += not well
    print(f"\n{faults or 'no'} fault{'' if faults == 1 else 's'}")
    return 1 if faults else 0


def _chosen(flag: str, names: list[str] | None, choices: list[str]) -> list[str]:
    if names == ["none"]:
        return []
    for name in names or choices:
        if name not in choices:
            raise UsageError(f"--{flag} must be among {', '.join(choices)}. Received: {name!r}")
    return names or choices


def _report(label: str, clips: int, product_rate: float, run: Callable[[], Any], flops: float, repeats: int) -> float:
    """Prints a line of the table, and returns the median in seconds."""
    seconds = time_repeats(run, repeats).median
    rate = flops / seconds / 1e9
    figures = f"{seconds * 1e3:9.1f}{clips / seconds:10.2f}{flops / 1e9:9.1f}{rate:10.1f}{rate / product_rate:8.0%}"
    print(f"{label:48}{figures}", flush=True)
    return seconds


def forward_pass(name: str, base_width: int | None) -> tuple[Callable[[], Any], float]:
    """A function that runs a registered network on one clip, and how many floating-point operations that takes."""
    import tensorflow as tf

    from tfvideogan.models.registry import NETWORKS

    entry = NETWORKS[name]
    network = entry.build(base_width or entry.base_width)
    inputs = tf.random.normal([1, *network.input_shape[1:]])
    forward = tf.function(lambda x: network(x, training=False), autograph=False)
    return lambda: tf.nest.map_structure(lambda x: x.numpy(), forward(inputs)), flops_per_clip(network)


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """A stage's training step on a batch of noise.

    Attributes:
        operations: floating-point operations that the step needs.
        others: the same step as others compute it, by their names.
    """

    label: str
    run: Callable[[], Any]
    operations: float
    others: dict[str, Callable[[], Any]]


def training_steps(
    name: str, base_width: int | None, batch_size: int, precision: str, others: bool
) -> Iterator[TrainingStep]:
    """The training step of each stage of a model."""
    import tensorflow as tf

    from tfvideogan.config import Config
    from tfvideogan.models import registry

    config = Config.create(model=name, base_width=base_width).model
    for stage in range(1, registry.num_stages(name) + 1):
        model = registry.build_model(config, stage)
        model.compile()
        clips = tf.random.uniform([batch_size, *model.clip_shape], -1, 1)
        step = tf.function(model.train_step, autograph=False)
        yield TrainingStep(
            f"{name}{f' stage {stage}' if model.num_stages > 1 else ''}, train, {batch_size}",
            lambda step=step, clips=clips: step(clips)["g_loss"].numpy(),
            batch_size * operations_per_clip(model),
            _in_pytorch(model, precision, clips.numpy()) if others else {},
        )


def operations_per_clip(model: AdversarialModel) -> float:
    """Floating-point operations that a training step needs for a clip: those of convolutions and Gram matrices.

    A forward pass counts one and a backward pass two. The generator's update asks the discriminator for the
    gradient of its clip only, which counts one. Stage 2 also runs the Base-Net; and the discriminator on
    the Base-Net's clips for its own update, and on those and the real clips for the generator's, but only up to
    the features that are compared. Equal frames count once, as `models/equal_frames.py` computes them.
    """
    import keras

    from tfvideogan.models.equal_frames import RepeatedFrameNet

    discriminator = model.discriminator
    computed = RepeatedFrameNet(model.base_generator).frames_computed if model.repeats_frame else {}
    total = 8 * flops_per_clip(discriminator)
    total += 3 * flops_per_clip(model.generator, computed if model.stage == 1 else {})
    if model.stage == 2:
        features = [discriminator.output[name] for name in ("conv1", "conv3")]
        total += flops_per_clip(model.base_generator, computed)
        total += 5 * flops_per_clip(keras.Model(discriminator.input, features))
        # Both updates compare three matrices. The gradient of a matrix is one product, for all three in the
        # discriminator's update, and in the generator's for that of its own clip.
        total += 10 * sum(_gram_product(*feature.shape[1:]) for feature in features)
    return total


def _gram_product(frames: int, height: int, width: int, channels: int) -> float:
    return 2.0 * (frames * channels) ** 2 * height * width


def _in_pytorch(model: AdversarialModel, precision: str, clips: np.ndarray) -> dict[str, Callable[[], Any]]:
    """The step in PyTorch, in both layouts that its convolutions know."""
    from tfvideogan.files import optional
    from tfvideogan.training.torch_step import TorchStep

    torch = optional.torch()
    layouts = {"PyTorch": False, "PyTorch, channels last": True}
    steps = {label: TorchStep(torch, model, precision, last) for label, last in layouts.items()}
    return {label: lambda step=step: step(clips) for label, step in steps.items()}


if __name__ == "__main__":
    cli.run(define_flags, main)
