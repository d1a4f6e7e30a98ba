"""Trains a run's step where TensorFlow cannot be: as the XLA program that it is, in JAX.

python examples/step_without_tensorflow.py export vgan_sprites step.pkl --precision=mixed_bfloat16
python examples/step_without_tensorflow.py train step.pkl weights.npz --steps=9000          # elsewhere; needs jax alone
python examples/step_without_tensorflow.py take vgan_sprites weights.npz runs/x --precision=mixed_bfloat16

The first argument is a config, as --config of tfvideogan.train; flags of the training may follow. `export` and `take`
need this package, and the same flags. `train` runs on whatever JAX finds, a GPU if there is one (JAX 0.10.2 on a CPU,
0.11.2 on an H100 were tried); its file is a pickle, so it must be your own. Batches are drawn with replacement. What
comes back is enough to sample from, and not to train on. docs/gpu.md tells what this was used for.
"""

from __future__ import annotations

import argparse
import dataclasses
import pickle
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

NUM_CLIPS = 2000  # So many built-in clips there are.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, paths in {"export": "config file", "train": "file weights", "take": "config weights run_dir"}.items():
        command = commands.add_parser(name)
        for path in paths.split():
            command.add_argument(path)
    commands.choices["train"].add_argument("--steps", type=int, required=True)
    commands.choices["export"].add_argument("--num_clips", type=int, default=NUM_CLIPS)
    given, options = parser.parse_known_args()
    if given.command == "train":
        parser.parse_args()  # This refuses what it does not know.
        train(Path(given.file), Path(given.weights), given.steps)
    elif given.command == "export":
        with tempfile.TemporaryDirectory() as run_dir:
            export(*opened(given.config, options, run_dir), Path(given.file), given.num_clips)
    else:
        take(*opened(given.config, options, given.run_dir), np.load(given.weights))


def opened(name: str, options: list[str], run_dir: str) -> tuple[Any, Any]:
    """The first stage of a run as a training would open it, and its clips.

    Raises:
        SystemExit: the run is of a kind that `train` cannot take.
    """
    from absl import flags

    from tfvideogan import config, train
    from tfvideogan.data.variation import Variation
    from tfvideogan.files import flag_files
    from tfvideogan.runs.run_folder import RunFolder
    from tfvideogan.training import assembly, runtime
    from tfvideogan.training.stage import Stage

    train.define_flags()
    try:
        flags.FLAGS(["", *flag_files.read(flag_files.find(name)), *options])
        whole = config.Config.create(**{field.name: flags.FLAGS[field.name].value for field in config.fields()})
        replica = runtime.open_runtime(whole.train, whole.data.batch_size)
        sources = assembly.open_data(whole)
        stage = Stage(whole, RunFolder.for_training(run_dir, whole), replica, sources, 1, whole.train.steps)
    except (config.UsageError, flags.Error) as error:
        sys.exit(f"error: {error}")
    variation = Variation(**{f.name: getattr(whole.data, f.name) for f in dataclasses.fields(Variation)})
    unfit = {
        "--adversarial_from": not stage.is_adversarial,
        "--lr_schedule": whole.train.lr_schedule != "constant" or whole.train.warmup_steps,
        "--drift": stage.model.takes_wind,
        "more than one source in --data": len(sources) > 1,
        "--reverse, --zoom, --color_jitter and --max_temporal_stride": variation != Variation(flip=variation.flip),
    }
    if any(unfit.values()):
        sys.exit(f"error: this example has no {', no '.join(what for what, asked in unfit.items() if asked)}")
    return stage, sources


def variables_by_key(model: Any) -> dict[str, Any]:
    """Every variable of a compiled model, by a key that any process gives it."""
    from tfvideogan.runs import state

    named = {f"{part}/{key}": v for part, values in state.for_training(model).items() for key, v in values.items()}
    return named | {"skipped_in_a_row": model.skipped_in_a_row}


def export(stage: Any, sources: Any, file: Path, num_clips: int) -> None:
    """Writes the step as XLA takes it, the values of its variables, and clips."""
    import tensorflow as tf

    from tfvideogan.data import pipeline

    model, names = stage.model, []

    def step(batch: tf.Tensor) -> tf.Tensor:
        clips = pipeline.to_model(batch)
        d_losses, g_losses, others, _ = model._update_players(clips, model.generator_inputs(clips, model.step), True)
        losses = d_losses | g_losses | others
        names[:] = losses
        return tf.stack(list(losses.values()))

    compiled = tf.function(step, jit_compile=True, autograph=False)
    shape = [stage.config.data.batch_size, *model.clip_shape]
    traced = compiled.get_concrete_function(tf.TensorSpec(shape, tf.uint8))
    variables = variables_by_key(model)
    keys = {id(variable.handle): key for key, variable in variables.items()}
    order = [keys[id(handle)] for handle in traced.captured_inputs]
    program = compiled.experimental_get_compiler_ir(tf.zeros(shape, tf.uint8))(stage="hlo_serialized")
    clips = np.stack(
        [clip.numpy() for clip in pipeline.clips_in_order(sources[0].source, model.num_frames).take(num_clips)]
    )
    values = {key: variables[key].numpy() for key in order}
    run = {"program": program, "order": order, "names": names, "values": values, "clips": clips}
    run["flip"] = stage.config.data.flip
    file.write_bytes(pickle.dumps(run))
    print(f"{file}: a step of {len(order)} variables, {len(clips)} clips")


def train(file: Path, weights: Path, steps: int) -> None:
    """Takes the steps, and writes all variables but the optimizers'."""
    import jax

    jax.config.update("jax_enable_x64", True)  # Counters have 64 bits.
    run = pickle.loads(file.read_bytes())
    call, batch_size = as_function(run["program"])
    # A rate that no schedule changes is read and not written.
    written = [key for key in run["order"] if not key.endswith("/learning_rate")]
    clips = jax.numpy.asarray(run["clips"])

    def one(_: int, carry: tuple) -> tuple:
        values, total, key = carry
        key, own, coin = jax.random.split(key, 3)
        batch = clips[jax.random.randint(own, [batch_size], 0, len(clips))]
        if run["flip"]:
            heads = jax.random.bernoulli(coin, 0.5, [batch_size, 1, 1, 1, 1])
            batch = jax.numpy.where(heads, batch[:, :, :, ::-1], batch)
        losses, *new = call(batch, *(values[name] for name in run["order"]))
        return values | dict(zip(written, new, strict=True)), total + losses, key

    values = {key: jax.numpy.asarray(value) for key, value in run["values"].items()}
    zeros, key = jax.numpy.zeros([len(run["names"])], "float32"), jax.random.key(0)
    some = jax.jit(lambda carry, count: jax.lax.fori_loop(0, count, one, carry))
    for first in range(0, steps, 100):
        count, started = min(100, steps - first), time.perf_counter()
        values, total, key = some((values, zeros, key), count)
        means = ", ".join(f"{n} {m:.3f}" for n, m in zip(run["names"], np.asarray(total) / count, strict=True))
        print(f"step {first + count}: {means}; {1e3 * (time.perf_counter() - started) / count:.1f} ms", flush=True)
    kept = {key: value for key, value in values.items() if "_optimizer/" not in key}
    np.savez(weights, **{key.replace("/", "|"): np.asarray(value) for key, value in kept.items()})


def as_function(program: bytes) -> tuple[Any, int]:
    """An XLA program as a function for JAX to compile, and the size of its batch."""
    import jax
    from jax._src.export._export import _module_to_bytecode
    from jax._src.interpreters import mlir
    from jax._src.lib import xla_client
    from jax._src.lib.mlir import ir

    computation = xla_client.XlaComputation(program)
    shape = computation.program_shape()
    with mlir.make_ir_context():
        module = ir.Module.parse(xla_client._xla.mlir.xla_computation_to_mlir_module(computation))
        copies: list[Any] = []  # StableHLO has no such operation, and needs none.
        module.operation.walk(lambda op: (op.name == "mhlo.copy" and copies.append(op), ir.WalkResult.ADVANCE)[1])
        for copy in copies:
            copy.results[0].replace_all_uses_with(copy.operands[0])
            copy.erase()
        code = _module_to_bytecode(module)
    takes, gives = (
        [jax.ShapeDtypeStruct(s.dimensions(), s.numpy_dtype()) for s in shapes]
        for shapes in (shape.parameter_shapes(), shape.result_shape().tuple_shapes())
    )
    # JAX wraps what it has exported itself, so a function of the same types is exported and gets the program's code.
    empty = jax.jit(lambda *_: [jax.numpy.zeros(g.shape, g.dtype) for g in gives], keep_unused=True)
    exported = jax.export.export(empty)(*takes)
    exported = dataclasses.replace(exported, mlir_module_serialized=code, module_kept_var_idx=tuple(range(len(takes))))
    return exported.call, takes[0].shape[0]


def take(stage: Any, sources: Any, weights: Any) -> None:
    """Gives the run what was trained elsewhere, and estimates its batch statistics as at the end of a training."""
    from tfvideogan.training import assembly, estimation

    variables = variables_by_key(stage.model)
    for name in weights.files:
        variables[name.replace("|", "/")].assign(weights[name])
    stage.step = int(stage.model.step.numpy())
    stage.clips = stage.step * stage.config.data.batch_size
    stage.folder.write_config(stage.config)
    batches = assembly.batches(stage.config, sources, stage.config.train.seed)
    estimation.BatchStatistics(stage.model, batches).estimate_final()
    stage.save()
    print(f"{stage.folder.path}: step {stage.step}")


if __name__ == "__main__":
    main()
