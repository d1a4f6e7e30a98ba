"""The one registry: of which networks a run's model is made, stage by stage, and what tests know of each network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras

from tfvideogan.config import ModelConfig
from tfvideogan.models import mdgan, vgan
from tfvideogan.models.adversarial import AdversarialModel

VGAN_GENERATORS = {
    "vgan": vgan.two_stream_generator,
    "vgan_one_stream": vgan.one_stream_generator,
    "vgan_conditional": vgan.conditional_generator,
}


@dataclasses.dataclass(frozen=True)
class Network:
    """A network's constructor, its paper's width and size, and the trainable parameters it then has."""

    build: Callable[..., keras.Model]
    base_width: int
    frame_size: int
    parameters: int | None = None


def _spectral(discriminator: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
    return functools.partial(discriminator, spectral=True)


# No source gives the one-stream baseline's count, since it is the video trunk with one of its two heads.
NETWORKS = {
    "vgan_two_stream": Network(vgan.two_stream_generator, 64, 64, 16_245_383),
    "vgan_one_stream": Network(vgan.one_stream_generator, 64, 64),
    "vgan_conditional": Network(vgan.conditional_generator, 128, 64, 68_216_455),
    "vgan_discriminator": Network(vgan.discriminator, 64, 64, 11_057_858),
    "vgan_conditional_discriminator": Network(vgan.discriminator, 128, 64, 44_135_810),
    "vgan_spectral_discriminator": Network(_spectral(vgan.discriminator), 64, 64, 11_056_066),
    "mdgan_base": Network(mdgan.base_generator, 32, 128, 39_072_576),
    "mdgan_refine": Network(mdgan.refine_generator, 32, 128, 39_072_576),
    "mdgan_discriminator": Network(mdgan.discriminator, 32, 128, 11_164_032),
    "mdgan_spectral_discriminator": Network(_spectral(mdgan.discriminator), 32, 128, 11_163_105),
}


def num_stages(model: str) -> int:
    """How many stages a run of this model has."""
    return (mdgan.MDGAN if model == "mdgan" else vgan.VGAN).num_stages


def build_model(config: ModelConfig, stage: int = 1, **options: Any) -> AdversarialModel:
    """The model that a stage of a run trains, with fresh weights. Options are those of `GenerativeModel`.

    Raises:
        UsageError: a size that cannot be built.
    """
    size = (config.base_width, config.frame_size, config.num_frames, config.init_stddev)
    spectral = config.discriminator_norm == "spectral"
    if config.model == "mdgan":
        return mdgan.MDGAN(
            mdgan.base_generator(*size, config.residual, config.drift),
            mdgan.discriminator(*size, spectral=spectral),
            mdgan.refine_generator(*size, config.residual, config.refine_skips) if stage == 2 else None,
            adversarial_weight=config.adversarial_weight,
            ranking_weight=config.ranking_weight,
            takes_wind=config.takes_wind,
            **options,
        )
    generator = VGAN_GENERATORS[config.model](*size)
    return vgan.VGAN(
        generator,
        vgan.discriminator(*size, spectral=spectral),
        mask_prior=config.mask_prior or 0.0,
        first_frame_weight=config.first_frame_weight or 0.0,
        **options,
    )
