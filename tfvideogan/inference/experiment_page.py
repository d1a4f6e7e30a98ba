"""The page of `tfvideogan.experiments`: one table of scores, and a picture of each run."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tfvideogan.files import atomic

_COLUMNS = {
    "psnr_db": "PSNR, dB", "ssim": "SSIM", "motion_ratio": "motion ratio", "mask_iou": "mask IoU", "flicker": "flicker",
    "seam_ratio": "seam ratio", "motion_kept": "motion kept", "test_accuracy": "accuracy",
}  # fmt: skip
_OF_ROLLOUT = list(_COLUMNS).index("seam_ratio")  # A stage that several runs share has a roll-out with one of them.
_DIGITS = {"psnr_db": 2, "flicker": 4}
_STYLE = "body{font:15px sans-serif;max-width:70em;margin:2em auto}td,th{padding:2px 10px;text-align:right}" \
         "td:first-child{text-align:left}table{border-collapse:collapse}tr{border-top:1px solid #ccc}" \
         "figure{margin:2em 0}img{max-width:100%}"  # fmt: skip
_EXPLAINED = (
    "PSNR, SSIM and motion ratio are over frames 2 to T of held-out clips, beside the first frame repeated "
    "(persistence). Mask IoU and flicker are of generated clips, beside real ones. Seam ratio and motion kept are of "
    "clips of one prediction after another: the change at the seams over that elsewhere, and the motion at the end "
    "over that at the start. Accuracy is on the test clips, by the number of labels learned from."
)


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run: the line of `evaluate`, and those of `classify`."""

    name: str
    title: str
    run_dir: Path
    scores: dict[str, Any] | None
    accuracies: Sequence[dict[str, Any]]


def write(path: Path, results: Sequence[Result]) -> None:
    """Writes the page as HTML. Its pictures stay in the folders of the runs, and are named from where the page lies."""
    head = "".join(f"<th>{title}</th>" for title in ("", *_COLUMNS.values()))
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in table(results))
    pictures = "".join(_figure(result, picture, path.parent) for result in results for picture in _pictures(result))
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Experiments</title><style>{_STYLE}</style>\n'
        f"<h1>The papers' experiments, small forms</h1>\n<p>{_EXPLAINED}</p>\n"
        f"<table><tr>{head}</tr>\n{rows}</table>\n{pictures}</html>\n"
    )
    atomic.write_bytes(path, text.encode())


def table(results: Iterable[Result]) -> Iterator[list[str]]:
    """The rows of the table, as HTML; scores that runs share, as those of persistence or of a stage, come once."""
    seen = set()
    for result in results:
        for name, scores in _named_scores(result):
            cells = [_shown(column, scores.get(column)) for column in _COLUMNS]
            known = (result.name[0], name, *cells[:_OF_ROLLOUT])
            if known not in seen:
                seen.add(known)
                yield [html.escape(f"{result.name[0]}: {result.title}, {name}"), *cells]


def _named_scores(result: Result) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every set of scores of a run by its name; those of a roll-out stand beside those of the last stage."""
    scored = (result.scores or {}).get("scores", {})
    for name, scores in scored.items():
        is_last = name == max(scored) and "rollout" in result.scores
        yield name.replace("_", " "), scores | (result.scores["rollout"] if is_last else {})
    for line in result.accuracies:
        yield f"{line['method'].replace('_', ' ')}, {line['labels']} labels, seed {line['seed']}", line


def _shown(column: str, value: float | None) -> str:
    return "" if value is None else f"{value:.{_DIGITS.get(column, 3)}f}"


def _pictures(result: Result) -> Iterator[Path]:
    """The last sample of a run, and its curve of accuracies."""
    yield from sorted((result.run_dir / "samples").glob("*.gif"))[-1:]
    yield from (result.run_dir / "classification").glob("*.png")


def _figure(result: Result, picture: Path, folder: Path) -> str:
    caption = html.escape(f"{result.name[0]}: {result.title} ({result.name}, {picture.stem})")
    source = html.escape(picture.relative_to(folder).as_posix())
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>\n'
