"""The discriminator as a classifier: the paper's layers, and which of them are trained."""

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.models import classifier, vgan


class ClassifierTest(tf.test.TestCase):
    def test_the_last_layer_gives_way_to_dropout_and_one_of_2x4x4_to_the_classes(self):
        network = classifier.action_classifier(vgan.discriminator(2), 101, 0.01)
        self.assertEqual(network.output_shape, (None, 101))
        self.assertEqual(network.get_layer("classes_conv").kernel.shape, (2, 4, 4, 16, 101))
        self.assertEqual(network.get_layer("dropout").rate, 0.5)
        names = [layer.name for layer in network.layers]
        self.assertNotIn("logits_conv", names)
        self.assertLess(names.index("dropout"), names.index("classes_conv"))

    def test_at_full_width_512_channels_lead_to_the_classes(self):
        features = classifier.encoder(vgan.discriminator())
        self.assertEqual(features.output_shape, (None, 2, 4, 4, 512))
        count = 2 * 4 * 4 * 512 * 101 + 101
        self.assertEqual(classifier.head(features, 101, 0.01).count_params(), count)

    def test_logits_are_a_matrix_of_the_features(self):
        discriminator, clips = tiny.network("vgan_discriminator"), tiny.clips("vgan", 3)
        network, features = classifier.action_classifier(discriminator, 5, 0.1), classifier.encoder(discriminator)
        x = features(clips).numpy().reshape(3, -1).astype(np.float64)
        kernel = network.get_layer("classes_conv").kernel.numpy().reshape(-1, 5)
        self.assertAllClose(network(clips), x @ kernel, atol=1e-5)
        head = classifier.head(features, 5, 0.1)
        head.set_weights(network.get_layer("classes_conv").get_weights())
        self.assertAllClose(head(features(clips)), network(clips), atol=1e-6)

    def test_fine_tuning_trains_every_layer(self):
        keras.utils.set_random_seed(1)
        network = classifier.action_classifier(tiny.network("vgan_discriminator"), 2, 0.1)
        before = network.get_weights()
        network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        network.fit(tiny.clips("vgan", 4), np.array([0, 1, 0, 1]), verbose=0)
        same = [np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True)]
        self.assertFalse(any(same))


if __name__ == "__main__":
    tf.test.main()
