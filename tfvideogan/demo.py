"""Opens a page on this machine to play with a trained model: seeds, or photos whose clouds move.

python -m tfvideogan.demo
python -m tfvideogan.demo --weights=vgan-conditional-sky-32 --port=8080
python -m tfvideogan.demo --model=exported/vgan_int8.tflite
python -m tfvideogan.demo --target=grpc://localhost:8500 --model=vgan
"""

from __future__ import annotations

from typing import Any

from tfvideogan import cli
from tfvideogan.config import UsageError

_DEFAULT = "mdgan-skies-64"


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of a trained run, in place of --weights")
    flags.DEFINE_string("weights", None, f"trained weights that come with the package, by their name (default "
                        f"{_DEFAULT}); --weights=help lists them")  # fmt: skip
    flags.DEFINE_string("model", None, "an exported .tflite or .onnx file, or a SavedModel, in place of --weights; the "
                        "page then shows its clips alone. With --target, the model's name on the server")  # fmt: skip
    flags.DEFINE_string("target", None, "a server that runs the model, rest://HOST:PORT or grpc://HOST:PORT (the extra "
                        "client)")  # fmt: skip
    cli.define_stage()
    cli.define_trust("; a SavedModel or .tflite file of --model is loaded without being looked at first")
    flags.DEFINE_integer("port", 8000, "port of the page, 0 for a free one", lower_bound=0, upper_bound=65535)
    flags.DEFINE_string("host", "localhost", "address to listen on; 0.0.0.0 lets everybody in the network use the page")


def main() -> None:
    args = cli.flags.FLAGS
    load = _loader(args)
    from tfvideogan.web.server import Server

    cli.exit_on_sigterm()
    try:
        server = Server(args.host, args.port, load, patient=bool(args.target))
    except OSError as error:
        raise UsageError(f"--host={args.host} --port={args.port} cannot be listened on: {error.strerror}") from error
    with server:
        print(f"http://{args.host}:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        server.serve_forever()
    raise server.failure


def _loader(args: Any) -> Any:
    """What makes the model; the flags are checked before.

    Whether something is at gs:// or s3:// is found out while the page waits for its model: TensorFlow must be there.
    """
    from tfvideogan.files import paths
    from tfvideogan.weights import shipped

    if args.target:
        return _remote_loader(args)
    if args.model:
        if args.run_dir or args.weights or args.stage:
            raise UsageError("--model stands in place of --run_dir, --weights and --stage; give one of them")
        if not paths.is_remote(args.model) and not paths.path(args.model).exists():
            raise UsageError(f"--model: no such file or folder. Received: {args.model}")
        return lambda: _load_file(args.model, args.trust)
    if not args.run_dir and not args.weights:
        args.weights = _DEFAULT
    cli.require_run()
    if not paths.is_remote(args.run_dir) and not paths.is_file(paths.path(args.run_dir) / "config.json"):
        missing = "" if paths.path(args.run_dir).exists() else ", no such folder"
        raise UsageError(f"--run_dir must be the folder of a trained run. Received: {args.run_dir!r}{missing}")
    card = shipped.card(args.weights) if args.weights else None
    return lambda: _load_run(args.run_dir, args.stage, args.trust, card)


def _remote_loader(args: Any) -> Any:
    """What asks the server of --target for its model."""
    from tfvideogan.inference import remote

    for flag in ("run_dir", "weights", "stage", "trust"):
        if getattr(args, flag):
            raise UsageError(
                f"--{flag} is for models that lie here, and not for --target={args.target}; give one of them"
            )
    if not args.model:
        raise UsageError("--target needs --model, the model's name on the server")
    # A person waits: what fails is told on the page at once, which tries again itself.
    served = remote.RemoteModel(args.target, args.model, deadline=30, retries=0)
    return lambda: _ask_server(served, args.model, args.target)


def _ask_server(served: Any, name: str, target: str) -> Any:
    from tfvideogan.web.players import RemotePlayer

    return RemotePlayer(served, name, target)


def _load_file(path: str, trust: bool) -> Any:
    from tfvideogan.files import paths

    if paths.is_remote(path) or not path.endswith((".tflite", ".onnx")):
        cli.load_tensorflow(gpus=True)
    from tfvideogan.web.players import FilePlayer

    return FilePlayer(path, trust)


def _load_run(run_dir: str, stage: int | None, trust: bool, card: dict[str, Any] | None) -> Any:
    cli.load_tensorflow(gpus=True)
    from tfvideogan.web.players import RunPlayer

    return RunPlayer(run_dir, stage, card, trust)


if __name__ == "__main__":
    cli.run(define_flags, main)
