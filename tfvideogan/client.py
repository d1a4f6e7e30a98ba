"""Makes clips by a model that a server runs (TensorFlow Serving, REST or gRPC), without TensorFlow.

python -m tfvideogan.client --target=rest://localhost:8501 --model=vgan --seed=7,8,9 --output=clips
python -m tfvideogan.client --target=grpc://localhost:8500 --model=mdgan --image=photo.jpg --output=clip.mp4
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("target", None, "required: the server, rest://HOST:PORT or grpc://HOST:PORT (the extra client)")
    flags.DEFINE_string("model", None, "required: the model's name on the server")
    flags.DEFINE_list("seed", None, "a generator's seeds, separated by commas; this or --image is required")
    flags.DEFINE_string("image", None, "a predictor's still picture, of any size")
    flags.DEFINE_string("wind", None, "models trained with --drift need it: DX,DY, how far what is seen moves a frame, "
                        "in frame widths to the right and heights downwards")  # fmt: skip
    flags.DEFINE_string("output", None, "required: clip to write, .gif, .mp4, .webp, .png (a film-strip) or .npy; for "
                        "several seeds the folder of their clips, seed-7 and so on")  # fmt: skip
    flags.DEFINE_enum("format", None, ["gif", "mp4", "webp", "png", "npy"], "for several seeds: format of their clips "
                      "(default gif)")  # fmt: skip
    flags.DEFINE_bool("lossless", False, "for seeds: ask for the frames themselves and not for JPEGs of them, which "
                      "are smaller by far")  # fmt: skip
    flags.DEFINE_integer("max_batch", 16, "rows of a request, as many as the model was exported for", lower_bound=1,
                         upper_bound=1024)  # fmt: skip
    flags.DEFINE_float("deadline", 60, "seconds that a request may take, with its retries", lower_bound=0.01,
                       upper_bound=3600)  # fmt: skip
    flags.DEFINE_integer("retries", 4, "how often a request is sent again while the server is unavailable",
                         lower_bound=0, upper_bound=100)  # fmt: skip
    flags.DEFINE_integer("fps", 12, "frames a second", lower_bound=1, upper_bound=50)


def main() -> None:
    cli.require("target", "model", "output")
    args = cli.flags.FLAGS
    seeds = _check_flags(args)
    outputs = _outputs(args, seeds)
    from tfvideogan.files import encoders, picture_reader, pictures
    from tfvideogan.inference import remote
    from tfvideogan.models import drift

    served = remote.RemoteModel(args.target, args.model, args.deadline, args.retries, args.max_batch)
    if args.image:
        wind = drift.parse_wind(args.wind) if args.wind is not None else None
        with cli.naming("image"):
            picture = picture_reader.read_image(args.image, pictures.at_most(remote.LARGEST_SENT))
        clips = served.predict(picture, wind)
    else:
        clips = served.generate(seeds, args.lossless)
    for path, clip in zip(outputs, clips, strict=True):
        encoders.write_clip(path, clip, args.fps)
    which = f"{len(clips)} clip{'s' if len(clips) > 1 else ''} of {'x'.join(map(str, clips.shape[1:4]))}"
    print(f"{which} from {args.target}, model {args.model}: {args.output}")


def _check_flags(args: Any) -> list[int]:
    """The seeds. Raises UsageError for flags that exclude each other, and for seeds that are none."""
    if bool(args.seed) == bool(args.image):
        received = f"both: --seed={','.join(args.seed)}, --image={args.image}" if args.image else "neither"
        raise UsageError(f"either --seed (of a generator) or --image (of a predictor) is required. Received {received}")
    for flag in ("wind",) if args.seed else ("lossless", "format"):
        if getattr(args, flag):
            raise UsageError(f"--{flag} is for --{'image' if args.seed else 'seed'}. Received: {getattr(args, flag)}")
    try:
        seeds = [int(seed) for seed in args.seed or []]
    except ValueError:
        seeds = [2**63]
    if any(not -(2**63) <= seed < 2**63 for seed in seeds):
        raise UsageError(f"--seed must be integers of 64 bits, separated by commas. Received: {','.join(args.seed)!r}")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seed must not name a seed twice. Received: {','.join(args.seed)}")
    if args.format and len(seeds) == 1:
        raise UsageError(f"--format is for several seeds; one clip has the format of --output. Received: {args.format}")
    return seeds


def _outputs(args: Any, seeds: Sequence[int]) -> list[Path]:
    """The file of each clip. Raises UsageError if one cannot be written."""
    from tfvideogan.files import atomic, encoders

    if len(seeds) < 2:
        atomic.check_output("output", args.output, encoders.CLIP_SUFFIXES)
        return [Path(args.output)]
    atomic.check_folder("output", args.output)
    return [Path(args.output) / f"seed-{seed}.{args.format or 'gif'}" for seed in seeds]


if __name__ == "__main__":
    cli.run(define_flags, main)
