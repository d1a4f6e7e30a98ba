"""Brings still pictures to life with a trained MD-GAN or conditional Video-GAN.

python -m tfvideogan.predict --run_dir=runs/mdgan --image=photo.jpg --output=clip.mp4 --sheet=sheet.png
python -m tfvideogan.predict --weights=mdgan-skies-64 --image=photos --output=clips --format=webp --size=picture

Of a folder, pictures that cannot be read are named, the others are done, and the status is 1.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfvideogan import cli
from tfvideogan.config import UsageError

logger = logging.getLogger("tfvideogan")

FAILED = 1
_LONGEST_SIDE = 2160  # Larger pictures are scaled down to this with --size=picture.
_MOST_SECONDS = 60
_MOST_BYTES = 2**31  # All frames of a clip lie in memory together, and may take so many bytes.


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("image", None, "required: still picture of any size, or a folder of them")
    flags.DEFINE_string("output", None, "required: clip to write, .mp4, .gif, .webp, .png (a film-strip) or .npy; for "
                        "a folder of pictures the folder of their clips")  # fmt: skip
    cli.define_stage()
    flags.DEFINE_enum("format", None, ["mp4", "gif", "webp", "png", "npy"], "for a folder of pictures: format of their "
                      "clips (default mp4)")  # fmt: skip
    flags.DEFINE_enum("fit", "squash", ["squash", "crop", "pad"], "how a picture becomes the model's square: all of it "
                      "out of shape, its middle, or with its edges continued, which are cut off again")  # fmt: skip
    flags.DEFINE_enum("size", "model", ["model", "picture"], "size of the clip; picture (ours): that of the picture, "
                      "whose details a model trained with --residual keeps")  # fmt: skip
    flags.DEFINE_float("seconds", None, "length of the clip, by one prediction after another, each from a late frame "
                       "of the one before and blended with it (ours; default: one prediction)",
                       lower_bound=0.1, upper_bound=_MOST_SECONDS)  # fmt: skip
    flags.DEFINE_string("sheet", None, "mdgan: comparison sheet to write, .png: the input and both stages over time")
    flags.DEFINE_string("real", None, "video of what really followed, for the last row of --sheet and --wind=measured")
    flags.DEFINE_string("wind", None, "runs with --drift: DX,DY, how far what is seen moves a frame, in frame widths "
                        "to the right and heights downwards; or measured, from --real (default: 0.005,0)")  # fmt: skip
    flags.DEFINE_bool("batch_statistics", False, "normalise with the statistics of this picture, as the test script of "
                      "MD-GAN's authors does, and not with those of the training")  # fmt: skip
    flags.DEFINE_integer("scale", 1, "repeat each pixel of the clip so many times both ways", lower_bound=1,
                         upper_bound=16)  # fmt: skip
    flags.DEFINE_integer("fps", 12, "frames a second", lower_bound=1, upper_bound=50)


def main() -> int:
    cli.require_run("image", "output")
    args = cli.flags.FLAGS
    _check_flags(args)
    asked_for = _parse_wind(args.wind)
    from tfvideogan.files import picture_reader

    picture_reader.start()  # It is ready when the outputs are checked.
    jobs = _jobs(args)
    read = functools.lru_cache(maxsize=1)(_read_picture)
    if not _is_folder("image", args.image):
        read(args.image)  # What cannot be read is refused at once, before a model is loaded.
    cli.load_tensorflow(gpus=True)
    from tfvideogan.data.wind import measure
    from tfvideogan.inference.animation import Animator
    from tfvideogan.runs import loading

    model, checkpoint = loading.load_model(args.run_dir, args.stage, args.trust)
    _check_model(args, model)
    real = _read_real(args.real, model.num_frames, model.frame_size) if args.real else None
    wind = (asked_for if asked_for is not None else measure(real)) if model.takes_wind else None
    animator = Animator(model, args.fit, args.size == "picture", args.batch_statistics)
    count = max(round(args.seconds * args.fps), 1) if args.seconds else model.num_frames
    failed = _write_clips(args, jobs, read, count, lambda picture: animator.longer(picture, wind, count))
    if args.sheet:
        _write_sheet(args, animator, model, read(args.image), wind, real)
    print(f"stage {checkpoint.stage}, step {checkpoint.step}{_summary(args, len(jobs), failed, wind)}")
    return FAILED if failed else 0


def _write_clips(
    args: Any,
    jobs: Sequence[tuple[str | Path, str | Path]],
    read: Callable[[str | Path], np.ndarray],
    count: int,
    animate: Callable[[np.ndarray], np.ndarray],
) -> int:
    """Writes the clip of each picture, of `count` frames; returns how many pictures of a folder gave none."""
    from tfvideogan.files import encoders
    from tfvideogan.inference.visuals import enlarge

    failed = 0
    for image, output in jobs:
        try:
            picture = read(image)
            _check_memory(args, image, picture, count)
        except UsageError as error:
            if not _is_folder("image", args.image):
                raise
            failed += 1
            logger.error("%s", error)
            continue
        encoders.write_clip(output, enlarge(animate(picture), args.scale), args.fps)
    return failed


def _summary(args: Any, pictures: int, failed: int, wind: np.ndarray | None) -> str:
    """What the command's line says behind the step: the wind, how many pictures of a folder, and what was written."""
    by = f", wind {wind[0]:.4f},{wind[1]:.4f}" if wind is not None else ""
    of = f", {pictures} pictures" if _is_folder("image", args.image) else ""
    of = f", {pictures - failed} of {pictures} pictures" if failed else of
    return f"{by}{of}: {args.output}{f', {args.sheet}' if args.sheet else ''}"


def _read_picture(image: str | Path) -> np.ndarray:
    """The picture. Raises UsageError if it cannot be read."""
    from tfvideogan.files import picture_reader, pictures

    with cli.naming("image"):
        picture = picture_reader.read_image(image, pictures.at_most(_LONGEST_SIDE))
        if picture_reader.count_pages(image) > 1:
            logger.warning("%s has several pages: the first is taken", image)
    return picture


def _check_memory(args: Any, image: str | Path, picture: np.ndarray, count: int) -> None:
    """Raises UsageError if `count` frames of the picture's own size are more than memory should hold."""
    if args.size == "picture" and count * picture.size > _MOST_BYTES:
        most = _MOST_BYTES // picture.size
        raise UsageError(f"--seconds of {image} at its own size must be {most} frames at most. Received: {count}")


def _check_flags(args: Any) -> None:
    """Raises UsageError for flags that exclude each other."""
    if args.wind == "measured" and not args.real:
        raise UsageError("--wind=measured needs --real, the clip whose wind to take")
    if args.real and not args.sheet and args.wind != "measured":
        raise UsageError("--real is a row of the comparison sheet: it needs --sheet")
    if args.real and args.fit != "squash":
        raise UsageError(f"--real is squashed, and needs --fit=squash. Received: --fit={args.fit}")
    if args.scale > 1 and args.size == "picture":
        raise UsageError(f"--scale is for --size=model. Received: --scale={args.scale}, --size=picture")
    if args.format and not _is_folder("image", args.image):
        raise UsageError(f"--format is for a folder of pictures; one clip has the format of --output. "
                         f"Received: --format={args.format}, --image={args.image}")  # fmt: skip
    if args.sheet and _is_folder("image", args.image):
        raise UsageError(f"--sheet is for one picture. Received: --image={args.image}, which is a folder")


def _is_folder(flag: str, name: str) -> bool:
    """Whether the value of a flag is a folder. Raises UsageError for a name that no file can have."""
    try:
        return Path(name).is_dir()
    except OSError as error:
        raise UsageError(f"--{flag}: {name}: {error.strerror}") from error


def _jobs(args: Any) -> list[tuple[str | Path, str | Path]]:
    """(picture, clip to write) of each picture. Raises UsageError if there is none, or no clip can be written."""
    from tfvideogan.files import atomic, encoders, pictures

    if args.sheet:
        atomic.check_output("sheet", args.sheet, (".png",))
    if not _is_folder("image", args.image):
        atomic.check_output("output", args.output, encoders.CLIP_SUFFIXES)
        return [(args.image, args.output)]
    atomic.check_folder("output", args.output)
    images = sorted(p for p in Path(args.image).iterdir() if p.suffix.lower() in pictures.IMAGE_SUFFIXES)
    if not images:
        raise UsageError(f"--image: no picture in {args.image} ({', '.join(pictures.IMAGE_SUFFIXES)})")
    outputs = [Path(args.output) / f"{picture.stem}.{args.format or 'mp4'}" for picture in images]
    if len(set(outputs)) < len(outputs):
        twice = next(output for output in outputs if outputs.count(output) > 1)
        raise UsageError(f"--image: several pictures in {args.image} would be written to {twice}")
    return list(zip(images, outputs, strict=True))


def _check_model(args: Any, model: Any) -> None:
    """Raises UsageError for flags that have no meaning for the model."""
    which = f"--weights {args.weights}" if args.weights else f"--run_dir {args.run_dir}"
    if not model.predicts:
        raise UsageError(f"{which} holds a generator, not a predictor: use tfvideogan.generate")
    if args.wind and not model.takes_wind:
        raise UsageError(f"--wind is for runs trained with --drift. Received: {args.wind!r}, for {which}")
    if args.sheet and model.num_stages == 1:
        raise UsageError("--sheet compares MD-GAN's stages; this run is a conditional Video-GAN")


def _write_sheet(
    args: Any, animator: Any, model: Any, picture: np.ndarray, wind: np.ndarray | None, real: np.ndarray | None
) -> None:
    """The comparison sheet of what the model is called on, its stages, and the real clip if there is one."""
    from tfvideogan.data import clips
    from tfvideogan.files import pictures
    from tfvideogan.inference import visuals

    inputs = animator.inputs(picture, wind)
    outputs = {name: value.numpy() for name, value in model(inputs, training=args.batch_statistics).items()}
    shown = clips.to_uint8(model.input_clip(inputs)[0].numpy())
    pictures.write_image(args.sheet, visuals.comparison_sheet(visuals.stage_rows(outputs, shown, real)))


def _parse_wind(text: str | None) -> np.ndarray | None:
    """The value of `--wind` as float32 [2], the default for None, or None for `measured`."""
    if text == "measured":
        return None
    from tfvideogan.models import drift

    return drift.parse_wind(text, "measured, or ") if text is not None else np.float32(drift.DEFAULT_WIND)


def _read_real(path: str, count: int, size: int) -> np.ndarray:
    """The first `count` frames of the video of `--real`, squashed: uint8 [count, size, size, 3]."""
    from tfvideogan.data import folder, inputs, worker
    from tfvideogan.data.cutting import Cutting

    if _is_folder("real", path):
        raise UsageError(f"--real must be a video. Received: {path}, which is a folder")
    video = inputs.Input(path, "video", (path,), group=path)
    with worker.Worker(Cutting(size, count, first_only=True), None, folder.LIMITS) as decoder:
        clip = next(decoder.clips(video), UsageError(f"{path}: no clip in it"))
    if isinstance(clip, UsageError):
        raise UsageError(f"--real must be a video whose first {count} frames can be read. Received: {clip}")
    return np.frombuffer(clip.strip, np.uint8).reshape(count, size, size, 3)


if __name__ == "__main__":
    cli.run(define_flags, main)
