"""Makes clips from noise with a trained Video-GAN: one grid of them, and one of each stream.

python -m tfvideogan.generate --run_dir=runs/vgan --num_clips=16 --seed=1
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_integer("num_clips", 16, "clips to make", lower_bound=1, upper_bound=1024)
    flags.DEFINE_integer("seed", 0, "seed of the latents; a clip follows from it and the clip's number", lower_bound=0,
                         upper_bound=2**31 - 1)  # fmt: skip
    flags.DEFINE_string("output", None, "folder to write to (default: generated/seed-SEED in the run folder, "
                        "generated/NAME/seed-SEED here for --weights=NAME)")  # fmt: skip
    flags.DEFINE_enum("format", "gif", ["gif", "mp4"], "format of the moving pictures; a background is a PNG")
    flags.DEFINE_integer("fps", 12, "frames a second", lower_bound=1, upper_bound=50)


def main() -> None:
    cli.require_run()
    args = cli.flags.FLAGS
    default = Path("generated", args.weights) if args.weights else Path(args.run_dir, "generated")
    output = Path(args.output or default / f"seed-{args.seed}")
    cli.load_tensorflow(gpus=True)
    from tfvideogan.files import atomic, pictures, videos
    from tfvideogan.inference import sampling, visuals
    from tfvideogan.runs import loading

    atomic.check_folder("output", output)
    model, checkpoint = loading.load_model(args.run_dir)
    if model.predicts:
        raise UsageError(f"--run_dir {args.run_dir} holds a predictor, not a generator: use tfvideogan.predict")
    parts = [visuals.streams(part) for part in sampling.generate(model, args.num_clips, args.seed)]
    for name in parts[0]:
        grid = visuals.grid(np.concatenate([part[name] for part in parts]), width=800)
        if name == "background":
            pictures.write_image(output / "background.png", grid[0])
        else:
            videos.write_clip(output / f"{name}.{args.format}", grid, args.fps)
    print(f"{args.num_clips} clips of step {checkpoint.step}: {output}/ ({', '.join(parts[0])})")


if __name__ == "__main__":
    cli.run(define_flags, main)
