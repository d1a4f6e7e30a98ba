"""Makes a run folder of the papers' published weights, or PyTorch files of an MD-GAN run.

python -m tfvideogan.import_weights --source=netG_S1_030.pth --source2=netG_S2_067.pth --output=runs/authors
python -m tfvideogan.import_weights --source=iter65000_net.t7 --output=runs/golf
python -m tfvideogan.import_weights --to=state_dict --run_dir=runs/mdgan --output=state_dicts

MD-GAN's files are PyTorch's (`.pth`), Video-GAN's are Torch7's (`.t7`). Neither PyTorch nor Torch7 is needed, and
nothing in a file is run.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfvideogan import cli
from tfvideogan.config import Config, UsageError
from tfvideogan.files import atomic, paths

if TYPE_CHECKING:
    from tfvideogan.models.adversarial import AdversarialModel
    from tfvideogan.weights.mapping import Published

logger = logging.getLogger("tfvideogan")


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_enum("to", "run", ["run", "state_dict"], "what to write: a run folder of published files, or "
                      "PyTorch's files of an MD-GAN run, which the released code loads")  # fmt: skip
    flags.DEFINE_string("source", None, "published generator: G1 of MD-GAN (.pth), or Video-GAN's (.t7)")
    flags.DEFINE_string("source2", None, "mdgan: G2, for a run of stage 2")
    flags.DEFINE_string("discriminator", None, "published discriminator, for a training that goes on")
    flags.DEFINE_string("recalibrate_bn", None, "ours: real clips, named as --data of tfvideogan.train, over which "
                        "batch normalisation's statistics are estimated anew")  # fmt: skip
    flags.DEFINE_integer("num_clips", 256, "how many of them", lower_bound=1)
    flags.DEFINE_string("run_dir", None, "with --to=state_dict: folder of a trained MD-GAN run")
    cli.define_trust()
    flags.DEFINE_string("output", None, "required: folder to write, which must be new")


def main() -> None:
    cli.require("output")
    args = cli.flags.FLAGS
    of_run = {"source": False, "source2": False, "discriminator": False, "recalibrate_bn": False}
    for name, for_state_dict in (of_run | {"run_dir": True, "trust": True}).items():
        if args[name].value and for_state_dict != (args.to == "state_dict"):
            raise UsageError(f"--{name} has no meaning with --to={args.to}. Received: {args[name].value}")
    if args["num_clips"].present and not args.recalibrate_bn:
        raise UsageError(f"--num_clips has no meaning without --recalibrate_bn. Received: {args.num_clips}")
    final = paths.path(args.output)
    if final.exists():
        raise UsageError(f"--output must be new. Received: {args.output}, which exists")
    if paths.is_remote(final):
        raise UsageError(f"--output must be a local folder. Received: {args.output}")
    atomic.check_folder("output", final)
    print(_write_state_dicts(args, final) if args.to == "state_dict" else _import(args, final))


def _import(args: Any, final: Path) -> str:
    cli.require("source")
    networks = _read(args)
    config = _config(networks)
    cli.load_tensorflow(gpus=True)
    from tfvideogan.models import registry
    from tfvideogan.runs import run_folder, state

    stage = 2 if "source2" in networks else 1
    model = registry.build_model(config.model, stage)
    _fill(model, networks)
    if args.recalibrate_bn:
        _recalibrate(model, config, args.recalibrate_bn, args.num_clips)
    if "discriminator" not in networks:
        logger.info("no --discriminator: a training that goes on from here begins with a fresh one")
    model.compile()
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=final.parent) as beside:
        run = run_folder.RunFolder(Path(beside) / "run")
        run.write_config(config)
        run.save(stage, 0, state.for_training(model), config.train.keep)
        paths.publish(run.path, final)
    sizes = f"{config.model.frame_size}x{config.model.frame_size}, {config.model.num_frames} frames"
    return f"{config.model.model}, stage {stage}, base width {config.model.base_width}, {sizes}: {final}"


def _read(args: Any) -> dict[str, Published]:
    """The networks of the files, by flag; a Torch7 file of both players gives `discriminator`, too."""
    networks: dict[str, Published] = {}
    for flag in ("source", "source2", "discriminator"):
        if not args[flag].value:
            continue
        with cli.naming(flag):
            for network in _networks(args[flag].value):
                place = network.role if network.role == "discriminator" else flag
                if place in networks or (flag == "discriminator" and network.role != flag):
                    raise UsageError(f"{args[flag].value} holds a {network.role}, and none is wanted here")
                network.check()
                networks[place] = network
        if flag not in networks:
            raise UsageError(f"--{flag}: {args[flag].value} holds a discriminator, and a generator is wanted here")
    return networks


def _networks(name: str) -> list[Published]:
    from tfvideogan.weights import mdgan_files, torch7, torch_file, vgan_files

    path = paths.path(name)
    if path.suffix.lower() == ".t7":
        return vgan_files.networks(torch7.read(path))
    return [mdgan_files.network(torch_file.read(path))]


def _config(networks: dict[str, Published]) -> Config:
    """The options of the run. Raises UsageError if the networks are not of one model and size."""
    options = networks["source"].options
    for flag, network in networks.items():
        other = {name: value for name, value in network.options.items() if options.get(name) != value}
        if other or (flag == "source2" and options["model"] != "mdgan"):
            received = ", ".join(f"{name} {value}" for name, value in (other or options).items())
            wanted = ", ".join(f"{name} {value}" for name, value in options.items())
            raise UsageError(f"--{flag} does not belong to --source, which has {wanted}. Received: {received}")
    with cli.naming("source"):
        return Config.create(**options)


def _fill(model: AdversarialModel, networks: dict[str, Published]) -> None:
    """Gives a model the weights of published networks, by the flags that named them.

    Their readers have held them to the shapes of a model of their options.
    """
    from tfvideogan.runs import state

    parts = {"source": "base" if model.stage == 2 else "generator", "source2": "generator"}
    variables = {name: state.of_network(network) for name, network in model.networks.items()}
    for flag, network in networks.items():
        for name, variable in variables[parts.get(flag, flag)].items():
            variable.assign(network.arrays[name])


def _recalibrate(model: AdversarialModel, config: Config, data: str, count: int) -> None:
    from tfvideogan.data import pipeline, sources
    from tfvideogan.data.layouts import Form
    from tfvideogan.training import estimation

    try:
        size = config.model.frame_size, config.model.num_frames
        source = sources.open_source(data, *size, config.train.seed, max_clips=count, form=Form.of(config.data))
    except UsageError as error:
        raise UsageError(str(error).replace("--data", "--recalibrate_bn", 1)) from error
    batch_size = config.data.batch_size
    batches = pipeline.evaluation_batches(source, config.model.num_frames, batch_size, count)
    with pipeline.naming_unreadable([source]):
        estimation.recalibrate(model, batches)


def _write_state_dicts(args: Any, final: Path) -> str:
    """Writes a PyTorch file of each network of a run."""
    cli.require("run_dir")
    cli.load_tensorflow()
    from tfvideogan.runs import loading, run_folder, state
    from tfvideogan.weights import mdgan_files, torch_file

    model_config = run_folder.RunFolder.open(args.run_dir).config().model
    own = model_config.residual or model_config.drift != "off" or model_config.refine_skips == "all"
    if model_config.model != "mdgan" or own:
        raise UsageError("--run_dir must be an MD-GAN run without --residual, --drift and --refine_skips=all, unknown "
                         f"to the released code. Received: {args.run_dir}, --model={model_config.model}")  # fmt: skip
    model, checkpoint = loading.load_model(args.run_dir, trust=args.trust)
    files = {"netG_S1.pth": model.base_generator}
    files |= {"netG_S2.pth": model.sampling_generator} if model.stage == 2 else {}
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=final.parent) as beside:
        folder = Path(beside) / "state_dicts"
        folder.mkdir()
        for name, network in files.items():
            arrays = {key: variable.numpy() for key, variable in state.of_network(network).items()}
            (folder / name).write_bytes(torch_file.content(mdgan_files.state_dict(arrays, "generator")))
        paths.publish(folder, final)
    return f"stage {checkpoint.stage}, step {checkpoint.step}: {', '.join(str(final / name) for name in files)}"


if __name__ == "__main__":
    cli.run(define_flags, main)
