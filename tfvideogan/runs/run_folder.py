"""A run folder: what the run is, and its checkpoints.

    config.json                              the resolved options, local data by absolute paths
    checkpoints/stage1-step00000500/         variables by name, and a manifest with the SHA-256 of their files
    log.jsonl  samples/  tensorboard/        what the run shows while it trains
    .lock                                    which process trains in it, as long as one does
    .home                                    where the folder was made (`home.py`)

A checkpoint is written under a temporary name and renamed when complete; the manifest
is written last and seals itself, too. A folder whose files do not match its manifest is never loaded.
The formats of both files are described in `versions.py`.
"""

from __future__ import annotations

import dataclasses
import logging
import re

import tensorflow as tf

from tfvideogan.config import Config, DamagedError, UsageError
from tfvideogan.data import sources
from tfvideogan.files import atomic, paths
from tfvideogan.runs import config_file, home, lock, manifest, versions
from tfvideogan.runs.manifest import Provenance
from tfvideogan.runs.state import State

logger = logging.getLogger(__name__)

_NAME = re.compile(r"stage(\d+)-step(\d+)")
# These options of a run folder stay.
_FIXED = ("model", "base_width", "frame_size", "num_frames", "discriminator_norm", "refine_skips", "residual", "drift")


@dataclasses.dataclass(frozen=True, order=True)
class Checkpoint:
    """A complete checkpoint; the newest is the largest. `provenance` and `format` are those of a verified one."""

    stage: int
    step: int
    path: paths.Path
    provenance: Provenance = dataclasses.field(default=Provenance(), compare=False)
    format: versions.Format = dataclasses.field(default=versions.CURRENT, compare=False)


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: str | paths.Path):
        self.path = paths.path(path)
        self.checkpoints_dir = self.path / "checkpoints"
        self._logged: set[str] = set()

    @classmethod
    def for_training(cls, path: str | paths.Path, config: Config) -> RunFolder:
        """A folder for a new run, or the folder of an earlier one of the same model. Writes nothing.

        Raises:
            UsageError: the folder is of another model, or holds other files.
        """
        run = cls(path)
        if run.path.exists() and not run.path.is_dir():
            raise UsageError(f"--run_dir must be a folder. Received: {path}, which is a file")
        if (run.path / config_file.NAME).exists():
            run._check_same_model(config)
        elif run.path.exists() and not all(_is_of_killed_run(file) for file in run.path.iterdir()):
            raise UsageError(f"--run_dir must be new, empty or a run folder. Received: {path}, which holds other files")
        return run

    def write_config(self, config: Config) -> None:
        """Makes these the run's options. Raises UsageError if the folder cannot be written."""
        config_file.write(self.path, config)
        try:
            home.mark(self.path)
        except OSError as error:
            raise UsageError(f"--run_dir cannot be written: {error}") from error

    @classmethod
    def open(cls, path: str | paths.Path) -> RunFolder:
        """An existing run folder. Raises UsageError if it is none."""
        run = cls(path)
        if not paths.is_file(run.path / config_file.NAME):
            what = "which holds no run" if run.path.exists() else "no such folder"
            raise UsageError(f"--run_dir must be a folder made by tfvideogan.train. Received: {str(path)!r}, {what}")
        run.config()
        return run

    def config(self) -> Config:
        """The run's options. Raises UsageError if they cannot be read."""
        return config_file.read(self.path)

    def own_data(self, flag: str, trust: bool = False) -> str:
        """The clips that the run was trained on, for a command that was told of no others.

        A stranger's run could name any file or host. So its clips are opened only if they are built-in ones, or the
        folder was made where it is (`home.py`), or it is trusted.

        Args:
            flag: the flag that names others, for messages.

        Raises:
            UsageError: they are not to be opened.
        """
        data = self.config().data.data
        if trust or sources.is_built_in(data) or home.is_home(self.path):
            return data
        raise UsageError(
            f"{flag} must be given, or --trust: {self.path} was made elsewhere, and its own data, {data!r}, are opened "
            "only if you say so"
        )

    def _check_same_model(self, config: Config) -> None:
        earlier, now = (config_file.recorded(options).flat() for options in (self.config(), config))
        different = [name for name in _FIXED if earlier[name] != now[name]]
        if bool(earlier["ema"]) != bool(now["ema"]):
            different.append("ema")
        if different:
            was = ", ".join(f"--{name}={earlier[name]}" for name in different)
            got = ", ".join(f"--{name}={now[name]}" for name in different)
            raise UsageError(f"--run_dir {self.path} holds a run with {was}. Received: {got}; give what it has, or "
                             "another --run_dir")  # fmt: skip
        for name in earlier:
            if earlier[name] != now[name]:
                logger.warning("this run had --%s=%s, now it has %s", name, earlier[name], now[name])

    def save(self, stage: int, step: int, state: State, keep: int, provenance: Provenance = Provenance()) -> paths.Path:
        """Writes a checkpoint, all of it or nothing, then drops the oldest ones of the stage beyond `keep`.

        Raises:
            OSError: it cannot be written; what was begun is removed, and earlier ones stay.
        """
        final = self.checkpoints_dir / f"stage{stage}-step{step:08d}"
        self.checkpoints_dir.mkdir(parents=True, exist_ok=True)
        beside = final
        # A remote folder cannot be renamed: there the manifest, which is written last, makes a checkpoint of it.
        if not paths.is_remote(final):
            beside = self.checkpoints_dir / f".{final.name}.part"
            for unfinished in self.checkpoints_dir.glob(".*.part"):  # Runs that were killed left these.
                paths.remove_folder(unfinished)
        try:
            tf.train.Checkpoint(**state).write(str(beside / "variables"))
            (beside / manifest.MANIFEST).write_text(manifest.of_folder(beside, stage, step, provenance))
            if beside != final:
                self._rename(beside, final)
        except (OSError, tf.errors.OpError) as error:
            if beside.exists():
                paths.remove_folder(beside)
            raise OSError(f"{final} cannot be written: {paths.first_line(error)}") from error
        # Checkpoints of later steps are damaged, or the run would have gone on from them. They do not count as kept.
        so_far = [checkpoint for checkpoint in self.list() if checkpoint.stage == stage and checkpoint.step <= step]
        for old in so_far[:-keep]:
            try:
                paths.remove_folder(old.path)
            except OSError as error:
                logger.warning("the old checkpoint %s cannot be removed: %s", old.path, error)
        return final

    def _rename(self, beside: paths.Path, final: paths.Path) -> None:
        for path in [*beside.iterdir(), beside]:
            atomic.fsync(path)
        if final.exists():  # A checkpoint of this step that is there is damaged: the run did not go on from it.
            final.rename(self.checkpoints_dir / f".{final.name}.old.part")
        beside.rename(final)
        atomic.fsync(self.checkpoints_dir)

    def list(self) -> list[Checkpoint]:
        """All complete checkpoints, oldest first; their contents are not checked."""
        folders = self.checkpoints_dir.iterdir() if self.checkpoints_dir.is_dir() else []
        if paths.is_remote(self.path):  # A remote save that was cut short has its final name, but no manifest.
            folders = [path for path in folders if (path / manifest.MANIFEST).exists()]
        named = [(match, path) for path in folders if (match := _NAME.fullmatch(path.name))]
        return sorted(Checkpoint(int(match[1]), int(match[2]), path) for match, path in named)

    def latest(self, stage: int | None = None) -> Checkpoint | None:
        """The newest checkpoint (of `stage`) whose files match its manifest, or None if there is none at all.

        Raises:
            UsageError: it is of a newer major format.
            DamagedError: there are checkpoints, and every one is damaged.
        """
        candidates = [c for c in self.list() if stage in (None, c.stage)]
        for checkpoint in reversed(candidates):
            try:
                return self._verified(checkpoint)
            except UsageError:
                raise
            except (OSError, ValueError, tf.errors.OpError) as error:
                message = f"checkpoint {checkpoint.path} is passed over: {paths.first_line(error)}"
                if message not in self._logged:  # A run asks for its latest checkpoint more than once.
                    self._logged.add(message)
                    logger.warning(message)
        if candidates:
            raise DamagedError(
                f"--run_dir: all {len(candidates)} checkpoints in {self.checkpoints_dir} are damaged; "
                "remove them, or the folder, to begin again"
            )
        return None

    def _verified(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with what its manifest says; its errors are those of `manifest.verified`."""
        provenance, version = manifest.verified(checkpoint.path, checkpoint.stage, checkpoint.step)
        if version[0] == 1:  # The data then stood where the run's batch size put them.
            batch_size = self.config().data.batch_size
            clips = checkpoint.step * batch_size
            provenance = dataclasses.replace(provenance, clips=clips, batch_size=batch_size)
        return dataclasses.replace(checkpoint, provenance=provenance, format=version)


def _is_of_killed_run(file: paths.Path) -> bool:
    """Whether a file is what a run leaves that was killed before it had written its options."""
    return file.name == lock.NAME or file.match(".*.part")
