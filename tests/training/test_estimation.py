"""What replicas make of the batch statistics that each of them has gathered from its own clips."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.models.steps import train
from tests.training.case import TrainingTest
from tfvideogan.models import batch_statistics
from tfvideogan.runs import loading, run_folder, state
from tfvideogan.training import estimation, runtime


class ReplicasTest(TrainingTest):
    def of_replicas(self, model) -> list[np.ndarray]:
        """Of each moving mean and variance of both networks, one value a replica."""
        variables = [v for n in (model.generator, model.discriminator) for v in batch_statistics.of_network(n)]
        return [
            np.stack([np.ravel(copy) for copy in strategy_copies(model.distribute_strategy, variable)])
            for variable in variables
        ]

    def test_all_replicas_take_the_mean_of_what_each_has_gathered(self):
        strategy = runtime.make_strategy("mirrored")
        with strategy.scope():
            model = tiny.model("vgan_one_stream")
            model.compile()
        statistics = estimation.BatchStatistics(model, tf.data.Dataset.from_tensors(tf.zeros([1], tf.uint8)))
        train(model, "vgan_one_stream", 2, strategy)
        before = self.of_replicas(model)
        self.assertTrue(all(np.any(values[0] != values[1]) for values in before))
        statistics.average_over_replicas()
        for was, now in zip(before, self.of_replicas(model), strict=True):
            self.assertAllClose(now, np.broadcast_to(was.mean(axis=0), was.shape), atol=1e-7)

    def test_a_checkpoint_holds_the_mean(self):
        """Before any layer has normalised, the mean over all clips is the mean of the replicas' means."""
        means = {}
        for strategy in ("mirrored", "none"):
            run_dir = self.train(strategy, strategy=strategy, steps=1)
            model = tiny.model("vgan_one_stream")
            model.compile()
            loading.restore(run_folder.RunFolder(run_dir).latest(), state.for_training(model))
            means[strategy] = batch_statistics.of_network(model.discriminator)[0].numpy()
        self.assertAllGreater(np.abs(means["none"]), 1e-4)
        self.assertAllClose(means["mirrored"], means["none"], rtol=1e-4)


def strategy_copies(strategy: tf.distribute.Strategy, variable) -> list[np.ndarray]:
    return [copy.numpy() for copy in strategy.experimental_local_results(variable.value)]


if __name__ == "__main__":
    tf.test.main()
