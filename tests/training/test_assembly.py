"""From options to parts: a host's share of a batch, and where a stage's weights come from."""

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import Config
from tfvideogan.training import assembly, runtime

SETUP = runtime.Runtime(tf.distribute.get_strategy(), xla=False)


class BatchesTest(tf.test.TestCase):
    def clips(self, config: Config, step: int, worker: int = 0, workers: int = 1, count: int = 3) -> list[list[bytes]]:
        """The clips of the batches from a step on."""
        sources, first = assembly.open_data(config), step * config.data.batch_size
        batches = assembly.batches(config, sources, config.train.seed, first, worker, workers).take(count)
        return [[clip.tobytes() for clip in batch] for batch in batches.as_numpy_iterator()]

    def test_the_workers_batches_together_are_those_of_one_worker(self):
        config = tiny.config("vgan", batch_size=6)
        for workers in (2, 3):
            for step in (0, 5):
                with self.subTest(workers=workers, step=step):
                    alone = self.clips(config, step)
                    parts = [self.clips(config, step, worker, workers) for worker in range(workers)]
                    for batch, *shares in zip(alone, *parts, strict=True):
                        self.assertEqual([len(share) for share in shares], [6 // workers] * workers)
                        self.assertLen(set(batch), 6)
                        self.assertEqual(sorted(batch), sorted(clip for share in shares for clip in share))

    def test_batches_from_a_step_on_are_those_that_would_have_come(self):
        config = tiny.config("vgan", flip=True, max_temporal_stride=2)
        self.assertEqual(self.clips(config, 0)[2:], self.clips(config, 2, count=1))

    def test_a_position_that_does_not_divide_by_the_workers_is_rounded_down(self):
        config = tiny.config("vgan", batch_size=2)
        sources = assembly.open_data(config)
        for worker in range(2):
            at_4, at_5 = (next(iter(assembly.batches(config, sources, 0, first, worker, 2))) for first in (4, 5))
            self.assertAllEqual(at_4, at_5)

    def test_another_seed_is_another_order_of_the_same_clips(self):
        config = tiny.config("vgan")
        sources = assembly.open_data(config)
        first, other = (next(iter(assembly.batches(config, sources, seed))) for seed in (0, 1))
        self.assertNotAllEqual(first, other)
        self.assertNotEqual(self.clips(tiny.config("vgan", flip=True), 0), self.clips(config, 0))

    def test_data_are_told_and_warned_of_where_a_batch_holds_clips_twice(self):
        with self.assertLogs("tfvideogan", "INFO") as logs:
            assembly.open_data(tiny.config("vgan"))
        self.assertEqual([record.getMessage() for record in logs.records], ["data: synthetic:sprites, 2000 clips"])
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            assembly.open_data(tiny.config("vgan", batch_size=2001))
        self.assertIn("2000 clips for a --batch_size of 2001: clips come several times", logs.output[0])


class NewModelTest(tf.test.TestCase):
    def test_a_stages_weights_depend_on_its_seed_only(self):
        def weights(stage: int, seed: int, earlier_stages: bool = False):
            config = tiny.config("mdgan", seed=seed)
            if earlier_stages:
                assembly.new_model(config, SETUP, 1)
            return tiny.weights(assembly.new_model(config, SETUP, stage))

        self.assertAllEqual(weights(1, seed=4), weights(1, seed=4))
        self.assertAllEqual(weights(2, seed=4), weights(2, seed=4, earlier_stages=True))
        self.assertNotAllClose(weights(1, seed=4), weights(1, seed=5))
        self.assertNotAllClose(weights(1, seed=4), weights(2, seed=4))

    def test_each_player_has_its_learning_rate_and_the_options_their_places(self):
        config = tiny.config(
            "vgan", learning_rate=0.25, discriminator_learning_rate=0.125, beta1=0.5, beta2=0.75, ema=0.5, seed=9
        )
        model = assembly.new_model(config, SETUP, 1)
        self.assertEqual([float(optimizer.learning_rate) for optimizer in model.optimizers], [0.25, 0.125])
        self.assertEqual([(optimizer.beta_1, optimizer.beta_2) for optimizer in model.optimizers], [(0.5, 0.75)] * 2)
        self.assertEqual((model.ema, model.seed), (0.5, 9))


if __name__ == "__main__":
    tf.test.main()
