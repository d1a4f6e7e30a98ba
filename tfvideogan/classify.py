"""Classifies actions with the discriminator of a trained Video-GAN, by how many of the labels are used.

python -m tfvideogan.classify --run_dir=runs/vgan --data=synthetic:moves
python -m tfvideogan.classify --run_dir=runs/vgan --data=UCF-101 --train_list=trainlist01.txt --test_list=testlist01.txt

The command writes a JSON line for each classifier, to a file and to standard output, and draws the accuracies over the
shares as a picture.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from tfvideogan import cli
from tfvideogan.config import Config, UsageError

if TYPE_CHECKING:
    from tfvideogan.data.labelled import LabelledData

_METHODS = ["fine_tuning", "linear_probe", "random_init"]


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "required: folder of a trained Video-GAN, conditional or not")
    cli.define_trust()
    flags.DEFINE_string("data", "synthetic:moves", "clips with classes: a folder with a folder of videos, frames or "
                        "strips for each class, or synthetic:moves, sprites whose motion is their class")  # fmt: skip
    flags.DEFINE_string("train_list", None, "list of the videos to learn from, as UCF101 has them (default: the first "
                        "four fifths of each class's videos)")  # fmt: skip
    flags.DEFINE_string("test_list", None, "list of the videos to test on")
    flags.DEFINE_string("output", None, "folder for results.jsonl and curve.png (default: classification in RUN_DIR)")
    flags.DEFINE_list("methods", _METHODS, "classifiers to compare: the discriminator with all layers trained, its "
                      "features under a new last layer, a fresh one")  # fmt: skip
    flags.DEFINE_list("shares", ["0.125", "0.25", "0.5", "1"], "shares of the labels to learn from, above 0, up to 1")
    flags.DEFINE_list("seeds", ["0"], "seeds of labels, new weights and order; the picture shows the mean over them")
    flags.DEFINE_integer("steps", 1000, "training steps of each classifier", lower_bound=1, upper_bound=10**7)
    flags.DEFINE_integer("batch_size", 256, "clips in a step", lower_bound=1, upper_bound=65536)
    flags.DEFINE_float("learning_rate", 2e-4, "Adam's learning rate", lower_bound=0, upper_bound=1)
    flags.DEFINE_enum("clips", "all", ["all", "first"], "every window of a video, or only the first")
    flags.DEFINE_integer("stride", 0, "frames from the start of a window to the next, 0 for the length of a clip",
                         lower_bound=0, upper_bound=10**6)  # fmt: skip
    flags.DEFINE_integer("train_clips", None, "learn from so many clips at most", lower_bound=1)
    flags.DEFINE_integer("test_clips", None, "test on so many clips at most", lower_bound=1)


def main() -> None:
    cli.require("run_dir")
    args = cli.flags.FLAGS
    shares, seeds = _numbers("shares", args.shares, float), _numbers("seeds", args.seeds, int)
    _check(args, shares, seeds)
    output = Path(args.output or Path(args.run_dir) / "classification")
    cli.load_tensorflow(gpus=True)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # It would warn that each classifier is traced anew, which cannot be otherwise.
    # This rewriting of graphs fails on the gradient of LeakyReLU, and says so on standard error.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    from tfvideogan.data.labelled import open_labelled
    from tfvideogan.files import atomic
    from tfvideogan.runs import loading, run_folder

    atomic.check_folder("output", output)
    config = run_folder.RunFolder.open(args.run_dir).config()
    if config.model.model == "mdgan":
        raise UsageError(f"--run_dir must hold a Video-GAN. Received: {args.run_dir}, --model=mdgan")
    loading.load_discriminator(args.run_dir, args.trust)  # A run that has none is refused before any clip is decoded.
    lists = (args.train_list, args.test_list) if args.train_list else None
    size = config.model.frame_size, config.model.num_frames
    data = open_labelled(args.data, *size, config.train.seed, lists, args.stride, args.clips == "first")
    lines: list[dict[str, Any]] = []
    asked = list(itertools.product(seeds, shares, args.methods))
    for line in tqdm(_results(args, config, data, asked), "classifiers", total=len(asked), unit=""):
        lines.append(line)
        with tqdm.external_write_mode():
            print(json.dumps(line), flush=True)
        atomic.write_bytes(output / "results.jsonl", "".join(json.dumps(one) + "\n" for one in lines).encode())
    _draw(output / "curve.png", lines)


def _results(
    args: Any, config: Config, data: LabelledData, asked: Iterable[tuple[int, float, str]]
) -> Iterator[dict[str, Any]]:
    """A JSON line for each classifier (seed, share, method), as soon as it is known."""
    from tfvideogan.models.registry import build_model
    from tfvideogan.runs import loading
    from tfvideogan.training import classification

    data = dataclasses.replace(data, train=data.train.first(args.train_clips), test=data.test.first(args.test_clips))
    recipe = classification.Recipe(args.steps, args.batch_size, args.learning_rate, config.model.init_stddev)

    def network(method: str) -> Any:
        if method == "random_init":
            return build_model(config.model).discriminator
        return loading.load_discriminator(args.run_dir, args.trust)[0]

    for seed, share, method in asked:
        scores = classification.accuracy(method, functools.partial(network, method), data, share, seed, recipe)
        yield {
            "run": str(args.run_dir), "method": method, "share": share, "seed": seed, **scores,
            "chance": round(1 / len(data.classes), 4), "test_clips": len(data.test), "data": args.data,
            "lists": [args.train_list, args.test_list], **dataclasses.asdict(recipe),
        }  # fmt: skip


def _draw(path: Path, lines: list[dict[str, Any]]) -> None:
    """The mean accuracy over seeds of each method by the share of the labels, as a picture."""
    from tfvideogan.files import pictures
    from tfvideogan.inference import curves

    by_method: dict[str, dict[float, list[float]]] = {}
    for line in lines:
        by_method.setdefault(line["method"], {}).setdefault(line["share"], []).append(line["test_accuracy"])
    drawn = {
        name: sorted((share, sum(accuracies) / len(accuracies)) for share, accuracies in of_method.items())
        for name, of_method in by_method.items()
    }
    drawn["chance"] = [(share, lines[0]["chance"]) for share in sorted({line["share"] for line in lines})]
    picture = curves.picture({"test accuracy": drawn}, columns=1, x_label="labels")
    pictures.write_image(path, picture)


def _check(args: Any, shares: list[float], seeds: list[int]) -> None:
    """Raises UsageError for values out of range, and for flags that exclude each other."""
    if not args.methods or set(args.methods) - set(_METHODS):
        raise UsageError(f"--methods must be of {', '.join(_METHODS)}. Received: {','.join(args.methods)!r}")
    if not all(0 < share <= 1 for share in shares):
        raise UsageError(f"--shares must be above 0, and 1 at most. Received: {','.join(args.shares)}")
    if not all(0 <= seed < 2**31 for seed in seeds):
        raise UsageError(f"--seeds must be from 0 to 2147483647. Received: {','.join(args.seeds)}")
    if bool(args.train_list) != bool(args.test_list):
        missing = "test_list" if args.train_list else "train_list"
        raise UsageError(f"--{missing} is required: UCF101's lists come in pairs")
    windows = [f"--{name}" for name in ("train_list", "stride") if args[name].value]
    windows += ["--clips"] if args.clips == "first" else []
    if args.data.startswith("synthetic:") and windows:
        raise UsageError(f"{windows[0]} is for a folder of videos. Received: --data={args.data}")
    if args.stride and args.clips == "first":
        raise UsageError(f"--stride has no meaning with --clips=first. Received: {args.stride}")


def _numbers(flag: str, texts: list[str], kind: type) -> list[Any]:
    try:
        numbers = [kind(text) for text in texts]
    except ValueError:
        numbers = []
    if not numbers:
        raise UsageError(f"--{flag} must be numbers, separated by commas. Received: {','.join(texts)!r}")
    return numbers


if __name__ == "__main__":
    cli.run(define_flags, main)
