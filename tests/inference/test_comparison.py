"""Distances of models and folders from real clips, against features that are taken by hand. A small I3D stands in."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tests.helpers.made_files import numbered, write_dataset, write_pictures
from tests.inference.test_video_features import small_extractor
from tfvideogan.config import UsageError
from tfvideogan.data import clips as clip_values
from tfvideogan.data import synthetic
from tfvideogan.data.indexed import Indexed
from tfvideogan.data.sources import open_source
from tfvideogan.inference import comparison, real_clips, sampling
from tfvideogan.metrics import motion, separation
from tfvideogan.metrics.fvd import Distance, frechet_distance
from tfvideogan.metrics.kvd import kernel_distance
from tfvideogan.models import registry
from tfvideogan.models.adversarial import AdversarialModel

COUNT = 3
WANTED = [Distance("fvd", COUNT, 10), Distance("fvd", 2, 10), Distance("kvd", COUNT, 10)]


def model(name: str) -> AdversarialModel:
    """A tiny model with clips that are long enough for I3D."""
    keras.utils.set_random_seed(7)
    return registry.build_model(tiny.config(name, num_frames=16, frame_size=16).model, 1, seed=3)


class ChosenTest(tf.test.TestCase):
    def test_how_many_clips_of_how_many_and_of_how_many_videos(self):
        folder = Path(self.create_tempdir().full_path)
        write_dataset(folder / "set", {"train": [[numbered(range(4))] * 3]})
        write_pictures(folder / "clips" / "long", numbered(range(9)))
        write_pictures(folder / "clips" / "more", numbered(range(9)))
        for data, stand_in, expected in (
            (str(folder / "set"), None, {"chosen": "2 of 3, evenly", "videos": "2 of unknown"}),
            (str(folder / "clips"), 1, {"chosen": "2 of 2 clips of 1 videos, evenly", "videos": "1 of 2"}),
            (str(folder / "clips"), 2, {"chosen": "2 of 4, evenly", "videos": "2 of 2"}),
            (str(folder / "clips"), None, {"chosen": "2 of 4, evenly", "videos": "2 of 2"}),
            ("synthetic:sky", None, {"chosen": "the first 2"}),
        ):
            with self.subTest(data):
                self.assertEqual(real_clips.chosen(open_source(data, 16, 4, stand_in=stand_in), 2), expected)


class RunTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.extractor = small_extractor()
        self.source = Indexed(synthetic.Sprites(16, 16))
        self.real = clip_values.to_float(np.stack([self.source.clips[i] for i in range(COUNT)]))

    def scores(self, made: AdversarialModel) -> dict[str, dict[str, float]]:
        def of_real(distance: Distance, batches: list[np.ndarray]) -> np.ndarray:
            return self.extractor.features(batches, distance.num_frames)

        return comparison.of_run(made, self.source, WANTED, self.extractor, 5, False, of_real)

    def expected(self, generated: np.ndarray) -> dict[str, float]:
        sets = [self.extractor.features([clips], 10) for clips in (generated, self.real)]
        few = [self.extractor.features([clips[:2]], 10) for clips in (generated, self.real)]
        return {
            "fvd2_10f": frechet_distance(*few),
            f"fvd{COUNT}_10f": frechet_distance(*sets),
            f"kvd{COUNT}_10f": kernel_distance(*sets),
        }

    def test_a_generator(self):
        made = model("vgan_one_stream")
        clips = np.concatenate([part["clip"] for part in sampling.generate(made, COUNT, seed=5)])
        self.assertAllClose(self.scores(made), {"generated": self.expected(clips)}, rtol=1e-3, atol=1e-5)

    def test_a_predictor_beside_persistence(self):
        made = model("vgan_conditional")
        scores = self.scores(made)
        self.assertEqual(list(scores), ["persistence", "stage_1"])
        persistence = self.expected(clip_values.persistence(self.real))
        self.assertAllClose(scores["persistence"], persistence, rtol=1e-3, atol=1e-5)
        predicted = self.expected(made(self.real[:, 0])["clip"].numpy())
        self.assertAllClose(scores["stage_1"], predicted, rtol=1e-3, atol=1e-5)


class FoldersTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.root = Path(self.create_tempdir().full_path)
        self.clips = {}
        for name, order in (("generated", range(11)), ("real", range(10, -1, -1)), ("fewer", range(11))):
            frames = numbered(order)
            for i in range(2 if name == "fewer" else 3):
                write_pictures(self.root / name / str(i), frames - 3 * np.uint8(i))
            self.clips[name] = clip_values.to_float(np.stack([frames[:10] - 3 * np.uint8(i) for i in range(3)]))

    def compare(self, real: str, metrics: tuple[str, ...], *wanted: Distance) -> dict:
        folders = {"generated": str(self.root / "generated"), "real": str(self.root / real)}
        cache = str(self.root / "cache")
        return comparison.of_folders(folders, 16, 64, metrics, wanted, small_extractor(), cache)

    def test_two_folders(self):
        wanted = [Distance("fvd", 3, 10), Distance("kvd", 3, 10)]
        found = self.compare("real", comparison.MOTION, *wanted)
        self.assertEqual(found["num_clips"], 3)
        self.assertEqual(found["protocol"]["fvd3_10f"]["size_before_resize"], 16)
        generated, real = (small_extractor().features([self.clips[n]], 10) for n in ("generated", "real"))
        scores = found["scores"]["generated"]
        self.assertAllClose(scores["fvd3_10f"], frechet_distance(generated, real), rtol=1e-3)
        self.assertAllClose(scores["kvd3_10f"], kernel_distance(generated, real), rtol=1e-3)
        self.assertGreater(scores["fvd3_10f"], 0.01)
        self.assertAllClose(scores["motion_ratio"], 1.0)
        for name in ("generated", "real"):
            clips, of = self.clips[name], found["scores"][name]
            self.assertAllClose(of["mean_frame_difference"], motion.mean_frame_difference(clips))
            self.assertAllClose(of["moving_share"], separation.moving_region(clips).mean())
        self.assertLen(list((self.root / "cache").iterdir()), 2)
        self.assertEqual(self.compare("real", (), *wanted)["scores"]["generated"], {
            name: scores[name] for name in ("fvd3_10f", "kvd3_10f")
        })  # fmt: skip

    def test_folders_that_do_not_have_as_many_clips(self):
        with self.assertRaisesRegex(UsageError, "fvd3_10f wants 3 clips of each set, and --real has 2"):
            self.compare("fewer", (), Distance("fvd", 3, 10))
        self.assertEqual(self.compare("fewer", ("motion",), Distance("fvd", 2, 10))["num_clips"], 2)
        with self.assertRaisesRegex(UsageError, "^--real: '.*absent': no such folder"):
            self.compare("absent", (), Distance("fvd", 2, 10))
        with self.assertRaisesRegex(UsageError, "--metrics of two folders are moving, .*Received: 'psnr'"):
            self.compare("real", ("psnr",))


if __name__ == "__main__":
    tf.test.main()
