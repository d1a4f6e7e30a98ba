"""How several hosts agree on the checkpoint that they train on from."""

from __future__ import annotations

import time

from tfvideogan.config import UsageError
from tfvideogan.runs.run_folder import Checkpoint, RunFolder
from tfvideogan.training.runtime import Runtime

SECONDS_TO_SEE = 60  # Shared file systems may show the newest checkpoint to other hosts late.


def latest_on_all_hosts(folder: RunFolder, runtime: Runtime, stage: int | None = None) -> Checkpoint | None:
    """The chief's newest good checkpoint (of `stage`), which all hosts ask for together.

    Raises:
        UsageError: this host does not see that checkpoint, as happens when the folder is not shared.
        DamagedError: there are checkpoints, and every one is damaged.
    """
    seen = folder.latest(stage)
    chiefs = runtime.sum_over_hosts(_number(seen) if runtime.is_chief else 0)
    deadline = time.monotonic() + SECONDS_TO_SEE
    while _number(seen) != chiefs:
        if time.monotonic() > deadline:
            raise UsageError(
                f"--run_dir must be on a file system that all hosts share. Received: {folder.path}, in which the chief "
                "sees another newest checkpoint than this host"
            )
        time.sleep(1)
        seen = folder.latest(stage)
    return seen


def _number(checkpoint: Checkpoint | None) -> int:
    """Stage and step as one number, which hosts can compare by summing; 0 for none."""
    return checkpoint.stage * 10**12 + checkpoint.step if checkpoint else 0
