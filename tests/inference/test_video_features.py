"""What is done to clips before I3D, the traps of FVD, and features that are kept. A small network stands in for I3D."""

import json
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from tests.helpers.made_files import numbered, write_dataset, write_pictures
from tests.metrics.made_clips import random_clips
from tfvideogan.config import UsageError
from tfvideogan.data import clips as clip_values
from tfvideogan.data.sources import open_source
from tfvideogan.inference import video_features
from tfvideogan.inference.video_features import Extractor, Known
from tfvideogan.metrics import i3d
from tfvideogan.metrics.fvd import Distance


def small_extractor(seed: int = 0) -> Extractor:
    """20 features of the mean of each frame's colours and of their products."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input([None, i3d.FRAME_SIZE, i3d.FRAME_SIZE, 3])
    means = keras.layers.AveragePooling3D((1, 112, 112))(inputs)
    mixed = keras.layers.Conv3D(20, (2, 2, 2), activation="tanh")(means)
    return Extractor(keras.Model(inputs, keras.layers.GlobalAveragePooling3D()(mixed)), f"small {seed}")


class ExtractorTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.extractor = small_extractor()

    def test_clips_are_cut_rounded_to_8_bits_and_resized(self):
        clips = random_clips(3, 12, 16, 16, 3)
        found = self.extractor.features([clips[:2], clips[2:]], 10)
        self.assertEqual(found.shape, (3, 20))
        rounded = np.rint((clips[:, :10].astype(float) + 1) * 127.5) / 127.5 - 1
        network = self.extractor._forward  # It resizes and computes, and does nothing else.
        self.assertAllClose(found, network(tf.constant(rounded, tf.float32)), atol=1e-5)
        self.assertNotAllClose(found, network(tf.constant(clips)), atol=1e-5)

    def test_values_out_of_range_and_short_clips_are_refused(self):
        clips = random_clips(1, 10, 8, 8, 3)
        for bad in (clips * 1.5, clips * 255, np.where(clips > 0.99, np.nan, clips)):
            with self.assertRaisesRegex(UsageError, r"values in \[-1, 1\]. Received"):
                self.extractor.features([bad], 10)
        with self.assertRaisesRegex(ValueError, "must have 11 frames or more"):
            self.extractor.features([clips], 11)

    def test_values_as_if_from_0_to_1_are_warned_of(self):
        clips = random_clips(1, 10, 8, 8, 3)
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            self.extractor.features([clips / 2 + 0.5], 10)
        self.assertIn("in [0, 1]", logs.output[0])
        with self.assertNoLogs("tfvideogan", "WARNING"):
            self.extractor.features([clips / 2 + 0.5, clips], 10)

    def test_the_selfcheck_is_of_black_and_white(self):
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            found = video_features.selfcheck(self.extractor)
        black, white = (self.extractor.of_batch(np.full([1, 30, 64, 64, 3], v, np.float32), 30) for v in (-1, 1))
        self.assertAllClose(found["fvd"]["30f"], ((black - white) ** 2).sum(), rtol=1e-4)
        self.assertGreater(found["fvd"]["30f"], 1)
        self.assertEqual(found["reference"]["30f"], 151.256)
        self.assertFalse(found["agrees"])
        self.assertLen(logs.output, 1)
        with mock.patch.object(video_features, "SELFCHECK_REFERENCE", {"30f": 1.005 * found["fvd"]["30f"]}):
            self.assertTrue(video_features.selfcheck(self.extractor)["agrees"])

    def test_weights_of_a_users_file(self):
        """The file's tensors reach the network; which weights they must be is tested with `i3d_files`."""
        network = i3d.build_i3d()
        arrays = {}
        names = {"kernel": "w", "bias": "b"}
        for number, layer in enumerate(network.layers):
            for variable in layer.variables:
                name = f"{layer.name.replace('.', '/')}/{names.get(variable.name, variable.name)}"
                arrays[name] = np.full(variable.shape, number, np.float32)
        with mock.patch.object(video_features.i3d, "build_i3d", return_value=network):
            self.assertLen(Extractor.of(arrays).sha256, 64)
        for number, layer in enumerate(network.layers):
            for variable in layer.variables:
                self.assertAllEqual(np.unique(variable), [number])


class DistancesTest(tf.test.TestCase):
    def test_sets_of_other_counts_are_refused(self):
        features = np.random.default_rng(0).normal(size=[6, 20])
        wanted = [Distance("fvd", 6, 16), Distance("kvd", 6, 16)]
        self.assertEqual(list(video_features.between(wanted, features, features + 1)), ["fvd6_16f", "kvd6_16f"])
        with self.assertRaisesRegex(UsageError, "fvd6_16f is of 6 clips of each. Received: 6 generated, 5 real"):
            video_features.between(wanted, features, features[:5])
        with self.assertRaisesRegex(
            UsageError, "wants 2048 clips of each set, and x has 196; of as many is fvd196_16f"
        ):
            video_features.check_counts([Distance("fvd", 2048, 16)], {"y": 3000, "x": 196})

    def test_features_that_are_no_numbers_are_refused(self):
        features = np.random.default_rng(0).normal(size=[6, 20])
        bad = features.copy()
        bad[[2, 4], 3] = np.nan, np.inf
        for name, sets in (("generated", (bad, features)), ("real", (features, bad))):
            for kind in ("fvd", "kvd"):
                with self.assertRaisesRegex(UsageError, f"no finite numbers. Received: those of 2 of 6 {name} clips"):
                    video_features.between([Distance(kind, 6, 16)], *sets)


class CacheTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)
        self.cache = self.root / "cache"
        self.distance = Distance("fvd", 2, 10)
        self.extractor = small_extractor()
        self.looked_at = 0

    def features(
        self, data: str, size: int = 16, seed: int = 0, distance: Distance | None = None, cut: int = 12, **more
    ):
        """The features, and whether the clips had to be looked at."""
        distance = distance or self.distance
        source = open_source(data, size, cut, seed)
        before = self.looked_at

        def batches():
            self.looked_at += 1
            yield clip_values.to_float(np.stack([clip.numpy() for clip in source.spread(2).map(source.load)]))

        options = {"extractor": self.extractor, "folder": str(self.cache)} | more
        found = video_features.features_of(Known(data, source, size, cut, seed), distance=distance, batches=batches(),
                                           **options)  # fmt: skip
        return found, self.looked_at > before

    def test_features_are_computed_once_for_all_that_they_depend_on(self):
        first, computed = self.features("synthetic:sky")
        self.assertTrue(computed)
        again, computed = self.features("synthetic:sky")
        self.assertFalse(computed)
        self.assertAllEqual(again, first)
        for other in (
            {"seed": 1},
            {"size": 32},
            {"cut": 16},
            {"distance": Distance("fvd", 2, 11)},
            {"extractor": small_extractor(1)},
            {"data": "synthetic:sky:test"},
        ):
            with self.subTest(str(other)):
                self.assertTrue(self.features(**{"data": "synthetic:sky"} | other)[1])
        self.assertTrue(self.features("synthetic:sky", folder="")[1])
        self.assertLen(list(self.cache.iterdir()), 7)

    def test_a_folder_or_a_record_set_that_changed_is_another(self):
        folder = self.root / "clips"
        for i in range(2):
            write_pictures(folder / str(i), numbered(range(12)))
        write_dataset(self.root / "set", {"train": [[numbered(range(12))] * 2]})
        for data, changed in (
            (str(folder), folder / "1" / "frame_3.png"),
            (str(self.root / "set"), self.root / "set" / "train-00000-of-00001.tfrecord"),
        ):
            with self.subTest(data):
                self.assertTrue(self.features(data)[1])
                self.assertFalse(self.features(data)[1])
                changed.write_bytes(changed.read_bytes())
                self.assertTrue(self.features(data)[1])

    def test_kept_features_that_are_damaged_are_computed_again(self):
        expected, _ = self.features("synthetic:sky")
        (file,) = self.cache.iterdir()
        content, source = file.read_bytes(), open_source("synthetic:sky", 16, 12, 0)
        key = json.dumps(
            video_features._key(Known("synthetic:sky", source, 16, 12), self.distance, self.extractor), sort_keys=True
        )
        for damage in (content[:100], b"", b"no zip", content[:900] + b"?" + content[901:]):
            file.write_bytes(damage)
            with self.assertLogs("tfvideogan", "WARNING") as logs:
                found, computed = self.features("synthetic:sky")
            self.assertIn("damaged and written anew", logs.output[0])
            self.assertTrue(computed)
            self.assertAllEqual(found, expected)
        np.savez(file, features=np.full([2, 20], np.nan), key=key)
        with self.assertLogs("tfvideogan", "WARNING"):
            self.assertAllEqual(self.features("synthetic:sky")[0], expected)

    def test_features_of_clips_chosen_from_another_number_are_not_taken(self):
        """Of a folder as many more are decoded as more clips are wanted, and others are chosen."""
        keys = [
            video_features._key(Known("synthetic:sky", range(count), 16, 12), self.distance, self.extractor)
            for count in (32, 64)
        ]
        self.assertEqual([name for name, value in keys[0].items() if keys[1][name] != value], ["chosen"])

    def test_a_cache_that_cannot_be_written_is_no_error(self):
        self.cache.write_text("a file")
        with self.assertLogs("tfvideogan", "WARNING") as logs:
            self.assertEqual(self.features("synthetic:sky")[0].shape, (2, 20))
        self.assertIn("not kept", logs.output[0])


if __name__ == "__main__":
    tf.test.main()
