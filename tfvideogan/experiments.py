"""Runs the small forms of the papers' experiments one after another, and writes a page of their scores and pictures.

python -m tfvideogan.experiments --output=runs/experiments

a  Video-GAN (arXiv 1609.02612): two streams against one, on sprites and scenes
b  conditional Video-GAN against copying the first frame
c  MD-GAN (arXiv 1709.07592): stage 1, stage 2, and stage 2 without the ranking loss, without the adversarial loss, with
   all skips in G2
d  action classification with Video-GAN's discriminator, on sprites whose motion is their class
e  longer clips by roll-out, with the runs of b and c (ours)

By the times in their configs all take about three hours on 2 cores. The same command again goes on where it
stopped. Exit statuses are those of tfvideogan.train.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfvideogan import cli
from tfvideogan.config import Config, UsageError
from tfvideogan.files import child

logger = logging.getLogger("tfvideogan")

_ALL = ["a", "b", "c", "d"]
_GENERATED, _PREDICTED = {"num_clips": 256, "seed": 1}, {"num_clips": 64, "rollout_frames": 96}
_CLASSIFIED = {"steps": 300, "batch_size": 32, "learning_rate": 1e-3, "train_clips": 160, "test_clips": 800}


@dataclasses.dataclass(frozen=True)
class Run:
    """A training, and how it is scored.

    Attributes:
        name: of its folder; the first letter is that of the experiment.
        title: what the page calls it.
        config: the flag file that it comes from, and `options` what differs from that.
        stage1: the name of a run whose stage 1 it takes over.
        evaluate, classify: options of these commands; None for those that are not called.
    """

    name: str
    title: str
    config: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    stage1: str | None = None
    evaluate: dict[str, Any] | None = None
    classify: dict[str, Any] | None = None


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("output", None, "required: folder for the runs and report.html")
    flags.DEFINE_list("only", _ALL, "experiments to run, by their letters (e is scored with b and c)")
    flags.DEFINE_integer("steps", None, "take no more training steps than this anywhere, to try the whole out",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_enum("precision", "float32", ["float32", "mixed_bfloat16"], "arithmetic of the networks")
    flags.DEFINE_string("real_scenes", None, "folder of clips whose camera stands still, for a, too")
    flags.DEFINE_string("real_skies", None, "folder of time-lapses, for c, too")


def main() -> None:
    cli.require("output")
    args = cli.flags.FLAGS
    if not args.only or set(args.only) - set(_ALL):
        raise UsageError(f"--only must be letters of {', '.join(_ALL)}. Received: {','.join(args.only)!r}")
    cli.load_tensorflow()
    from tfvideogan.files import atomic
    from tfvideogan.inference import experiment_page

    output = Path(args.output)
    atomic.check_folder("output", output)
    done: list[experiment_page.Result] = []
    planned = [run for run in plan(args.real_scenes, args.real_skies) if run.name[0] in args.only]
    for number, run in enumerate(planned, 1):
        logger.info("%d of %d: %s, %s", number, len(planned), run.name, run.title)
        scores, accuracies = _perform(run, output, args.steps, args.precision)
        done.append(experiment_page.Result(run.name, run.title, output / run.name, scores, accuracies))
        experiment_page.write(output / "report.html", done)  # What is there can be looked at meanwhile.
    print(f"{len(done)} runs: {output / 'report.html'}")


def plan(real_scenes: str | None = None, real_skies: str | None = None) -> Iterator[Run]:
    """All runs in order. Folders of real clips add runs on them."""
    scenes = {"sprites": "synthetic:sprites", "scenes": "synthetic:scenes", "real": real_scenes}
    for name, data in scenes.items():
        if data:
            for streams, config in (("two", "vgan_small"), ("one", "vgan_one_stream_small")):
                title = f"{streams} stream{'s' if streams == 'two' else ''}, {name}"
                yield Run(f"a-{streams}-{name}", title, config, {"data": data}, evaluate=_GENERATED)
    yield Run("b-conditional", "conditional Video-GAN", "vgan_conditional_small", evaluate=_PREDICTED)
    for name, data in (("", "synthetic:sky"), ("-real", real_skies)):
        if data:
            yield from _ablations(name, data)
    yield Run("d-moves", "Video-GAN's discriminator", "vgan_small", {"data": "synthetic:moves"}, classify=_CLASSIFIED)


def _ablations(suffix: str, data: str) -> Iterator[Run]:
    """MD-GAN's stage 1, and what stage 2 makes of it in several ways."""
    of_real, first = " (real skies)" if suffix else "", f"c-stage1{suffix}"
    yield Run(first, f"stage 1 alone{of_real}", "mdgan_small", {"data": data, "refine_steps": 0}, evaluate=_PREDICTED)
    for name, title, options in (
        ("paper", "as the paper", {}),
        ("no-ranking", "without the ranking loss", {"ranking_weight": 0}),
        ("no-adversarial", "without the adversarial loss", {"adversarial_weight": 0}),
        ("all-skips", "with all skips in G2", {"refine_skips": "all"}),
    ):
        options = {"data": data, **options}
        yield Run(f"c-{name}{suffix}", title + of_real, "mdgan_small", options, stage1=first, evaluate=_PREDICTED)


def _perform(run: Run, output: Path, steps: int | None, precision: str) -> tuple[dict | None, list[dict]]:
    """Trains and scores a run, as far as that is not done yet. Returns its line of scores, and those of `classify`."""
    run_dir = output / run.name
    options = {**_capped(run, steps), "precision": precision}
    if run.stage1 and not run_dir.exists():
        _branch(output / run.stage1, run_dir, options)
    _call("train", config=run.config, run_dir=run_dir, **options)
    scores = _remembered("evaluate", run_dir, options, run.evaluate)[-1:]
    classify = run.classify and {**run.classify, **({"steps": min(steps, run.classify["steps"])} if steps else {})}
    return (scores or [None])[0], _remembered("classify", run_dir, options, classify)


def _capped(run: Run, steps: int | None) -> dict[str, Any]:
    """The options of a run, with no more than so many steps in each stage."""
    from tfvideogan.files import flag_files

    packaged = dict(line[2:].split("=", 1) for line in flag_files.read(flag_files.find(run.config)))
    packaged |= {name: str(value) for name, value in run.options.items()}
    names = [name for name in ("steps", "refine_steps") if steps and name in packaged]
    return run.options | {name: min(steps, int(packaged[name])) for name in names}


def _branch(stage1: Path, run_dir: Path, options: dict[str, Any]) -> None:
    """A copy of a run whose stage 1 is done, with options of its own for stage 2; all of it or nothing."""
    from tfvideogan.runs.run_folder import RunFolder

    beside = run_dir.with_name(f".{run_dir.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(stage1, beside, ignore=shutil.ignore_patterns(".lock", "evaluate.json"))
    copy = RunFolder.open(beside)
    earlier = {name: value for name, value in copy.config().flat().items() if name not in ("refine_steps", *options)}
    copy.write_config(Config.create(**earlier, **options))
    beside.rename(run_dir)


def _remembered(command: str, run_dir: Path, trained: dict[str, Any], options: dict[str, Any] | None) -> list[dict]:
    """The lines of JSON that a command prints of a run; from the last time, if that was the same command."""
    from tfvideogan.files import atomic

    if options is None:
        return []
    file, asked = run_dir / f"{command}.json", {"trained": trained, "options": options}
    if file.exists():
        known = json.loads(file.read_text())
        if known["asked"] == json.loads(json.dumps(asked)):
            return known["lines"]
    lines = [json.loads(line) for line in _call(command, run_dir=run_dir, **options).splitlines()]
    atomic.write_bytes(file, json.dumps({"asked": asked, "lines": lines}).encode())
    return lines


def _call(command: str, **options: Any) -> str:
    """What a command prints. If it fails, or is stopped, this process ends with its status."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        child.command("-m", f"tfvideogan.{command}", *arguments),
        env=child.environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # A terminal's Ctrl-C reaches the command by itself.
    try:
        out = process.communicate()[0]
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else 128 - process.returncode)
    return out


if __name__ == "__main__":
    cli.run(define_flags, main)
