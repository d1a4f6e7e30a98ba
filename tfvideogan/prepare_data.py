"""Makes training records of videos, frame folders and strips: decoded, stabilised, cut into clips, sharded.

python -m tfvideogan.prepare_data --input=my_videos --output=records/mine --frame_size=64

The same command goes on with a job that was killed. To train: --data=records/mine
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from tfvideogan import cli
from tfvideogan.config import UsageError

if TYPE_CHECKING:
    from tfvideogan.data.cutting import Cutting


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string(
        "input",
        None,
        "required: folders of videos, frames, strips or arrays, their files, or lists, separated by commas",
    )
    flags.DEFINE_bool("allow_outside", False, "let a list name files outside of its own folder")
    cli.define_arrays()
    flags.DEFINE_string("output", None, "required: new folder of the data set")
    flags.DEFINE_integer("frame_size", 128, "height and width of a frame, pixels, a multiple of 16",
                         lower_bound=16, upper_bound=512)  # fmt: skip
    flags.DEFINE_integer("num_frames", 32, "frames in a clip", lower_bound=2, upper_bound=1024)
    flags.DEFINE_enum("resize", "squash", ["squash", "crop"], "to a square by squashing, or by cropping its middle")
    flags.DEFINE_enum("clips", "all", ["all", "first"], "every window of an input, or only the first")
    flags.DEFINE_integer("stride", None, "frames from the start of a clip to that of the next (default: --num_frames)",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("frame_step", 1, "take every so-many-th frame", lower_bound=1)
    flags.DEFINE_bool("stabilize", False, "make the background of hand-held clips stand still; needs OpenCV")
    flags.DEFINE_bool("split_at_cuts", None, "no clip spans a scene cut (default: with --stabilize)")
    flags.DEFINE_string("split", "train:0.9,test:0.1", "splits and their shares; a video is in one of them only")
    flags.DEFINE_enum("encoding", "jpeg", ["jpeg", "png"], "of the frames; png is lossless")
    flags.DEFINE_integer("quality", None, "of jpeg (default: 95)", lower_bound=1, upper_bound=100)
    flags.DEFINE_integer("workers", os.cpu_count() or 1, "processes", lower_bound=1)
    flags.DEFINE_float("time_limit", 600, "seconds that one input may take", lower_bound=0.01)
    flags.DEFINE_integer("memory_limit", 2048, "megabytes that one input may take", lower_bound=64)
    flags.DEFINE_string("beam_options", "", "for Apache Beam, as '--runner=FlinkRunner --flink_master=HOST:8081'")


def main() -> None:
    cli.require("input", "output")
    args = cli.flags.FLAGS
    _check(args)
    folders = _folders(args.input)
    splits = _splits(args.split)
    beam_options = _beam_options(args.workers, args.beam_options)
    cli.load_tensorflow()
    from tfvideogan.files import atomic, optional, pictures
    from tfvideogan.files.confined import Limits

    try:
        logging.disable(logging.WARNING)  # Beam would warn that BigQuery is missing.
        optional.package("apache_beam", "Apache Beam", "data")
        from tfvideogan.data import description, layouts, plan, prepare
    finally:
        logging.disable(logging.NOTSET)
    cutting, limits = _cutting(args), Limits(args.time_limit, args.memory_limit, by_flags=True)
    atomic.check_folder("output", args.output)
    job = plan.Job(args.output, cutting, pictures.StripEncoding(args.encoding, args.quality or 95), limits, splits)
    start = time.monotonic()
    form = layouts.Form(*cli.array_form())
    dataset = prepare.prepare(folders, job, beam_options, args.allow_outside, form)
    print(description.report(dataset, time.monotonic() - start))


def _cutting(args: Any) -> Cutting:
    """How clips are cut. Raises UsageError if that needs OpenCV, and it is missing."""
    from tfvideogan.data.cutting import Cutting
    from tfvideogan.files import optional

    split_at_cuts = args.stabilize if args.split_at_cuts is None else args.split_at_cuts
    if args.stabilize or split_at_cuts:
        optional.package("cv2", "OpenCV, which --stabilize and --split_at_cuts need,", "data")
    return Cutting(
        args.frame_size,
        args.num_frames,
        stride=args.stride or args.num_frames,
        frame_step=args.frame_step,
        first_only=args.clips == "first",
        resize=args.resize,
        stabilize=args.stabilize,
        split_at_cuts=split_at_cuts,
    )


def _check(args: Any) -> None:
    """Raises UsageError for values that exclude each other, before anything is loaded."""
    if args.frame_size % 16:
        raise UsageError(f"--frame_size must be a multiple of 16. Received: {args.frame_size}")
    if args.quality and args.encoding == "png":
        raise UsageError(f"--quality has no meaning for --encoding=png. Received: {args.quality}")
    if args.stride and args.clips == "first":
        raise UsageError(f"--stride has no meaning for --clips=first. Received: {args.stride}")
    if args.frame_size * args.num_frames > 65_500:
        raise UsageError(
            f"--frame_size x --num_frames must be at most 65500 pixels, the highest a film-strip can be. "
            f"Received: {args.frame_size} x {args.num_frames}"
        )


def _folders(text: str) -> list[str]:
    """The folders of `--input`, separated by commas, in quotes if they have some; what exists as a whole is one."""
    if os.path.exists(text):  # noqa: PTH110 -- a Path of a long list raises "File name too long"
        return [text]
    try:
        folders = cli.flags.ListParser().parse(text)
    except ValueError:
        folders = []
    if not all(folders) or not folders:
        raise UsageError(f"--input must be folders separated by commas. Received: {text!r}")
    return folders


def _splits(text: str) -> tuple[tuple[str, float], ...]:
    """`train:0.9,test:0.1` -> (("train", 0.9), ("test", 0.1)); shares that add up to 1."""
    splits = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\w+):(\d*\.?\d+)\s*", part, re.ASCII)
        if not match or float(match[2]) <= 0:
            raise UsageError(f"--split must be as train:0.9,test:0.1. Received: {text!r}")
        splits.append((match[1], float(match[2])))
    if abs(sum(share for _, share in splits) - 1) > 1e-6 or len(dict(splits)) < len(splits):
        raise UsageError(f"--split must name each split once, with shares that add up to 1. Received: {text!r}")
    return tuple(splits)


def _beam_options(workers: int, text: str) -> list[str]:
    """Several processes of this machine, unless other options say otherwise: the last one counts."""
    mode = "multi_processing" if workers > 1 else "in_memory"
    own = ["--runner=DirectRunner", f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
    try:
        return [*own, *shlex.split(text)]
    except ValueError as error:
        raise UsageError(
            f"--beam_options must be options as a shell takes them ({error}). Received: {text!r}"
        ) from error


if __name__ == "__main__":
    cli.run(define_flags, main)
