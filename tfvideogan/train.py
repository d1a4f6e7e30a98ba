"""Trains Video-GAN or MD-GAN in a run folder; the same command again goes on from it.

python -m tfvideogan.train --flagfile=configs/mdgan_small.flags --run_dir=runs/mdgan
python -m tfvideogan.train --config=mdgan_small --run_dir=runs/mdgan

Both do the same, the second in any folder. Flags given beside --config, also by a flag file, override it wherever they
stand; among themselves the last one counts.

Exit status: 0 done; 2 wrong input, or a file that cannot be written; 3 no checkpoint of
the run is good; 4 losses stayed not finite; 5 another host is gone; 130 and 143 stopped by
Ctrl-C or SIGTERM after saving.
"""

from __future__ import annotations

import re

from tfvideogan import cli, config
from tfvideogan.files import flag_files


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string(
        "run_dir", None, "required: folder of the run, for options, checkpoints, samples, TensorBoard logs"
    )
    flags.DEFINE_string("config", None, "a run that comes with the package, whose options other flags override; "
                        "--config=help lists them")  # fmt: skip
    cli.define(config.fields())
    flags.DEFINE_bool("dry_run", False, "print what the run would be, and stop")
    flags.DEFINE_string("profile", None, "start:stop, the steps of which to write a TensorBoard profile")


def main() -> int:
    args = cli.flags.FLAGS
    if args.config == "help":
        print(flag_files.describe())
        return 0
    if args.config is not None:
        cli.set_defaults(flag_files.read(flag_files.find(args.config)))
    cli.require("run_dir")
    options = {field.name: args[field.name].value for field in config.fields()}
    checked = config.Config.create(**options)  # A typo is found before TensorFlow is loaded.
    if args.eval_clips is not None and not args.eval_every:
        raise config.UsageError(f"--eval_clips has no meaning without --eval_every. Received: {args.eval_clips}")
    profile = _steps(args.profile)
    cli.load_tensorflow(gpus=True)
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
