"""Exports a run as a SavedModel in the layout that TF Serving reads, which is OUTPUT/VERSION/.

python -m export.to_saved_model --run_dir=runs/mdgan --output=exported/mdgan
python -m export.to_saved_model --weights=mdgan-skies-64 --output=served/skies --serving
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
    flags.DEFINE_bool("serving", False, "also write warm-up records into the version, and beside it the configuration "
                      "files of TF Serving, and manifests for Docker Compose, Kubernetes and KServe")  # fmt: skip


def main() -> None:
    cli.require_run("output")
    args = cli.flags.FLAGS
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    from export import server_files
    from tfvideogan.files import atomic, paths
    from tfvideogan.runs import loading

    final = paths.path(args.output) / str(args.version)
    if final.exists():
        raise UsageError(f"--output must not hold version {args.version} yet. Received: {final}, which exists")
    atomic.check_folder("output", args.output)
    if args.serving:
        server_files.check_name("output", final.parent.name)
    model, checkpoint = loading.load_model(args.run_dir, args.stage, args.trust)
    names = save(model, final, args.lowering == "on", args.max_batch, args.serving)
    files = server_files.write_files(final.parent, args.max_batch) if args.serving else []
    beside = f"; beside it {', '.join(files)}" if files else ""
    print(f"stage {checkpoint.stage}, step {checkpoint.step}: {final}/ ({', '.join(names)}){beside}")


def save(
    model: AdversarialModel, final: paths.Path, lowering: bool, max_batch: int, warm_up: bool = False
) -> list[str]:
    """Writes a model as the SavedModel `final`, a folder named by its version, and returns its signatures' names.

    Args:
        warm_up: whether to write the records in it that a server warms up with.
    """
    import tensorflow as tf

    from export import server_files
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
        if warm_up:
            records = server_files.warm_up_records(final.parent.name, signatures, max_batch)
            server_files.write_warm_up(f"{beside}/model", records)
        paths.publish(f"{beside}/model", final)
    return list(signatures)


if __name__ == "__main__":
    cli.run(define_flags, main)
