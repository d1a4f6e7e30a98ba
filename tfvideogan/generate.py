"""Makes clips from noise with a trained Video-GAN: one grid of them, and one of each stream.

python -m tfvideogan.generate --run_dir=runs/vgan --num_clips=16 --seed=1
python -m tfvideogan.generate --run_dir=runs/vgan --separate --format=mp4 --output=clips
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    flags.DEFINE_enum("format", "gif", ["gif", "mp4", "webp", "png", "npy"], "format of the moving pictures, png for "
                      "film-strips; a grid of backgrounds is a PNG")  # fmt: skip
    flags.DEFINE_bool("separate", False, "write a file a clip, clip-0000 and so on, in place of grids")
    flags.DEFINE_integer("interpolate", None, "in place of grids, walk from each clip's latent to the next one's in so "
                         "many steps, and back to the first, on great circles, a frame a step", lower_bound=1,
                         upper_bound=1000)  # fmt: skip
    flags.DEFINE_integer("fps", 12, "frames a second", lower_bound=1, upper_bound=50)


def main() -> None:
    cli.require_run()
    args = cli.flags.FLAGS
    if args.interpolate and (args.separate or args.num_clips < 2):
        received = "--separate" if args.separate else f"--num_clips={args.num_clips}"
        raise UsageError(f"--interpolate writes one walk between two clips or more. Received: {received}")
    default = Path("generated", args.weights) if args.weights else Path(args.run_dir, "generated")
    output = Path(args.output or default / f"seed-{args.seed}")
    cli.load_tensorflow(gpus=True)
    from tfvideogan.files import atomic
    from tfvideogan.runs import loading

    atomic.check_folder("output", output)
    model, checkpoint = loading.load_model(args.run_dir, trust=args.trust)
    if model.predicts:
        which = f"--weights {args.weights}" if args.weights else f"--run_dir {args.run_dir}"
        raise UsageError(f"{which} holds a predictor, not a generator: use tfvideogan.predict")
    write = _write_walk if args.interpolate else _write_separate if args.separate else _write_grids
    written = write(model, output, args)
    print(f"{args.num_clips} clips of step {checkpoint.step}: {output}/ ({written})")


def _write_grids(model: Any, output: Path, args: Any) -> str:
    from tfvideogan.files import encoders, pictures
    from tfvideogan.inference import sampling, visuals

    parts = [visuals.streams(part) for part in sampling.generate(model, args.num_clips, args.seed)]
    for name in parts[0]:
        grid = visuals.grid(np.concatenate([part[name] for part in parts]), width=800)
        if name == "background":
            pictures.write_image(output / "background.png", grid[0])
        else:
            encoders.write_clip(output / f"{name}.{args.format}", grid, args.fps)
    return ", ".join(parts[0])


def _write_separate(model: Any, output: Path, args: Any) -> str:
    from tfvideogan.data.clips import to_uint8
    from tfvideogan.files import encoders
    from tfvideogan.inference import sampling

    clips = (clip for part in sampling.generate(model, args.num_clips, args.seed) for clip in part["clip"])
    for number, clip in enumerate(clips):
        encoders.write_clip(output / f"clip-{number:04d}.{args.format}", to_uint8(clip), args.fps)
    return f"clip-0000.{args.format} to clip-{args.num_clips - 1:04d}.{args.format}"


def _write_walk(model: Any, output: Path, args: Any) -> str:
    from tfvideogan.data.clips import to_uint8
    from tfvideogan.files import encoders
    from tfvideogan.inference import sampling

    frames = np.stack(list(sampling.walk(model, args.num_clips, args.seed, args.interpolate)))
    encoders.write_clip(output / f"walk.{args.format}", to_uint8(frames), args.fps)
    return f"walk.{args.format}, {len(frames)} frames"


if __name__ == "__main__":
    cli.run(define_flags, main)
