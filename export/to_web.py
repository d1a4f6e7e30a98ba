"""Exports a run as a page without a server: a folder to upload anywhere, whose model runs in the reader's browser.

python -m export.to_web --weights=vgan-conditional-sky-32 --output=site
python -m export.to_web --run_dir=runs/vgan --output=site --runtime=node_modules

The page is that of `tfvideogan.demo`; LiteRT.js runs the model, a TFLite file for one clip. The runtime is fetched
from a pinned address and checked by its hashes, or, with `--runtime`, lies in the folder itself, which then asks nobody
else for anything.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from export import conversion
from tfvideogan import cli
from tfvideogan.config import UsageError
from tfvideogan.models.drift import drifting_clip

VERSION = "2.5.3"
ADDRESS = "https://cdn.jsdelivr.net/npm/"
# The files of @litertjs/core and @litertjs/wasm-utils that `worker.js` loads, in its order.
RUNTIME = {
    "core/dist/index.js": "MapSVJ/DPwvaWpp7q+Bid9O3uY1oB0KOU1QRMP+Mm5zdz5oMme/BUyX6dVAMWnPg",
    "wasm-utils/dist/index.js": "HIPwlWsctS5BRqrnvJKDVJ8SvqKB0QmiImdr6+hpP7+8UqeMJX/qrBkdfKQV2WZ/",
    "core/wasm/litert_wasm_internal.js": "NB/Wc4iozynQO5jzJ2VFoMKbqMvwwFGWxJL/o63IJT6W2JfZbsSLxA2cF6H/mLpQ",
    "core/wasm/litert_wasm_internal.wasm": "AZ/Ak4CbDpjqpSr8WsnoL3Dcx6bDFA/k9b/jahok1TGHZ2OqIRjLBMiEmiNedhlC",
    "core/wasm/litert_wasm_compat_internal.js": "oh4nb8zDq6eVOpGeZE5gwDOJ16QujHLL8k/HEXt3XiPxr+8zn3YnkXP8P3BlJET1",
    "core/wasm/litert_wasm_compat_internal.wasm": "glAZ6WjS7tLRt89pbTPXvLC1c7DCaVSfL2ngn5gZJiUuPs76fWYJy7ZeFaD0PJXx",
}
_BYTES = (53482, 1494, 273035, 9367934, 273246, 9334181)
_PAGE = ("style.css", "icon.svg", "sky-1.jpg", "sky-2.jpg", "sky-3.jpg", "page.js", "film.js", "seeds.js", "photo.js",
         "dom.js", "latents.js", "drift.js", "worker.js", "resample.js", "enlarge.js", "saving.js", "gif.js", "mp4.js",
         "webp.js", "hired.js")  # fmt: skip
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'self'; "
    "worker-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'\">"
)


def define_flags() -> None:
    flags = cli.flags
    cli.define_run()
    cli.define_stage()
    flags.DEFINE_string("output", None, "folder of the page, which must not exist yet")
    flags.DEFINE_enum("precision", "float16", list(conversion.BYTES), "numbers that the model's file holds; int8 is "
                      "calibrated on inputs")  # fmt: skip
    conversion.define_calibration()
    flags.DEFINE_string("runtime", None, f"node_modules after `npm install @litertjs/core@{VERSION}`: the runtime is "
                        f"copied from there (default: readers fetch it from {ADDRESS})")  # fmt: skip


def main() -> None:
    cli.require_run("output")
    args = cli.flags.FLAGS
    conversion.check_calibration(args.calibration, args.precision)
    runtime = _read_runtime(args.runtime) if args.runtime else {}
    cli.exit_on_sigterm()
    cli.load_tensorflow()
    from tfvideogan.files import atomic
    from tfvideogan.runs import loading
    from tfvideogan.weights import shipped

    if Path(args.output).exists():
        raise UsageError(f"--output must be a new folder. Received: {args.output}, which exists")
    atomic.check_folder("output", args.output)
    model, checkpoint = loading.load_model(args.run_dir, args.stage, args.trust)
    card = shipped.card(args.weights) if args.weights else {}
    card = {"name": Path(args.run_dir).resolve().name, "limits": []} | card
    card.setdefault("description", f"{type(model).__name__}, stage {checkpoint.stage}, step {checkpoint.step}")
    calibration = None
    if args.precision == "int8":
        calibration = conversion.own_calibration(model, args.run_dir, args.calibration, args.trust)
    write(model, Path(args.output), card, args.precision, runtime, calibration)
    print(f"stage {checkpoint.stage}, step {checkpoint.step}: {args.output}/; python -m http.server -d {args.output}")


def write(
    model: Any,
    output: Path,
    card: dict[str, Any],
    precision: str,
    runtime: dict[str, bytes],
    calibration: Any = None,
) -> None:
    """Writes the page of a model, completely or not at all.

    Args:
        card: its `name`, `description` and `limits`.
        precision: float32, float16 or int8.
        runtime: the contents of the files of `RUNTIME`, to lie in the folder; empty for the pinned address.
        calibration: for int8, as for `to_tflite.convert`.
    """
    content, films = convert(model, precision, calibration)
    page = Path(cli.__file__).parent / "web"
    html = (
        (page / "index.html").read_text("utf-8").replace('<meta charset="utf-8">', f'<meta charset="utf-8">\n{_POLICY}')
    )
    files = {name: (page / name).read_bytes() for name in _PAGE}
    files |= {"engine.js": (page / "engine_browser.js").read_bytes(), "index.html": html.encode()}
    files |= {f"litert/{name}": held for name, held in runtime.items()}
    files |= {
        "model.tflite": content,
        "model.json": json.dumps(_description(model, films, card, len(content), bool(runtime)), indent=1).encode(),
    }
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=output.absolute().parent) as beside:
        for name, held in files.items():
            file = Path(beside, "site", name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(held)
        Path(beside, "site").rename(output)


def convert(model: Any, precision: str, calibration: Any = None) -> tuple[bytes, list[str]]:
    """The TFLite file for one clip, and the names of its films.

    It gives `films` [1, T * H, films * W, 3], float32 in [-1, 1]: the frames of the clip below each other, and beside
    them those of what belongs to it; last of all, without a name, the share of each pixel that drifts, from -1 for none
    to 1, of a model that has one. Of a run with --drift it takes `clip` [1, T * H, W, 3], the frame as it drifts. No
    tensor has more than four dimensions, so that a delegate for a GPU takes all operations.
    """
    import tensorflow as tf

    from export import lowering, to_tflite

    sampler = lowering.sampler(model, True, from_clip=True, share=True)
    (spec,) = sampler.specs
    shape = spec.shape[1:] if len(spec.shape) < 5 else [spec.shape[1] * spec.shape[2], *spec.shape[3:]]
    specs = [tf.TensorSpec([1, *shape], spec.dtype, spec.name)]
    names: list[str] = []

    def sample(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        films = _films(sampler.sample(tf.reshape(inputs, [1, *spec.shape[1:]])))
        names[:] = [name for name in films if name != "share"]
        return {"films": tf.concat(list(films.values()), axis=2)}

    if calibration is not None and model.takes_wind:
        calibration = drifting_clip(*calibration, model.num_frames)
    rows = None if calibration is None else np.reshape(calibration, [-1, *shape])
    with tempfile.TemporaryDirectory() as folder:
        to_tflite.save_function(sample, specs, sampler.variables, folder)
        return to_tflite.of_saved_model(folder, precision, rows), names


def _films(outputs: dict[str, Any]) -> dict[str, Any]:
    """What the page shows of a model's outputs, by its names: `inference.visuals.sample_rows` as a graph, of strips."""
    import tensorflow as tf

    frames = outputs["clip"].shape[1]
    strips = {name: tf.reshape(clip, [1, -1, *clip.shape[3:]]) for name, clip in outputs.items()}
    for name in strips.keys() & {"mask", "share"}:
        strips[name] = tf.concat([strips[name] * 2.0 - 1.0] * 3, axis=-1)
    if "base" in strips:
        films = {"stage 1": strips["base"], "stage 2": strips["clip"]}
    elif "mask" in strips:
        films = {name: strips[name] for name in ("clip", "foreground", "mask")}
        films["background"] = tf.concat([strips["background"]] * (frames // outputs["background"].shape[1]), axis=1)
    else:
        films = {"clip": strips["clip"]}
    return films | {name: strip for name, strip in strips.items() if name == "share"}


def _description(model: Any, films: list[str], card: dict[str, Any], size: int, beside: bool) -> dict[str, Any]:
    """What the page must know: of the model (`web.players.About`), and of the files that its worker loads."""
    from export import lowering
    from tfvideogan.web.players import About

    own = (card["name"], card["description"], card["limits"])
    about = About(*own, model.predicts, model.takes_wind, model.predicts, films, *model.clip_shape[:2])
    # What drifts of a photo whose details are put on an enlarged clip: a share of each pixel, all, or there are none.
    share = "film" if lowering.has_share(model) else 1 if model.is_residual else None
    paths = RUNTIME if beside else [name.replace("/", f"@{VERSION}/", 1) for name in RUNTIME]
    parts = [
        {"path": path, "bytes": count, "integrity": f"sha384-{digest}"}
        for path, count, digest in zip(paths, _BYTES, RUNTIME.values(), strict=True)
    ]
    return {
        "about": dataclasses.asdict(about) | {"latent_dim": model.sampling_inputs[0].shape[-1], "share": share},
        "model": {"path": "model.tflite", "bytes": size},
        "runtime": {"root": "litert/" if beside else f"{ADDRESS}@litertjs/", "pinned": not beside, "files": parts},
    }


def _read_runtime(folder: str) -> dict[str, bytes]:
    """The files of `RUNTIME` in npm's folder. Raises UsageError if one is missing, or is not of this version."""
    contents = {}
    for name, digest in RUNTIME.items():
        file = Path(folder, "@litertjs", name)
        wanted = f"--runtime must be node_modules after npm install @litertjs/core@{VERSION}"
        if not file.is_file():
            raise UsageError(f"{wanted}; there is no {file}. Received: {folder}")
        contents[name] = file.read_bytes()
        if base64.b64encode(hashlib.sha384(contents[name]).digest()).decode() != digest:
            raise UsageError(f"{wanted}; {file} is of another version. Received: {folder}")
    return contents


if __name__ == "__main__":
    cli.run(define_flags, main)
