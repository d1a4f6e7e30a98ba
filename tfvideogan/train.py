"""Trains Video-GAN or MD-GAN in a run folder; the same command again goes on from it.

python -m tfvideogan.train --flagfile=configs/mdgan_small.flags --run_dir=runs/mdgan

Exit status: 0 done; 2 wrong input, or a file that cannot be written; 3 no checkpoint of
the run is good; 4 losses stayed not finite; 5 another host is gone; 130 and 143 stopped by
Ctrl-C or SIGTERM after saving.
"""

from __future__ import annotations

import re

from tfvideogan import cli, config


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string(
        "run_dir", None, "required: folder of the run, for options, checkpoints, samples, TensorBoard logs"
    )
    cli.define(config.fields())
    flags.DEFINE_bool("dry_run", False, "print what the run would be, and stop")
    flags.DEFINE_string("profile", None, "start:stop, the steps of which to write a TensorBoard profile")


def main() -> int:
    cli.require("run_dir")
    args = cli.flags.FLAGS
    options = {field.name: args[field.name].value for field in config.fields()}
    checked = config.Config.create(**options)  # before TensorFlow is loaded: a typo is told at once
    profile = _steps(args.profile)
    cli.load_tensorflow()
    if args.dry_run:
        from tfvideogan.training import dry_run

        print(dry_run.describe(checked, args.run_dir))
        return 0
    from tfvideogan.training import loop

    return loop.train(checked, args.run_dir, profile)


def _steps(text: str | None) -> range:
    """`start:stop` as a range; an empty one for None."""
    if text is None:
        return range(0)
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
    if not match or not int(match[1]) < int(match[2]):
        raise config.UsageError(f"--profile must be start:stop, two steps. Received: {text!r}")
    return range(int(match[1]), int(match[2]))


if __name__ == "__main__":
    cli.run(define_flags, main)
