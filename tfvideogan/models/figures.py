"""What a training tells of a step beside its losses: a loss method notes it, where it has the tensors at hand.

    with noted() as figures:
        losses = model.discriminator_losses(clips, generated)    # figures is now {"d_score_real": ..., ...}

Where nobody asks, `note` does nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

from tfvideogan import losses

_local = threading.local()  # Each replica is traced in a thread of its own.


@contextlib.contextmanager
def noted() -> Iterator[dict[str, tf.Tensor]]:
    """A dict that what is called inside fills."""
    before = getattr(_local, "figures", None)
    _local.figures = {}
    try:
        yield _local.figures
    finally:
        _local.figures = before


def note(name: str, value: tf.Tensor) -> None:
    """Puts a scalar beside the losses of this step."""
    if getattr(_local, "figures", None) is not None:
        _local.figures[name] = value


def note_scores(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> None:
    """Notes how probably real the discriminator finds real clips and generated ones, which shows its saturation."""
    note("d_score_real", losses.probability_of_real(real_logits))
    note("d_score_fake", losses.probability_of_real(fake_logits))
