"""What `--data` may name."""

import sys

import tensorflow as tf

from tests.data.case import FolderTest
from tfvideogan.config import UsageError
from tfvideogan.data import scenes, skies, synthetic
from tfvideogan.data.sources import SYNTHETIC, open_source, open_sources, split_names


class NamesTest(FolderTest):
    def test_sources_and_their_weights(self):
        for data, expected in {
            "A": [("A", 1.0)],
            "A,B": [("A", 1.0), ("B", 1.0)],
            "A@0.7,B@3": [("A", 0.7), ("B", 3.0)],
            "A@home,B@.5": [("A@home", 1.0), ("B", 0.5)],
        }.items():
            with self.subTest(data):
                self.assertEqual(split_names(data), expected)
        sources = open_sources("synthetic:sky@2,synthetic:sprites", 16, 4)
        self.assertEqual([weighted.weight for weighted in sources], [2.0, 1.0])

    def test_what_exists_under_the_whole_name_is_one_source(self):
        folder = self.root / "A@0.7,B"
        folder.mkdir()
        self.assertEqual(split_names(str(folder)), [(str(folder), 1.0)])

    def test_names_without_a_source_are_refused(self):
        for data in ("A,", ",A", "A,,B", "A@0", "A@0.0,B"):
            with self.subTest(data), self.assertRaisesRegex(UsageError, f"a weight above 0. Received: '{data}'"):
                split_names(data)
        with self.assertRaisesRegex(UsageError, "Received: ''"):
            split_names("")
        with self.assertRaisesRegex(UsageError, "must name one source here"):
            open_source("synthetic:sky,synthetic:sprites", 16, 4)

    def test_what_is_missing_or_unusable_is_named(self):
        (self.root / "file.mp4").touch()
        for name in ("gone", "file.mp4"):
            with self.subTest(name), self.assertRaisesRegex(UsageError, f"--data.*{name}"):
                open_source(str(self.root / name), 16, 4)


class SyntheticNamesTest(tf.test.TestCase):
    def test_names_and_splits(self):
        kinds = {
            "sky": synthetic.Sky,
            "sprites": synthetic.Sprites,
            "moves": synthetic.Moves,
            "skies": skies.Skies,
            "skies-common-wind": skies.SkiesCommonWind,
            "scenes": scenes.Scenes,
        }
        self.assertEqual(SYNTHETIC, kinds)
        for name, kind in kinds.items():
            for suffix, split in (("", "train"), (":train", "train"), (":test", "test")):
                source = open_source(f"synthetic:{name}{suffix}", 16, 4, seed=5)
                self.assertAllEqual(source.clips[1], kind(16, 4, split, seed=5)[1])

    def test_without_opencv_the_drawn_ones_say_how_to_install_it(self):
        modules = sys.modules.copy()
        sys.modules["cv2"] = None  # Python then refuses to import it.
        try:
            for name in ("skies", "skies-common-wind", "scenes"):
                with self.subTest(name), self.assertRaisesRegex(UsageError, r"OpenCV.*pip install.*\[data\]"):
                    open_source(f"synthetic:{name}", 16, 4)
            open_source("synthetic:sky", 16, 4)
        finally:
            sys.modules.update(modules)
            if "cv2" not in modules:
                del sys.modules["cv2"]

    def test_other_names_are_refused_with_those_there_are(self):
        names = ("", "clouds", "Sky", "sky:", "sky:val", "sky:test:1", "skies:common-wind")
        for data in (f"synthetic:{name}" for name in names):
            with (
                self.subTest(data),
                self.assertRaisesRegex(UsageError, f"synthetic:sky.*:sprites.*:skies.*:scenes.*'{data}'"),
            ):
                open_source(data, 16, 4)
        with self.assertRaisesRegex(UsageError, "--data: 'synthetic': no such folder"):
            open_source("synthetic", 16, 4)
