"""Shows the clips that a training would get, as a moving grid or as a picture of their first frames.

python -m tfvideogan.preview --data=my_videos --frame_size=64 --output=preview.gif
"""

from __future__ import annotations

import numpy as np

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("data", "synthetic:sky", "clips to show, one source named as for tfvideogan.train")
    cli.define_arrays()
    cli.define_allow_outside()
    flags.DEFINE_string("output", None, "required: file to write, .gif, .mp4, .webp or .npy for moving clips, .png for "
                        "their first frames")  # fmt: skip
    flags.DEFINE_integer("frame_size", 64, "height and width of a frame, pixels", lower_bound=1, upper_bound=1024)
    flags.DEFINE_integer("num_frames", 32, "frames in a clip", lower_bound=1, upper_bound=1024)
    flags.DEFINE_integer("num_clips", 16, "clips to show", lower_bound=1, upper_bound=1024)
    flags.DEFINE_integer("first_clip", 0, "number of the first clip to show, from 0", lower_bound=0)
    flags.DEFINE_integer("seed", 0, "seed of the built-in clips", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_integer("fps", 12, "frames a second", lower_bound=1, upper_bound=50)


def main() -> None:
    cli.require("output")
    args = cli.flags.FLAGS
    cli.load_tensorflow()
    from tfvideogan.data import layouts, pipeline
    from tfvideogan.data.sources import open_source
    from tfvideogan.files import atomic, encoders, pictures
    from tfvideogan.inference import visuals

    atomic.check_output("output", args.output, encoders.CLIP_SUFFIXES)
    form = layouts.Form(*cli.array_form())
    how = {"form": form, "allow_outside": bool(args.allow_outside)}
    source = open_source(args.data, args.frame_size, args.num_frames, args.seed, **how)
    if args.first_clip >= len(source):
        raise UsageError(f"--first_clip must be under {len(source)}, the number of clips. Received: {args.first_clip}")
    chosen = pipeline.clips_in_order(source, args.num_frames).skip(args.first_clip).take(args.num_clips)
    clips = np.stack(list(pipeline.arrays(chosen, source)))
    shown = visuals.grid(clips, width=800) if len(clips) > 1 else clips[0]
    if args.output.lower().endswith(".png"):
        pictures.write_image(args.output, shown[0])
    else:
        encoders.write_clip(args.output, shown, args.fps)
    print(f"{len(source)} clips in {args.data}; {len(clips)} of them in {args.output}")


if __name__ == "__main__":
    cli.run(define_flags, main)
