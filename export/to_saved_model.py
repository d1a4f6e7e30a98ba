"""Exports a run as a SavedModel in the layout that TF Serving reads, which is OUTPUT/VERSION/.

python -m export.to_saved_model --run_dir=runs/mdgan --output=exported/mdgan
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from tfvideogan import cli
from tfvideogan.config import UsageError

if TYPE_CHECKING:
    from tfvideogan.files import paths
    from tfvideogan.models.adversarial import AdversarialModel


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    flags.DEFINE_string("output", None, "folder of the served model; the version becomes a folder in it")
    flags.DEFINE_integer("version", 1, "version number, a folder that must not exist yet", lower_bound=1)
    cli.define_stage()
    flags.DEFINE_enum(
        "lowering", "on", ["on", "off"], "2D operations in place of the 3D ones, the same function; faster on CPUs"
    )
    flags.DEFINE_integer("max_batch", 16, "rows that a request may have", lower_bound=1, upper_bound=1024)


def main() -> None:
    cli.require_run("output")
    args = cli.flags.FLAGS
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    from tfvideogan.files import atomic, paths
    from tfvideogan.runs import loading

    final = paths.path(args.output) / str(args.version)
    if final.exists():
        raise UsageError(f"--output must not hold version {args.version} yet. Received: {final}, which exists")
    atomic.check_folder("output", args.output)
    model, checkpoint = loading.load_model(args.run_dir, args.stage, args.trust)
    names = save(model, final, args.lowering == "on", args.max_batch)
    print(f"stage {checkpoint.stage}, step {checkpoint.step}: {final}/ ({', '.join(names)})")


def save(model: AdversarialModel, final: paths.Path, lowering: bool, max_batch: int) -> list[str]:
    """Writes a model as the SavedModel `final`, a folder named by its version, and returns its signatures' names."""
    import tensorflow as tf

    from export.lowering import lower
    from tfvideogan.files import paths
    from tfvideogan.inference.signatures import ServedModel

    served = ServedModel(model, lower(model) if lowering else None, max_batch)
    signatures = served.signatures()
    final.parent.mkdir(parents=True, exist_ok=True)
    # A folder that is renamed in its place never shows a server half a version.
    where = None if paths.is_remote(final) else final.parent
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=where) as beside:
        tf.saved_model.save(served, f"{beside}/model", signatures=signatures)
        paths.publish(f"{beside}/model", final)
    return list(signatures)


if __name__ == "__main__":
    cli.run(define_flags, main)
