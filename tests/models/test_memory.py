"""What a run's options ask for in memory is counted before anything is built."""

from unittest import mock

import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.config import MODELS, Config, UsageError
from tfvideogan.models import memory, registry


class MemoryTest(tf.test.TestCase):
    def test_parameters_are_those_of_the_networks(self):
        for name in MODELS:
            for width, size, frames in ((8, 32, 2), (4, 64, 16)):
                config = tiny.config(name, base_width=width, frame_size=size, num_frames=frames).model
                networks = registry.build_model(config, registry.num_stages(name)).networks.values()
                count = sum(network.count_params() for network in networks)
                with self.subTest(name=name, width=width):
                    self.assertAllClose(memory.parameters(config), count, rtol=0.02, atol=0)

    def test_the_papers_networks_are_of_known_sizes(self):
        # MD-GAN: 39,072,576 parameters of G1 and of G2 and 11,164,032 of D, and statistics of batch normalisation.
        self.assertAllClose(memory.parameters(Config.create(model="mdgan").model), 89_309_184, rtol=0.001, atol=0)
        self.assertAllClose(memory.parameters(Config.create(model="vgan").model), 27_303_241, rtol=0.001, atol=0)

    def test_more_than_the_machine_has_is_refused_and_all_that_the_papers_ask_for_is_not(self):
        for name in MODELS:
            memory.check(Config.create(model=name).model)
        for options in ({"base_width": 1024}, {"base_width": 1024, "frame_size": 512, "num_frames": 128}):
            with self.assertRaisesRegex(UsageError, "--run_dir asks for about [0-9,]+ GiB by its --base_width=1024"):
                memory.check(Config.create(model="mdgan", **options).model)

    def test_maps_count_where_weights_are_few(self):
        small, large = (Config.create(model="vgan", base_width=1, frame_size=s).model for s in (64, 512))
        self.assertGreater(memory.of_sampling(large), 50 * memory.of_sampling(small))

    def test_a_container_may_have_less_than_its_machine(self):
        group = self.create_tempfile(content="1048576\n").full_path
        with mock.patch.object(memory, "_CONTROL_GROUP", memory.Path(group)):
            self.assertEqual(memory.of_machine(), 2**20)
        with mock.patch.object(memory, "_CONTROL_GROUP", memory.Path(self.create_tempfile(content="max\n").full_path)):
            self.assertGreater(memory.of_machine(), 2**28)


if __name__ == "__main__":
    tf.test.main()
