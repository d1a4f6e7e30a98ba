"""Exports a run as a SavedModel in the layout that TF Serving reads: OUTPUT/VERSION/.

python -m export.to_saved_model --run_dir=runs/mdgan --output=exported/mdgan
"""

from __future__ import annotations

import tempfile

from tfvideogan import cli
from tfvideogan.config import UsageError


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of a trained run")
    flags.DEFINE_string("output", None, "folder of the served model; the version becomes a folder in it")
    flags.DEFINE_integer("version", 1, "version number, a folder that must not exist yet", lower_bound=1)
    flags.DEFINE_integer("stage", None, "mdgan: 1 for the Base-Net alone (default: the last one trained)",
                         lower_bound=1, upper_bound=2)  # fmt: skip


def main() -> None:
    cli.require("run_dir", "output")
    args = cli.flags.FLAGS
    cli.load_tensorflow()
    import tensorflow as tf

    from tfvideogan import checkpoints, media, paths, serving

    final = paths.path(args.output) / str(args.version)
    if final.exists():
        raise UsageError(f"--output must not hold version {args.version} yet. Received: {final}, which exists")
    media.check_folder("output", args.output)
    model, checkpoint = checkpoints.load_model(args.run_dir, args.stage)
    served = serving.ServedModel(model)
    signatures = served.signatures()
    final.parent.mkdir(parents=True, exist_ok=True)
    where = None if paths.is_remote(final) else final.parent  # beside: a server must never see half a version
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=where) as beside:
        tf.saved_model.save(served, f"{beside}/model", signatures=signatures)
        paths.publish(f"{beside}/model", final)
    print(f"stage {checkpoint.stage}, step {checkpoint.step}: {final}/ ({', '.join(signatures)})")


if __name__ == "__main__":
    cli.run(define_flags, main)
