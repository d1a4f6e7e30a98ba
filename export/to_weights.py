"""Packs a run into weights that `--weights=NAME` finds: a small run folder, with a card that says what they are.

python -m export.to_weights --run_dir=runs/skies --name=mdgan-skies-64 --description="a still sky moves with the wind"

What sampling needs of the newest stage is kept, kernels in float16. `evaluate` scores it on the run's held-out clips
and on those of --score_on.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from export import processes
from tfvideogan import cli
from tfvideogan.config import Config, UsageError
from tfvideogan.files import child

_LONGEST_PAUSE = 600  # Two lines of a log that are more seconds apart have a break between them.


def define_flags() -> None:
    flags = cli.flags
    flags.DEFINE_string("run_dir", None, "folder of a trained run")
    flags.DEFINE_string("name", None, "what --weights will call them")
    flags.DEFINE_string("description", None, "one line on what they do")
    flags.DEFINE_list("limits", [], "lines on what they cannot do, separated by commas")
    flags.DEFINE_string("commit", None, "of the code that trained them (default: the present one)")
    flags.DEFINE_string("machine", "", "where they were trained, as the card says it: 'on 2 CPU cores'")
    flags.DEFINE_list("score_on", [], "further clips to score on, named as --data of tfvideogan.evaluate")
    flags.DEFINE_integer("num_clips", 64, "clips of each to score", lower_bound=1)
    flags.DEFINE_string("output", None, "folder to write NAME to (default: that of the package)")


def main() -> None:
    cli.require("run_dir", "name", "description")
    args = cli.flags.FLAGS
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", args.name):
        raise UsageError(f"--name must be of small letters and digits, with hyphens between. Received: {args.name!r}")
    cli.load_tensorflow()
    from tfvideogan.files import atomic, paths
    from tfvideogan.runs import run_folder
    from tfvideogan.weights import shipped

    final = Path(args.output or shipped.FOLDER) / args.name
    if final.exists():
        raise UsageError(f"--name must be new: {final} exists")
    atomic.check_folder("output", final.parent)
    final.parent.mkdir(parents=True, exist_ok=True)
    run = run_folder.RunFolder.open(args.run_dir)
    with tempfile.TemporaryDirectory(prefix=".", dir=final.parent) as beside:
        folder = Path(beside) / args.name
        _pack(run, folder)
        card = _card(run, folder, args)
        (folder / shipped.CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (folder / "card.md").write_text(_as_text(card), encoding="utf-8")
        paths.publish(folder, final)
    size = sum(file.stat().st_size for file in final.rglob("*") if file.is_file())
    print(f"{final}/, {size / 1e6:.1f} MB")


def _pack(run: Any, folder: Path) -> None:
    """Writes the run folder: options, and one checkpoint with its manifest."""
    from tfvideogan.runs import config_file, loading, manifest, packed, state

    model, checkpoint = loading.load_model(run.path, trust=True)
    config = run.config()
    parts = state.for_sampling(model)
    if config.train.ema:
        parts["ema_generator"] = parts.pop("generator")
    target = folder / "checkpoints" / checkpoint.path.name
    target.mkdir(parents=True)
    config_file.write(folder, config)
    (target / packed.NAME).write_bytes(packed.content(parts))
    text = manifest.of_folder(target, checkpoint.stage, checkpoint.step, checkpoint.provenance)
    (target / manifest.MANIFEST).write_text(text, encoding="utf-8")


def _card(run: Any, folder: Path, args: Any) -> dict[str, Any]:
    """What there is to say of the packed weights."""
    from tfvideogan.files import checksums

    config = run.config()
    scored = [
        processes.run_for_json("tfvideogan.evaluate", run_dir=folder, num_clips=args.num_clips, data=data, trust=True)
        for data in (None, *args.score_on)
    ]
    for line in scored:
        line["run"] = args.name
    return {
        "name": args.name,
        "description": args.description,
        "command": f"python -m tfvideogan.train {' '.join(_options(config))} --run_dir=runs/{args.name}",
        "trained_on": config.data.data,
        "hours": _hours(run.path),
        "machine": args.machine,
        "commit": args.commit or _commit(),
        "licence": _licence(config.data.data),
        "limits": args.limits,
        "scores": scored,
        "sha256": {
            str(file.relative_to(folder)): checksums.sha256(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    }


def _licence(data: str) -> str:
    if all(name.startswith("synthetic:") for name in data.split(",")):
        return "Apache-2.0, as the package: made from its built-in clips alone"
    return "that of the clips it was trained on, which the package does not know"


def _options(config: Config) -> list[str]:
    """The flags of the training that differ from the paper's values."""
    plain = Config.create(model=config.model.model).flat()
    changed = {name: value for name, value in config.flat().items() if value != plain[name] or name == "model"}
    return [f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in changed.items()]


def _hours(run_dir: Path) -> float | None:
    """How long the training ran, by its log, without the breaks; None for weights that came without a log."""
    if not (run_dir / "log.jsonl").exists():
        return None
    log = (run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()
    times = [json.loads(line)["time"] for line in log]
    pauses = (later - earlier for earlier, later in itertools.pairwise(times))
    return round(sum(pause for pause in pauses if pause < _LONGEST_PAUSE) / 3600, 1)


def _commit() -> str:
    """The commit of the code here, if it lies in a repository."""
    command = ["git", "-C", str(child.ROOT), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _as_text(card: dict[str, Any]) -> str:
    """The card in Markdown."""
    lines = [f"# {card['name']}", "", card["description"], "", "## Training", "", f"    {card['command']}", ""]
    where = f" {card['machine']}" if card["machine"] else ""
    trained = "It was trained" if card["hours"] is None else f"It took {card['hours']} hours"
    lines += [f"{trained}{where}, by the code of commit {card['commit']}.", ""]
    lines += ["## Scores", ""]
    for line in card["scores"]:
        lines += [f"On {line['num_clips']} clips of `{line['data']}`:", "", *_table(line["scores"]), ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in card["limits"]), "", "## Licence", "", card["licence"], ""]
    return "\n".join(lines)


def _table(scores: dict[str, dict[str, float]]) -> list[str]:
    names = list(dict.fromkeys(name for score in scores.values() for name in score))
    rows = [
        f"| {who} | " + " | ".join(_shown(score.get(name)) for name in names) + " |" for who, score in scores.items()
    ]
    return [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names), *rows]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    cli.run(define_flags, main)
