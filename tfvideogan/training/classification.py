"""What a trained discriminator is worth in labels: accuracies of three classifiers (arXiv 1609.02612).

`fine_tuning` trains all layers of the discriminator, `linear_probe` a new last layer on its features alone, and
`random_init` all layers of a fresh network of the same size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfvideogan.data import clips
from tfvideogan.data.labelled import LabelledClips, LabelledData
from tfvideogan.models import classifier

_EVALUATED_TOGETHER = 32  # So many clips make a batch where nothing is trained.

Lookup = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a classifier is trained: Adam of this rate, by default as the paper has it."""

    steps: int = 1000
    batch_size: int = 256
    learning_rate: float = 2e-4
    init_stddev: float = 0.01


def accuracy(
    method: str, network: Callable[[], keras.Model], data: LabelledData, share: float, seed: int, recipe: Recipe
) -> dict[str, float | int]:
    """The share of the test clips that a classifier gets right, learned from a share of the labels.

    Args:
        method: `fine_tuning`, `linear_probe` or `random_init`.
        network: makes a `vgan.discriminator`, with fresh weights for `random_init`.
        seed: of the choice of labels, new weights, dropout, and the order of clips.

    Returns:
        {"labels": how many clips were learned from, "train_accuracy": ..., "test_accuracy": ...}.
    """
    keras.utils.set_random_seed(seed)
    parts, options = (data.train.share(share, seed), data.test), (len(data.classes), recipe.init_stddev)
    if method == "linear_probe":
        features = classifier.encoder(network())
        model = classifier.head(features, *options)
        lookups = [_lookup_of_features(features, part) for part in parts]
    else:
        model = classifier.action_classifier(network(), *options)
        lookups = [_lookup_of_clips(part) for part in parts]
    model.compile(
        keras.optimizers.Adam(recipe.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA takes many times as long for 3D convolutions on a CPU.
    )
    model.fit(_training(parts[0], lookups[0], recipe, seed), shuffle=False, verbose=0)
    scores = [_score(model, part, lookup) for part, lookup in zip(parts, lookups, strict=True)]
    return {"labels": len(parts[0]), "train_accuracy": scores[0], "test_accuracy": scores[1]}


def _training(part: LabelledClips, lookup: Lookup, recipe: Recipe, seed: int) -> tf.data.Dataset:
    """Shuffled batches of so many steps."""
    pairs = tf.data.Dataset.from_tensor_slices((np.arange(len(part)), part.labels))
    pairs = pairs.shuffle(len(part), seed=seed).repeat().batch(recipe.batch_size).take(recipe.steps)
    return pairs.map(lambda places, labels: (lookup(places), labels), tf.data.AUTOTUNE, deterministic=True).prefetch(1)


def _score(network: keras.Model, part: LabelledClips, lookup: Lookup) -> float:
    pairs = tf.data.Dataset.from_tensor_slices((np.arange(len(part)), part.labels)).batch(_EVALUATED_TOGETHER)
    examples = pairs.map(lambda places, labels: (lookup(places), labels), tf.data.AUTOTUNE, deterministic=True)
    return round(float(network.evaluate(examples.prefetch(1), verbose=0, return_dict=True)["accuracy"]), 4)


def _lookup_of_clips(part: LabelledClips) -> Lookup:
    """Places among some clips -> those clips [N, T, H, W, 3] in [-1, 1]."""
    shape = part.clips[0].shape

    def read(places: np.ndarray) -> np.ndarray:
        return np.stack([part.clips[int(number)] for number in part.numbers[places]])

    def lookup(places: tf.Tensor) -> tf.Tensor:
        chosen = tf.numpy_function(read, [places], tf.uint8, stateful=False)
        return clips.to_float(tf.ensure_shape(chosen, [None, *shape]))

    return lookup


def _lookup_of_features(features: keras.Model, part: LabelledClips) -> Lookup:
    """Places among some clips -> their features, which are computed once, by inference statistics."""
    places = tf.data.Dataset.range(len(part)).batch(_EVALUATED_TOGETHER)
    known = tf.constant(features.predict(places.map(_lookup_of_clips(part)), verbose=0))
    return lambda chosen: tf.gather(known, chosen)
