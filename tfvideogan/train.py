"""Trains Video-GAN or MD-GAN in a run folder; the same command again goes on from it.

python -m tfvideogan.train --flagfile=configs/mdgan_small.flags --run_dir=runs/mdgan
"""

from __future__ import annotations

from tfvideogan import cli, config


def define_flags() -> None:
    cli.flags.DEFINE_string(
        "run_dir", None, "required: folder of the run, for options, checkpoints, samples, TensorBoard logs"
    )
    cli.define(config.fields())
    cli.flags.adopt_module_key_flags(cli)  # --helpshort then shows them


def main() -> int:
    cli.require("run_dir")
    options = {field.name: cli.flags.FLAGS[field.name].value for field in config.fields()}
    checked = config.Config.create(**options)  # before TensorFlow is loaded: a typo is told at once
    cli.load_tensorflow()
    from tfvideogan import train_lib

    return train_lib.train(checked, cli.flags.FLAGS.run_dir)


if __name__ == "__main__":
    cli.run(define_flags, main)
