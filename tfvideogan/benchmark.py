"""Times every network's forward pass and every model's training step beside the machine's matrix product.

python -m tfvideogan.benchmark --networks=vgan_two_stream,mdgan_base

Each figure is the median of the repeats, after one run to warm up. The last column is the share of the rate
of a float32 matrix product, which is measured first in the same process, and again at the end to show drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tfvideogan import cli
from tfvideogan.config import MODELS, UsageError
from tfvideogan.metrics.speed import flops_per_clip, matrix_product_rate, time_repeats


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_list("networks", None, "networks whose forward pass to time (default: all; see --list)")
    flags.DEFINE_list("models", None, "models whose training step to time (default: all; 'none' for none)")
    flags.DEFINE_integer("batch_size", 8, "clips a training step; forward passes take one clip", lower_bound=1)
    flags.DEFINE_integer("base_width", None, "channels of the finest feature map (default: the papers')", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "timed runs of each, after one to warm up", lower_bound=1)
    flags.DEFINE_enum("precision", "float32", ["float32", "mixed_bfloat16"], "arithmetic of the networks")
    flags.DEFINE_bool("list", False, "list the networks and models, and stop")


def main() -> None:
    args = cli.flags.FLAGS
    cli.load_tensorflow()
    import keras

    from tfvideogan.models.registry import NETWORKS

    networks = _chosen("networks", args.networks, list(NETWORKS))
    models = _chosen("models", args.models, list(MODELS))
    if args.list:
        print(f"networks: {', '.join(NETWORKS)}\nmodels: {', '.join(MODELS)}")
        return
    keras.mixed_precision.set_global_policy(args.precision)
    product_rate = matrix_product_rate()
    print(f"matrix product: {product_rate:.0f} GFLOP/s in float32; networks in {args.precision}")
    print(f"{'':48}{'ms':>9}{'clips/s':>10}{'GFLOP':>9}{'GFLOP/s':>10}{'share':>8}")
    for name in networks:
        _report(f"{name}, forward, 1 clip", 1, product_rate, *forward_pass(name, args.base_width), args.repeats)
    for name in models:
        for stage, run, flops in training_steps(name, args.base_width, args.batch_size):
            label = f"{name}{f' stage {stage}' if name == 'mdgan' else ''}, train, {args.batch_size}"
            _report(label, args.batch_size, product_rate, run, flops, args.repeats)
    print(f"matrix product again: {matrix_product_rate():.0f} GFLOP/s")


def _chosen(flag: str, names: list[str] | None, known: list[str]) -> list[str]:
    if names == ["none"]:
        return []
    for name in names or known:
        if name not in known:
            raise UsageError(f"--{flag} must be among {', '.join(known)}. Received: {name!r}")
    return names or known


def _report(label: str, clips: int, product_rate: float, run: Callable[[], Any], flops: float, repeats: int) -> None:
    seconds = time_repeats(run, repeats).median
    rate = flops / seconds / 1e9
    figures = f"{seconds * 1e3:9.1f}{clips / seconds:10.2f}{flops / 1e9:9.1f}{rate:10.1f}{rate / product_rate:8.0%}"
    print(f"{label:48}{figures}", flush=True)


def forward_pass(name: str, base_width: int | None) -> tuple[Callable[[], Any], float]:
    """A function that runs a registered network on one clip, and the floating-point operations of that."""
    import tensorflow as tf

    from tfvideogan.models.registry import NETWORKS

    entry = NETWORKS[name]
    network = entry.build(base_width or entry.base_width)
    inputs = tf.random.normal([1, *network.input_shape[1:]])
    forward = tf.function(lambda x: network(x, training=False))
    return lambda: tf.nest.map_structure(lambda x: x.numpy(), forward(inputs)), flops_per_clip(network)


def training_steps(
    name: str, base_width: int | None, batch_size: int
) -> Iterator[tuple[int, Callable[[], Any], float]]:
    """For each stage of a model: its number, a function that makes one training step, and the operations of a step."""
    import tensorflow as tf

    from tfvideogan.config import Config
    from tfvideogan.models import registry

    config = Config.create(model=name, base_width=base_width).model
    for stage in range(1, registry.num_stages(name) + 1):
        model = registry.build_model(config, stage)
        model.compile()
        clips = tf.random.uniform([batch_size, config.num_frames, config.frame_size, config.frame_size, 3], -1, 1)
        step = tf.function(model.train_step)
        # A forward pass counts one and a backward pass two. The generator's update asks the discriminator for the
        # clip's gradient only, which counts one. Stage 2 runs the Base-Net too, and the discriminator on its clips;
        # the ranking loss of its generator needs those of real clips and of the Base-Net without any gradient.
        generator_passes, discriminator_passes = (3, 8) if stage == 1 else (4, 13)
        flops = generator_passes * flops_per_clip(model.generator)
        flops += discriminator_passes * flops_per_clip(model.discriminator)
        yield stage, lambda step=step, clips=clips: step(clips)["g_loss"].numpy(), flops * batch_size


if __name__ == "__main__":
    cli.run(define_flags, main)
