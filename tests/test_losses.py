"""The losses: by hand, and against the papers' formulas in float64 NumPy."""

import numpy as np
import tensorflow as tf

from tfvideogan import losses
from tfvideogan.losses import FAKE, REAL


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gram_reference(features: np.ndarray) -> np.ndarray:
    """g = H H^T / (M S); row c * T + t of H is channel c at time t, over all pixels."""
    grams = []
    for clip in features.astype(np.float64):
        times, _, _, channels = clip.shape
        rows = np.stack([clip[t, :, :, c].ravel() for c in range(channels) for t in range(times)])
        grams.append(rows @ rows.T / rows.size)
    return np.stack(grams)


def ranking_reference(refined, real, base) -> float:
    """The formula as the paper prints it: per layer and clip, summed over layers, averaged over clips."""
    clips = np.zeros(len(refined[0]))
    for layer in zip(refined, real, base, strict=True):
        y2, y, y1 = (gram_reference(features) for features in layer)
        near, far = (np.exp(-np.abs(y2 - other).sum(axis=(1, 2))) for other in (y, y1))
        clips += -np.log(near / (near + far))
    return clips.mean()


class AdversarialTest(tf.test.TestCase):
    def test_softmax_by_hand(self):
        logits = [[0.0, np.log(3.0)], [0.0, 0.0]]  # real with probability 3/4 and 1/2
        self.assertAllClose(losses.softmax_adversarial(logits, REAL), (np.log(4 / 3) + np.log(2)) / 2)
        self.assertAllClose(losses.softmax_adversarial(logits, FAKE), (np.log(4) + np.log(2)) / 2)

    def test_sigmoid_by_hand(self):
        logits = [[np.log(3.0)], [0.0]]  # D = 3/4 and 1/2
        self.assertAllClose(losses.sigmoid_adversarial(logits, REAL), (np.log(4 / 3) + np.log(2)) / 2)
        self.assertAllClose(losses.sigmoid_adversarial(logits, FAKE), (np.log(4) + np.log(2)) / 2)

    def test_equal_to_the_log_losses(self):
        two, one = random(9, 2), random(9, 1)
        softmax = np.exp(two.astype(np.float64)) / np.exp(two.astype(np.float64)).sum(1, keepdims=True)
        sigmoid = 1 / (1 + np.exp(-one.astype(np.float64)))
        for target in (FAKE, REAL):
            with self.subTest(target=target):
                self.assertAllClose(losses.softmax_adversarial(two, target), -np.log(softmax[:, target]).mean())
                chosen = sigmoid if target == REAL else 1 - sigmoid
                self.assertAllClose(losses.sigmoid_adversarial(one, target), -np.log(chosen).mean())

    def test_probabilities_of_real_by_hand(self):
        self.assertAllClose(losses.probability_of_real([[np.log(3.0)], [0.0]]), (3 / 4 + 1 / 2) / 2)
        self.assertAllClose(losses.probability_of_real([[1.0, 1.0 + np.log(3.0)], [7.0, 7.0]]), (3 / 4 + 1 / 2) / 2)
        self.assertAllClose(losses.probability_of_real([[1e4], [-1e4]]), 0.5)

    def test_sure_and_wrong_costs_the_margin_and_not_infinity(self):
        self.assertAllClose(losses.softmax_adversarial([[1e4, 0.0]], REAL), 1e4)
        self.assertAllClose(losses.sigmoid_adversarial([[-1e4]], REAL), 1e4)
        self.assertAllClose(losses.sigmoid_adversarial([[1e4]], FAKE), 1e4)


class PixelLossTest(tf.test.TestCase):
    def test_mask_prior_is_a_mean(self):
        mask = np.zeros([2, 2, 2, 2, 1], np.float32)
        mask[0] = 0.5
        self.assertAllClose(losses.mask_prior(mask), 0.25)
        self.assertAllClose(losses.mask_prior(np.tile(mask, [1, 4, 3, 1, 1])), 0.25)  # whatever the size
        mask = random(3, 2, 4, 4, 1)
        self.assertAllClose(losses.mask_prior(mask), mask.astype(np.float64).mean())

    def test_content_is_the_mean_absolute_difference(self):
        self.assertAllClose(losses.content_l1([[1.0, -1.0]], [[0.5, 1.0]]), 1.25)
        clips = random(2, 4, 8, 8, 3), random(2, 4, 8, 8, 3, seed=1)
        self.assertAllClose(losses.content_l1(*clips), np.abs(clips[0].astype(np.float64) - clips[1]).mean())


class GramMatrixTest(tf.test.TestCase):
    def test_blocks_and_the_symmetric_gradient_are_tensorflows_own(self):
        for channels, times in ((8, 4), (64, 8), (32, 9)):  # one product; blocks; rows that four does not divide
            with self.subTest(rows=channels * times):
                features = tf.random.stateless_normal([2, times, 3, 5, channels], [1, 2])
                weights = tf.random.stateless_normal([2, channels * times, channels * times], [3, 4])
                rows = tf.reshape(tf.transpose(features, [0, 4, 1, 2, 3]), [2, channels * times, 15])
                with tf.GradientTape(persistent=True) as tape:
                    tape.watch([features, rows])
                    gram = losses.gram_matrix(features)
                    plain = tf.matmul(rows, rows, transpose_b=True) / (channels * times * 15)
                    objectives = [tf.reduce_sum(weights * matrix) for matrix in (gram, plain)]
                self.assertAllClose(gram, plain, atol=1e-6)
                ours = tf.transpose(tape.gradient(objectives[0], features), [0, 4, 1, 2, 3])
                self.assertAllClose(tf.reshape(ours, rows.shape), tape.gradient(objectives[1], rows), atol=1e-6)

    def test_channel_major_by_hand(self):
        features = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 1, 1, 2)  # [time, channel]
        rows = np.array([1, 3, 2, 4])  # channel 0 at both times, then channel 1
        self.assertAllEqual(losses.gram_matrix(features)[0], np.outer(rows, rows) / 4)

    def test_pixels_are_averaged_by_hand(self):
        features = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 2, 2, 1)
        self.assertAllEqual(losses.gram_matrix(features), [[[7.5]]])  # (1 + 4 + 9 + 16) / (1 * 4)

    def test_one_matrix_a_clip(self):
        features = random(2, 3, 5, 4, 7)
        grams = losses.gram_matrix(features)
        self.assertEqual(grams.shape, (2, 21, 21))
        self.assertAllClose(grams, gram_reference(features))


class RankingTest(tf.test.TestCase):
    # Gram matrices [N, 1, 1]: distances 1 to the real clip and 3 to stage 1's, then 2 and 0.
    REFINED, NEAR, BASE = ([[[0.0]], [[5.0]]], [[[1.0]], [[7.0]]], [[[-3.0]], [[5.0]]])
    BY_HAND = (np.log(1 + np.exp(-2.0)) + np.log(1 + np.exp(2.0))) / 2

    def grams(self):
        return [tf.constant(gram) for gram in (self.REFINED, self.NEAR, self.BASE)]

    def test_by_hand(self):
        self.assertAllClose(losses.ranking_loss(*self.grams()), self.BY_HAND)

    def test_layers_are_summed(self):
        layers = self.grams()
        self.assertAllClose(losses.ranking_loss(*[[x, x] for x in layers]), 2 * self.BY_HAND)
        self.assertAllClose(losses.ranking_loss(*[{"conv1": x, "conv3": x} for x in layers]), 2 * self.BY_HAND)

    def test_equal_to_the_formula_of_the_paper(self):
        clips = [[3 * random(3, 4, 4, 4, 2, seed=s), 3 * random(3, 2, 2, 2, 5, seed=s + 9)] for s in range(3)]
        expected = ranking_reference(*clips)
        self.assertAllClose(losses.ranking_loss(*clips), expected)
        grams = [[losses.gram_matrix(features) for features in layers] for layers in clips]
        self.assertAllClose(losses.ranking_loss(*grams), expected)

    def test_distances_that_overflow_the_exponentials(self):
        zero, huge = tf.zeros([1, 2, 2]), tf.fill([1, 2, 2], 1e6)
        self.assertAllClose(losses.ranking_loss(zero, huge, zero), 4e6)
        self.assertAllClose(losses.ranking_loss(zero, zero, huge), 0.0)
        self.assertAllClose(losses.ranking_loss(zero, huge, -huge), np.log(2))

    def test_gradient_pulls_towards_the_real_clip_and_off_the_base(self):
        refined, real, base = tf.Variable([[[0.0]]]), tf.constant([[[2.0]]]), tf.constant([[[-2.0]]])
        with tf.GradientTape() as tape:
            loss = losses.ranking_loss(refined, real, base)
        # softplus'(0) = 1/2; one unit towards the real clip is nearer by 1 and farther from the base by 1.
        self.assertAllClose(tape.gradient(loss, refined), [[[-1.0]]])

    def test_descent_on_features_nears_the_real_gram_matrix(self):
        refined, real, base = (tf.Variable(random(2, 2, 4, 4, 3, seed=s)) for s in range(3))
        before = losses.ranking_loss(refined, real, base)
        for _ in range(20):
            with tf.GradientTape() as tape:
                loss = losses.ranking_loss(refined, real, base)
            refined.assign_sub(tape.gradient(loss, refined))
        self.assertLess(losses.ranking_loss(refined, real, base), before - 0.02)

    def test_layers_must_match(self):
        refined, real, base = self.grams()
        with self.assertRaises(ValueError):
            losses.ranking_loss([refined, refined], [real], [base])


class PrecisionTest(tf.test.TestCase):
    def test_half_precision_inputs_are_computed_in_float32(self):
        clip, other, third = (100 + random(2, 2, 8, 8, 4, seed=s) for s in range(3))
        cases = {
            losses.mask_prior: lambda x, *_: x.mean(),
            losses.content_l1: lambda x, y, _: np.abs(x - y).mean(),
            losses.gram_matrix: lambda x, *_: gram_reference(x),
            losses.ranking_loss: lambda x, y, z: ranking_reference([x], [y], [z]),
        }
        counts = {losses.content_l1: 2, losses.ranking_loss: 3}
        for dtype in (tf.float16, tf.bfloat16):
            inputs = [tf.cast(x, dtype) for x in (clip, other, third)]
            exact = [tf.cast(x, tf.float64).numpy() for x in inputs]
            for loss, reference in cases.items():
                with self.subTest(loss=loss.__name__, dtype=dtype.name):
                    result = loss(*inputs[: counts.get(loss, 1)])
                    self.assertEqual(result.dtype, tf.float32)
                    # The distances of large Gram matrices cancel: float32 itself keeps five digits there.
                    self.assertAllClose(result, reference(*exact), rtol=1e-6 if loss != losses.ranking_loss else 1e-3)

    def test_half_precision_logits_are_computed_in_float32(self):
        for dtype in (tf.float16, tf.bfloat16):
            logits = tf.cast(random(50, 2), dtype)
            exact = tf.cast(logits, tf.float32)
            for loss, width in ((losses.softmax_adversarial, 2), (losses.sigmoid_adversarial, 1)):
                with self.subTest(loss=loss.__name__, dtype=dtype.name):
                    result = loss(logits[:, :width], REAL)
                    self.assertEqual(result.dtype, tf.float32)
                    self.assertAllEqual(result, loss(exact[:, :width], REAL))
