"""Train steps on tiny models, and what they leave of them."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.runs.state import for_training

SHAPE = (4, 16, 16, 3)  # of the clips of a tiny `vgan`


def train(model: keras.Model, name: str, steps: int, strategy: tf.distribute.Strategy | None = None) -> None:
    """`steps` steps on fixed clips, each replica taking its rows."""
    strategy = strategy or tf.distribute.get_strategy()
    rows = 4 // strategy.num_replicas_in_sync
    step = tf.function(lambda clips: strategy.run(model.train_step, args=(clips,)), autograph=False)
    for index in range(steps):
        clips = tiny.clips(name, 4, seed=index)

        def of_replica(context, clips=clips):
            return clips[context.replica_id_in_sync_group * rows :][:rows]

        step(strategy.experimental_distribute_values_from_function(of_replica))


def trained(model: keras.Model) -> np.ndarray:
    """The sum over each trainable kernel of both players: any optimizer step shows in each."""
    players = (model.generator, model.discriminator)
    return np.array([np.abs(v.numpy()).sum() for p in players for v in p.trainable_variables if "kernel" in v.path])


def compiled(name: str, stage: int = 1, **options) -> AdversarialModel:
    model = tiny.model(name, stage, **options)
    model.compile()
    return model


def state(model: AdversarialModel) -> np.ndarray:
    """All that a checkpoint holds of a compiled model, as one vector."""
    return np.concatenate([np.ravel(v.numpy()) for part in for_training(model).values() for v in part.values()])


def weights(model: AdversarialModel) -> np.ndarray:
    """Those of all networks, the frozen and the averaged one, too."""
    return np.concatenate([np.ravel(w) for network in model.networks.values() for w in network.get_weights()])
