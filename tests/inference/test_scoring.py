"""Scores in batches against the metrics over all clips at once."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.data import clips, synthetic, wind
from tfvideogan.data.indexed import Indexed
from tfvideogan.inference import sampling, scoring
from tfvideogan.metrics import motion, reconstruction, separation, ssim
from tfvideogan.models.adversarial import AdversarialModel
from tfvideogan.models.drift import drifting_clip

COUNT = 9  # one more than a full batch


def sprites(model: AdversarialModel) -> Indexed:
    return Indexed(synthetic.Sprites(model.frame_size, model.num_frames))


def real_clips(source: Indexed) -> np.ndarray:
    """float32 [COUNT, T, H, W, 3] in [-1, 1]."""
    return clips.to_float(np.stack([source.clips[i] for i in range(COUNT)]))


def true_masks(source: Indexed) -> np.ndarray:
    return np.stack([source.clips.clip_and_mask(i)[1] for i in range(COUNT)])


class PredictionsTest(tf.test.TestCase):
    def expected(self, predicted: np.ndarray, real: np.ndarray) -> dict[str, float]:
        moving = motion.mean_frame_difference(predicted) / motion.mean_frame_difference(real)
        predicted, real = predicted[:, 1:], real[:, 1:]  # The first frame is the input.
        return {
            "mse": reconstruction.mse(predicted, real),
            "psnr_db": reconstruction.psnr(predicted, real),
            "ssim": ssim.ssim(predicted, real),
            "motion_ratio": moving,
        }

    def test_every_stage_is_scored_beside_the_repeated_first_frame(self):
        model = tiny.shaken("mdgan", 2)
        source = sprites(model)
        real = real_clips(source)
        outputs = {name: value.numpy() for name, value in model(real[:, 0]).items()}
        predictions = {"persistence": np.repeat(real[:, :1], model.num_frames, 1)}
        predictions |= {"stage_1": outputs["base"], "stage_2": outputs["clip"]}
        result = scoring.score_predictions(model, source, COUNT)
        self.assertEqual(list(result["scores"]), list(predictions))
        for name, predicted in predictions.items():
            self.assertAllClose(result["scores"][name], self.expected(predicted, real), msg=name)
        self.assertEqual(result["scores"]["persistence"]["motion_ratio"], 0.0)

    def test_a_wind_that_is_given_stands_beside_the_frame_that_it_moves(self):
        model = tiny.changing(drift="on")
        source = Indexed(synthetic.Sky(model.frame_size, model.num_frames))
        real = real_clips(source)
        winds = np.stack([wind.measure(source.clips[i]) for i in range(COUNT)])
        predictions = {
            "persistence": np.repeat(real[:, :1], model.num_frames, 1),
            "moved_frame": drifting_clip(real[:, 0], winds, model.num_frames),
            "stage_1": model((real[:, 0], winds))["clip"].numpy(),
        }
        result = scoring.score_predictions(model, source, COUNT)
        self.assertEqual(list(result["scores"]), list(predictions))
        for name, predicted in predictions.items():
            self.assertAllClose(result["scores"][name], self.expected(predicted, real), msg=name, rtol=1e-4)
        self.assertIn("given", result["protocol"]["wind"])
        self.assertNotIn("wind", scoring.score_predictions(tiny.model("mdgan"), source, 1)["protocol"])

    def test_frames_that_are_exact_are_capped_and_counted(self):
        model = tiny.shaken("vgan_conditional")
        frame = np.random.default_rng(0).integers(0, 256, [1, model.frame_size, model.frame_size, 3], np.uint8)
        still, moving = np.repeat(frame, 4, 0), np.concatenate([frame, frame, 255 - frame, frame])
        scores = scoring.score_predictions(model, Indexed([still] * 8 + [moving]), COUNT)["scores"]
        dark = 10 * np.log10(4 / ((510 - 4 * frame[0].astype(float)) ** 2 / 255**2).mean())
        self.assertAllClose(scores["persistence"]["psnr_db"], (100 * 26 + dark) / 27)
        self.assertEqual(scores["persistence"]["psnr_capped_frames"], 26)
        self.assertNotIn("psnr_capped_frames", scores["stage_1"])

    def test_a_mask_is_scored_where_the_clips_come_with_masks(self):
        model = tiny.shaken("vgan_conditional")
        source = sprites(model)
        scores = scoring.score_predictions(model, source, COUNT)["scores"]
        mask = model(real_clips(source)[:, 0])["mask"].numpy()[..., 0]
        self.assertEqual(list(scores), ["persistence", "stage_1"])
        expected = separation.mask_iou(mask, true_masks(source))
        self.assertAllClose(scores["stage_1"]["mask_iou_truth"], expected)
        sky = Indexed(synthetic.Sky(model.frame_size, model.num_frames))
        self.assertNotIn("mask_iou_truth", scoring.score_predictions(model, sky, 1)["scores"]["stage_1"])

    def test_batch_statistics_are_those_of_a_batch(self):
        model = tiny.shaken("vgan_conditional")
        source = sprites(model)
        real = real_clips(source)[:4]
        predicted = np.concatenate([model(real[i : i + 2, 0], training=True)["clip"] for i in (0, 2)])
        result = scoring.score_predictions(model, source, 4, batch_statistics=True, batch_size=2)
        self.assertAllClose(result["scores"]["stage_1"]["mse"], self.expected(predicted, real)["mse"], rtol=1e-5)
        without = scoring.score_predictions(model, source, 4)
        self.assertNotAllClose(without["scores"]["stage_1"]["mse"], result["scores"]["stage_1"]["mse"])


class GenerationTest(tf.test.TestCase):
    def expected(self, values: np.ndarray) -> dict[str, float]:
        return {
            "moving_share": separation.moving_region(values).mean(),
            "flicker": separation.flicker(values),
            "mean_frame_difference": motion.mean_frame_difference(values),
        }

    def test_generated_clips_are_scored_beside_real_ones(self):
        model = tiny.shaken("vgan")
        source = sprites(model)
        parts = list(sampling.generate(model, COUNT, seed=3))
        generated, mask = (np.concatenate([part[name] for part in parts]) for name in ("clip", "mask"))
        real, region = real_clips(source), separation.moving_region(generated)
        scores = scoring.score_generation(model, source, COUNT, seed=3)["scores"]
        truth = separation.mask_iou(true_masks(source), separation.moving_region(real))
        self.assertAllClose(scores["real"], self.expected(real) | {"mask_iou_truth": truth})
        ratio = motion.mean_frame_difference(generated) / motion.mean_frame_difference(real)
        of_mask = {"mask_iou": separation.mask_iou(mask[..., 0], region), "mask_mean": mask.mean()}
        self.assertAllClose(scores["generated"], self.expected(generated) | of_mask | {"motion_ratio": ratio})

    def test_without_a_mask_there_is_no_score_of_one(self):
        model = tiny.shaken("vgan_one_stream")
        sky = Indexed(synthetic.Sky(model.frame_size, model.num_frames))
        scores = scoring.score_generation(model, sky, 1, seed=0)["scores"]
        self.assertEqual([name for part in scores.values() for name in part if "mask" in name], [])
        self.assertEqual(scoring.score_generation(model, sky, 1, 0, ["mask"])["scores"]["generated"], {})

    def test_clips_without_a_score_are_left_out(self):
        model = tiny.shaken("vgan_one_stream")
        shape = [model.num_frames, model.frame_size, model.frame_size, 3]
        greys = ([0, 255, 0, 255], [127, 130, 127, 130])  # of the frames of a clip
        jumping, trembling = (np.reshape(grey, [-1, 1, 1, 1]) * np.ones(shape) for grey in greys)
        source = Indexed([clip.astype(np.uint8) for clip in (*[jumping] * 7, trembling, trembling * 0)])
        scores = scoring.score_generation(model, source, COUNT, seed=0)["scores"]["real"]
        # Clips that move everywhere have no flicker, and share a batch with the one that trembles.
        self.assertAllClose(scores["flicker"], (3 / 127.5 + 0) / 2)
        self.assertAllClose(scores["moving_share"], 7 / 9)
        scores = scoring.score_generation(model, Indexed(source.clips[:7]), 7, seed=0)["scores"]["real"]
        self.assertTrue(np.isnan(scores["flicker"]))


if __name__ == "__main__":
    tf.test.main()
