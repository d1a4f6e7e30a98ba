"""What a run is: frozen options with their defaults, help and checks. Standard library only.

The fields here are the training flags: `train.py` makes one flag of each, so a flag
and its meaning stand in one place, and `config.json` in the run folder holds the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


class UsageError(ValueError):
    """Wrong input from a user. Commands print it as one line and exit with its status."""

    status = 2


class HostLostError(UsageError):
    """Another host of a training is gone."""

    status = 5


class DamagedError(UsageError):
    """A run has checkpoints, and none of them is good. Such a run is not begun again in silence."""

    status = 3


def flag(default: Any, text: str, choices: Sequence[str] = (), low: float = 0, high: float = 2**31 - 1) -> Any:
    """A field of a config, with what its flag needs: the default, the help text, and which values are allowed."""
    return dataclasses.field(
        default=default, metadata={"help": text, "choices": tuple(choices), "low": low, "high": high}
    )


MODELS = ("vgan", "vgan_one_stream", "vgan_conditional", "mdgan")
SMALLEST_FRAME = {"vgan": 16, "vgan_one_stream": 16, "vgan_conditional": 16, "mdgan": 32}
LARGEST_FRAME = 512


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Which networks are trained, and the weights of their losses. None stands for the paper's value."""

    model: str = flag("vgan", "paper and variant to train", choices=MODELS)
    base_width: int | None = flag(
        None, "channels of the finest feature map (paper: 64; conditional 128; mdgan 32)", low=1, high=1024
    )
    frame_size: int | None = flag(None, "height and width of a frame, pixels, a power of two (paper: 64; mdgan 128)")
    num_frames: int | None = flag(None, "frames in a clip, a power of two (paper: 32)")
    init_stddev: float | None = flag(
        None, "standard deviation of the initial convolution weights (paper: 0.01; mdgan 0.02)", low=1e-6
    )
    discriminator_norm: str = flag(
        "batch",
        "normalisation of the discriminator: the papers' batch normalisation, or spectral normalisation of all its "
        "convolutions in place of it (ours)",
        choices=("batch", "spectral"),
    )
    mask_prior: float | None = flag(None, "vgan: weight of the mask prior (paper: 0.1)")
    first_frame_weight: float | None = flag(
        None, "vgan_conditional: weight of the first-frame L1 loss (paper: 10)", low=0
    )
    adversarial_weight: float | None = flag(None, "mdgan: weight of the adversarial loss (paper: 1)")
    ranking_weight: float | None = flag(None, "mdgan: weight of the ranking loss in stage 2 (default 1)")
    refine_skips: str | None = flag(
        None,
        "mdgan: skips of G2, the paper's, which has none from conv1 and conv2, or all that G1 has (ours, an ablation)",
        choices=("paper", "all"),
    )
    residual: bool | None = flag(
        None, "mdgan: G1 predicts the change of its input, and G2 that of G1's clip (ours; paper: the clip itself)"
    )
    drift: str | None = flag(
        None,
        "mdgan: on gives G1 the frame drifting with a wind that is given beside it (in training measured from the "
        "clip), and the frame repeated; fused also gives it a mask to fuse the two, and needs --residual (ours; "
        "paper: off, the frame repeated)",
        choices=("off", "on", "fused"),
    )

    @property
    def takes_wind(self) -> bool:
        """Whether the model is given a wind beside each frame."""
        return self.drift in ("on", "fused")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where the clips come from."""

    data: str | None = flag(
        None,
        "a data set of prepare_data (its train split; SET/test for another), TFRecord shards or a glob of them, a "
        "folder of videos, frames, strips or arrays, one of their files, a list of them, or synthetic:sky (default of "
        "mdgan and vgan_conditional), synthetic:sprites (of the others), or our richer synthetic:skies, "
        "synthetic:skies-common-wind, synthetic:scenes and synthetic:moves; several as A@0.7,B@0.3 with their weights",
    )
    max_bad_shards: int = flag(
        0, "leave out so many damaged shards of a source, with a warning; with more the run stops"
    )
    allow_outside: bool = flag(False, "let a list name files outside of its own folder")
    array_layout: str = flag(
        "auto",
        "axes of arrays (.npy, .npz): N sequences, T frames, H rows, W columns, C channels, as TNHW for Moving-MNIST; "
        "auto: THW, NTHWC, and of four THWC if the last has 1, 3 or 4 places, else NTHW",
        choices=("auto", "THW", "THWC", "TCHW", "CTHW", "NTHW", "TNHW", "NTHWC", "TNHWC", "NTCHW", "TNCHW", "NCTHW"),
    )
    array_range: str = flag(
        "auto",
        "values of arrays that are black and white; auto: those of bool, uint8 and uint16, other types need it",
        choices=("auto", "0:1", "-1:1", "0:255", "0:65535"),
    )
    flip: bool = flag(False, "mirror half of the clips, drawn at random, left to right")
    reverse: bool = flag(False, "ours: play half of the clips, drawn at random, backwards")
    zoom: float = flag(1.0, "ours: enlarge a square of each clip by a factor drawn from 1 to this", low=1, high=4)
    color_jitter: float = flag(
        0.0,
        "ours: draw contrast and saturation of each clip up to this share above and below its own, brightness up to "
        "half of it, and hue up to 45 degrees times it",
        high=0.5,
    )
    max_temporal_stride: int = flag(
        1,
        "largest stride: of a clip every s-th frame is taken, s drawn from 1 to this; clips of records must have "
        "(num_frames - 1) * max_temporal_stride + 1 frames or more",
        low=1,
        high=64,
    )
    batch_size: int | None = flag(
        None, "clips in a step, over all replicas (paper: 64; conditional 32; mdgan 16)", low=1, high=65536
    )


# What --eval_every measures, and of which models.
METRICS: dict[str, tuple[str, ...]] = {
    "psnr": ("mdgan", "vgan_conditional"),
    "ssim": ("mdgan", "vgan_conditional"),
    "mse": ("mdgan", "vgan_conditional"),
    "motion": MODELS,
    "flicker": ("vgan", "vgan_one_stream"),
    "mask_iou": ("vgan",),
}


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long a run trains, by which optimizers, on which devices, and what it writes meanwhile."""

    steps: int | None = flag(None, "training steps, of stage 1 for mdgan (default 100000; mdgan 66000)", low=1)
    refine_steps: int | None = flag(None, "mdgan: training steps of stage 2, 0 to stop after stage 1 (default 148000)")
    adversarial_from: int | None = flag(
        None,
        "ours, for mdgan's stage 1 and vgan_conditional: step from which on the discriminator takes part; before it "
        "the content loss, or that of the first frame, trains the generator alone (default 0)",
    )
    refine_adversarial_from: int | None = flag(
        None, "ours, mdgan: the same for the steps of stage 2, whose ranking loss joins with it (default 0)"
    )
    refine_init: str | None = flag(
        None,
        "mdgan: how stage 2's networks start: fresh, or (ours) with the weights of stage 1's where shapes agree "
        "(default fresh)",
        choices=("fresh", "stage1"),
    )
    learning_rate: float = flag(2e-4, "Adam's learning rate", high=1)
    discriminator_learning_rate: float | None = flag(
        None, "Adam's learning rate of the discriminator (default: --learning_rate)", low=0
    )
    lr_schedule: str = flag(
        "constant",
        "ours: what both learning rates do over each stage's steps; cosine and linear fall to zero with its last step",
        choices=("constant", "cosine", "linear"),
    )
    warmup_steps: int = flag(0, "ours: steps of each stage in which both learning rates rise linearly, 0 for none")
    beta1: float = flag(0.5, "Adam's beta1", high=0.9999)
    beta2: float | None = flag(None, "Adam's beta2 (paper: 0.999; mdgan 0.9)", high=0.99999)
    ema: float = flag(0.0, "decay of the generator's moving average, used for sampling; 0 for none", high=0.99999)
    ema_warmup: bool = flag(
        False, "ours: average less at first, with the decay min(--ema, (1 + k) / (10 + k)) in step k, counted from 0"
    )
    seed: int = flag(0, "seed of weights, latents and the order of clips")
    strategy: str = flag(
        "auto",
        "where to train: none on one device, mirrored on all GPUs (or logical CPUs) of this host, multi_worker on "
        "all hosts of TF_CONFIG; auto: mirrored if there are several GPUs, else none",
        choices=("auto", "none", "mirrored", "multi_worker"),
    )
    sync_batch_norm: bool = flag(False, "normalise over the clips of all replicas (not with XLA)")
    xla: str = flag(
        "auto", "compile the training step by XLA; auto: on with a GPU, off without", choices=("auto", "on", "off")
    )
    precision: str = flag(
        "float32",
        "arithmetic of the networks; losses are always float32",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    tf32: str = flag(
        "auto",
        "multiply float32 numbers as TF32, cut to 10 bits, on GPUs that can (Ampere and later), where it is several "
        "times as fast; auto: on, as TensorFlow has it",
        choices=("auto", "on", "off"),
    )
    deterministic: bool = flag(False, "use slower operations that give the same bits in every run (not with XLA)")
    checkpoint_every: int = flag(1000, "steps between checkpoints", low=1)
    keep: int = flag(3, "how many checkpoints of each stage are kept", low=1)
    sample_every: int = flag(500, "steps between moving-picture samples", low=1)
    log_every: int = flag(20, "steps between logged losses", low=1)
    eval_every: int = flag(
        0, "ours: steps between scores on held-out clips, the test split of --data, 0 for none; also when a stage ends"
    )
    eval_clips: int = flag(32, "how many clips that are", low=1)
    keep_best: str = flag(
        "none",
        "ours: keep the step with the best score of --eval_every in RUN_DIR/best, which commands take as a --run_dir; "
        "motion is best at 1",
        choices=("none", *METRICS),
    )
    log_gradient_norms: bool = flag(
        False, "log the gradient of each of the generator's terms for the generated clips, by its norm; costs time"
    )

    def steps_of(self, stage: int) -> int:
        """How many steps a stage takes in all."""
        return self.steps if stage == 1 else self.refine_steps

    def discriminator_steps_of(self, stage: int) -> int:
        """In how many of them the discriminator takes part."""
        return max(self.steps_of(stage) - self.adversarial_from_of(stage), 0)

    def adversarial_from_of(self, stage: int) -> int:
        """The step of a stage, counted from 0, from which on the discriminator takes part."""
        return (self.adversarial_from if stage == 1 else self.refine_adversarial_from) or 0


# The papers' values. An option whose default is None, and that a model does not name here, has no meaning for it.
_VGAN = {
    "base_width": 64, "frame_size": 64, "num_frames": 32, "init_stddev": 0.01, "data": "synthetic:sprites",
    "batch_size": 64, "steps": 100_000, "beta2": 0.999,
}  # fmt: skip
PAPER: dict[str, dict[str, Any]] = {
    "vgan": {**_VGAN, "mask_prior": 0.1},
    "vgan_one_stream": _VGAN,
    "vgan_conditional": {
        **_VGAN, "base_width": 128, "batch_size": 32, "data": "synthetic:sky", "first_frame_weight": 10.0,
        "adversarial_from": 0,
    },
    "mdgan": {
        "base_width": 32, "frame_size": 128, "num_frames": 32, "init_stddev": 0.02, "data": "synthetic:sky",
        "batch_size": 16, "steps": 66_000, "refine_steps": 148_000, "beta2": 0.9,
        "adversarial_weight": 1.0, "ranking_weight": 1.0, "adversarial_from": 0, "refine_adversarial_from": 0,
        "refine_skips": "paper", "refine_init": "fresh", "residual": False, "drift": "off",
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run. Make it with `Config.create`, which fills in the paper's values and checks."""

    model: ModelConfig
    data: DataConfig
    train: TrainConfig

    @classmethod
    def create(cls, **options: Any) -> Config:
        """A checked config from options by name. Options that are left out or None take the paper's values.

        Raises:
            UsageError: an option is unknown, out of range or without meaning for the model.
        """
        unknown = set(options) - {field.name for field in fields()}
        if unknown:
            raise UsageError(f"unknown options: {', '.join(sorted(unknown))}")
        given = {name: value for name, value in options.items() if value is not None}
        model = given.get("model", ModelConfig.model)
        if model not in MODELS:
            raise UsageError(f"--model must be one of {', '.join(MODELS)}. Received: {model!r}")
        _refuse_meaningless(model, given)
        merged = {**PAPER[model], "discriminator_learning_rate": given.get("learning_rate", TrainConfig.learning_rate)}
        merged |= given
        parts = [
            part(**{f.name: merged[f.name] for f in dataclasses.fields(part) if f.name in merged})
            for part in (ModelConfig, DataConfig, TrainConfig)
        ]
        config = cls(*parts)
        config._check()
        return config

    def flat(self) -> dict[str, Any]:
        """All options by name."""
        return {f.name: getattr(part, f.name) for part in self._parts() for f in dataclasses.fields(part)}

    def _parts(self) -> tuple[Any, ...]:
        return self.model, self.data, self.train

    def _check(self) -> None:
        values = self.flat()
        for field in fields():
            _check_value(field, values[field.name])
        model = self.model
        check_drift(model.drift, model.residual)
        check_networks(model.base_width, model.frame_size, model.num_frames, SMALLEST_FRAME[model.model])
        _check_warm_up(self.train)
        if self.train.ema_warmup and not self.train.ema:
            raise UsageError(f"--ema_warmup has no meaning without --ema. Received: {self.train.ema_warmup!r}")
        _check_best(model.model, self.train)


def fields() -> list[dataclasses.Field]:
    """Every option of a run, in order."""
    return [f for part in (ModelConfig, DataConfig, TrainConfig) for f in dataclasses.fields(part)]


def check_networks(base_width: int, frame_size: int, num_frames: int, smallest: int) -> None:
    """Raises UsageError unless networks can be built of this width for clips of this size.

    Each of their layers halves or doubles a clip, so sizes are powers of two.
    """
    if not isinstance(base_width, int) or base_width < 1:
        raise UsageError(f"--base_width must be a positive number of channels. Received: {base_width!r}")
    if not _is_power_of_two(frame_size) or not smallest <= frame_size <= LARGEST_FRAME:
        raise UsageError(
            f"--frame_size must be a power of two from {smallest} to {LARGEST_FRAME} pixels. Received: {frame_size!r}"
        )
    if not _is_power_of_two(num_frames) or not 2 <= num_frames <= 128:
        raise UsageError(f"--num_frames must be a power of two from 2 to 128. Received: {num_frames!r}")


def check_drift(drift: str | None, residual: bool | None) -> None:
    """Raises UsageError for a mask without a residual: what it fused would reach nothing."""
    if drift == "fused" and not residual:
        raise UsageError(f"--residual must be set for --drift=fused, whose mask makes what it changes. "
                         f"Received: {residual!r}")  # fmt: skip


def _check_warm_up(train: TrainConfig) -> None:
    """Raises UsageError if a stage would end before the learning rate of a player that it trains has risen."""
    for stage in (1, 2) if train.refine_steps else (1,):
        of_stage = "" if stage == 1 else "refine_"
        joined = f"--{of_stage}steps minus --{of_stage}adversarial_from"
        players = {f"--{of_stage}steps": train.steps_of(stage), joined: train.discriminator_steps_of(stage)}
        for what, steps in players.items():
            if 0 < steps <= train.warmup_steps:
                raise UsageError(f"--warmup_steps must be less than {what}, {steps}. Received: {train.warmup_steps!r}")


def _check_best(model: str, train: TrainConfig) -> None:
    """Raises UsageError for a best step by what is not measured."""
    if train.keep_best == "none":
        return
    if not train.eval_every:
        raise UsageError(f"--keep_best has no meaning without --eval_every. Received: {train.keep_best!r}")
    measured = [metric for metric, models in METRICS.items() if model in models]
    if train.keep_best not in measured:
        raise UsageError(f"--keep_best must be one of {', '.join(measured)} for --model={model}. "
                         f"Received: {train.keep_best!r}")  # fmt: skip


def _is_power_of_two(value: Any) -> bool:
    return isinstance(value, int) and value > 0 and value & (value - 1) == 0


def _refuse_meaningless(model: str, given: dict[str, Any]) -> None:
    """Raises UsageError for an option that the model has no use for: a flag that did nothing would mislead."""
    general = {f.name for f in fields() if f.default is not None} | {"discriminator_learning_rate"}
    for name in given:
        if name not in general and name not in PAPER[model]:
            users = ", ".join(other for other in MODELS if name in PAPER[other])
            raise UsageError(
                f"--{name} has no meaning for --model={model}, only for {users}. Received: {given[name]!r}"
            )


def _check_value(field: dataclasses.Field, value: Any) -> None:
    low, high, choices = (field.metadata[key] for key in ("low", "high", "choices"))
    if value is None:
        return
    if choices and value not in choices:
        raise UsageError(f"--{field.name} must be one of {', '.join(choices)}. Received: {value!r}")
    kind = field.type.removesuffix(" | None")
    allowed = {"int": int, "float": (int, float), "str": str, "bool": bool}[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind != "bool"):
        raise UsageError(f"--{field.name} must be {'an' if kind == 'int' else 'a'} {kind}. Received: {value!r}")
    if kind == "float" and not -1e30 < value < 1e30:
        raise UsageError(f"--{field.name} must be a finite number. Received: {value!r}")
    if value == "":
        raise UsageError(f"--{field.name} must not be empty. Received: {value!r}")
    if kind in ("int", "float") and not low <= value <= high:
        bounds = f"at least {low}" if value < low else f"at most {high}"
        raise UsageError(f"--{field.name} must be {bounds}. Received: {value!r}")
