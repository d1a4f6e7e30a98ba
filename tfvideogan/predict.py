"""Predicts a clip from a still picture with a trained MD-GAN or conditional Video-GAN.

python -m tfvideogan.predict --run_dir=runs/mdgan --image=photo.jpg --output=clip.mp4 --sheet=sheet.png
"""

from __future__ import annotations

import itertools

import numpy as np

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("image", None, "required: still picture, of any size; it is squashed to the model's frame")
    flags.DEFINE_string("output", None, "required: clip to write, .mp4 or .gif")
    cli.define_stage()
    flags.DEFINE_string("sheet", None, "mdgan: comparison sheet to write, .png: the input and both stages over time")
    flags.DEFINE_string("real", None, "video of what really followed, for the last row of --sheet and --wind=measured")
    flags.DEFINE_string("wind", None, "runs with --drift: DX,DY, how far what is seen moves a frame, in frame widths "
                        "to the right and heights downwards; or measured, from --real (default: 0.005,0)")  # fmt: skip
    flags.DEFINE_bool("batch_statistics", False, "normalise with the statistics of this picture, as the test script of "
                      "MD-GAN's authors does, and not with those of the training")  # fmt: skip
    flags.DEFINE_integer("scale", 1, "repeat each pixel of the clip so many times both ways", lower_bound=1,
                         upper_bound=16)  # fmt: skip
    flags.DEFINE_integer("fps", 12, "frames a second", lower_bound=1, upper_bound=50)


def main() -> None:
    cli.require_run("image", "output")
    args = cli.flags.FLAGS
    if args.wind == "measured" and not args.real:
        raise UsageError("--wind=measured needs --real, the clip whose wind to take")
    if args.real and not args.sheet and args.wind != "measured":
        raise UsageError("--real is a row of the comparison sheet: it needs --sheet")
    given = _parse_wind(args.wind)
    cli.load_tensorflow(gpus=True)
    from tfvideogan.data import clips
    from tfvideogan.data.wind import measure
    from tfvideogan.files import atomic, pictures, videos
    from tfvideogan.inference import sampling, visuals
    from tfvideogan.models.drift import drifting_clip
    from tfvideogan.runs import loading

    atomic.check_output("output", args.output, videos.CLIP_SUFFIXES)
    if args.sheet:
        atomic.check_output("sheet", args.sheet, (".png",))
    model, checkpoint = loading.load_model(args.run_dir, args.stage)
    if not model.predicts:
        raise UsageError(f"--run_dir {args.run_dir} holds a generator, not a predictor: use tfvideogan.generate")
    if args.wind and not model.takes_wind:
        raise UsageError(f"--wind is for runs trained with --drift. Received: {args.wind!r}, for {args.run_dir}")
    if args.sheet and model.num_stages == 1:
        raise UsageError("--sheet compares MD-GAN's stages; this run is a conditional Video-GAN")
    num_frames, size = model.num_frames, model.frame_size
    with cli.naming("image"):
        image = pictures.read_image(args.image, pictures.squash(size))
    real = _read_real(args.real, num_frames, size) if args.real else None

    inputs = clips.to_float(image)[None]
    if model.takes_wind:
        wind = given if given is not None else measure(real)
        inputs = inputs, wind[None]
    outputs = next(sampling.sample(model, [inputs], args.batch_statistics))
    clip = visuals.enlarge(clips.to_uint8(outputs["clip"][0]), args.scale)
    videos.write_clip(args.output, clip, args.fps)
    if args.sheet:
        shown = clips.to_uint8(drifting_clip(*inputs, num_frames)[0]) if model.takes_wind else image
        rows = visuals.stage_rows(outputs, shown, real)
        pictures.write_image(args.sheet, visuals.comparison_sheet(rows))
    written = f"{args.output}{f', {args.sheet}' if args.sheet else ''}"
    by = f", wind {wind[0]:.4f},{wind[1]:.4f}" if model.takes_wind else ""
    print(f"stage {checkpoint.stage}, step {checkpoint.step}{by}: {written}")


def _parse_wind(text: str | None) -> np.ndarray | None:
    """The value of `--wind` as float32 [2], the default for None, or None for `measured`."""
    if text == "measured":
        return None
    from tfvideogan.models import drift

    try:
        wind = np.float32([float(part) for part in text.split(",")] if text is not None else drift.DEFAULT_WIND)
    except ValueError:
        wind = np.zeros(0)
    if wind.shape != (2,) or not np.all(np.abs(wind) <= drift.FASTEST_WIND):
        raise UsageError(f"--wind must be measured, or DX,DY with numbers from -1 to 1. Received: {text!r}")
    return wind


def _read_real(path: str, count: int, size: int) -> np.ndarray:
    """The first `count` frames of the video of `--real`, squashed: uint8 [count, size, size, 3]."""
    from tfvideogan.files import pictures, videos

    with cli.naming("real"):
        frames = list(itertools.islice(videos.read_video(path, pictures.squash(size)), count))
    if len(frames) < count:
        raise UsageError(f"--real must have {count} frames or more. Received: {path}, {len(frames)} frames")
    return np.stack(frames)


if __name__ == "__main__":
    cli.run(define_flags, main)
