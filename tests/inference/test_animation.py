"""Pictures of any shape brought to life: fits, the picture's own size, details that move with the wind, roll-outs."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.data import clips
from tfvideogan.files import pictures
from tfvideogan.inference import animation
from tfvideogan.inference.animation import Animator
from tfvideogan.models import mdgan
from tfvideogan.models.adversarial import AdversarialModel


def photo(height: int, width: int) -> np.ndarray:
    """Soft colours with a fine pattern, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    soft = np.stack([60 + 90 * x / width, 90 + 60 * y / height, 0 * x + 120], axis=-1)
    return np.uint8(soft + 12 * ((x + y) % 2)[..., None])


def silence(model: AdversarialModel) -> None:
    """Sets the last weights, those of the change and of the mask, to zero."""
    for variable in model.base_generator.trainable_variables:
        if variable.path in ("up_conv4/kernel", "mask_conv/kernel"):
            variable.assign(tf.zeros_like(variable))


class AnimatorTest(tf.test.TestCase):
    def test_the_models_size_is_its_own_prediction(self):
        model = tiny.changing()
        picture = photo(48, 80)
        clip = Animator(model).clip(picture)
        small = pictures.resize(picture, 32, 32)
        expected = clips.to_uint8(model(clips.to_float(small)[None])["clip"].numpy()[0])
        self.assertAllEqual(clip, expected)

    def test_every_fit_gives_the_shape_it_promises(self):
        model = tiny.changing()
        for fit, at_model, at_picture in (
            ("squash", (32, 32), (48, 80)),
            ("crop", (32, 32), (48, 48)),
            ("pad", (19, 32), (48, 80)),
        ):
            for full_size, shape in ((False, at_model), (True, at_picture)):
                clip = Animator(model, fit, full_size).clip(photo(48, 80))
                self.assertEqual(clip.shape[1:3], shape, (fit, full_size))
        self.assertEqual(Animator(model, "pad", True).clip(photo(80, 48)).shape[1:], (80, 48, 3))
        self.assertEqual(Animator(model, "squash", True).clip(photo(1, 3)).shape[1:], (1, 3, 3))

    def test_a_change_of_nothing_leaves_the_picture_whole(self):
        """Training begins with copying: at the picture's own size that is the picture, to the level."""
        model = tiny.changing()
        silence(model)
        picture = photo(50, 70)
        clip = Animator(model, full_size=True).clip(picture)
        for frame in clip:
            self.assertLess(np.abs(np.int32(frame) - picture).max(), 2)

    def test_details_move_with_the_wind_where_the_mask_is_and_stand_where_it_is_not(self):
        model = tiny.changing(drift="fused")
        silence(model)
        bias = model.base_generator.get_layer("mask_conv").bias
        picture, wind = photo(64, 64), np.float32([3 / 64, 2 / 64])
        still_then_moved = {}
        for value in (-40.0, 40.0):
            bias.assign(tf.fill(bias.shape, value))
            still_then_moved[value] = Animator(model, full_size=True).clip(picture, wind)
        inner = (slice(16, 48), slice(16, 48))
        for time in range(model.num_frames):
            still, moved = (np.int32(clip[time][inner]) for clip in still_then_moved.values())
            self.assertLess(np.abs(still - picture[inner]).max(), 3)
            shifted = np.roll(picture, (2 * time, 3 * time), (0, 1))[inner]
            self.assertLess(np.abs(moved - shifted).max(), 6)

    def test_the_mask_is_that_of_the_weights_that_made_the_clip(self):
        """Of a training with a moving average, these are the average's."""
        average = tiny.changing(drift="fused")
        model = mdgan.MDGAN(average.base_generator, average.discriminator, takes_wind=True, ema=0.9)
        bias = model.base_generator.get_layer("mask_conv").bias
        bias.assign(bias - 40.0)  # What is trained has no mask any more.
        picture, wind = photo(64, 64), np.float32([3 / 64, 2 / 64])
        made, expected = (
            Animator(one, full_size=True).clip(picture, wind)
            for one in (model, mdgan.MDGAN(model.ema_generator, average.discriminator, takes_wind=True))
        )
        self.assertAllEqual(made, expected)

    def test_another_model_is_enlarged(self):
        model = tiny.model("mdgan")
        large, small = (Animator(model, full_size=full).clip(photo(64, 64)) for full in (True, False))
        self.assertLess(np.abs(np.float32(large[:, ::2, ::2]) - small).mean(), 12)
        self.assertLess(np.abs(np.diff(np.float32(large), axis=2)).mean(), 10)  # without the pattern of the picture


class RolledOutTest(tf.test.TestCase):
    def test_each_clip_goes_on_from_a_late_frame_and_is_blended_with_it(self):
        """A prediction adds 10 a frame, and 1 at once: seams show as what lies between both."""
        starts = []

        def predict(start: np.ndarray) -> np.ndarray:
            starts.append(int(start[0, 0, 0]))
            return np.stack([start + 1 + 10 * time for time in range(8)]).astype(np.uint8)

        frames = animation.rolled_out(predict, np.zeros([2, 2, 3], np.uint8), 14)
        first = [1 + 10 * time for time in range(8)]
        second = [first[4] + 1 + 10 * time for time in range(8)]
        blended = [round(a + (k + 1) / 5 * (b - a)) for k, (a, b) in enumerate(zip(first[4:], second, strict=False))]
        third = [second[4] + 1 + 10 * time for time in range(8)]
        self.assertEqual(starts, [0, first[4], second[4]])
        last = [round(a + (k + 1) / 5 * (b - a)) for k, (a, b) in enumerate(zip(second[4:], third, strict=False))]
        self.assertEqual(frames[:, 0, 0, 0].tolist(), (first[:4] + blended + last + third[4:])[:14])

    def test_seams_are_told_where_they_are(self):
        self.assertEqual(animation.seam_frames(8, 14), [4, 5, 6, 7, 8, 8, 9, 10, 11, 12, 12, 13])
        self.assertEqual(animation.seam_frames(32, 61), [28, 29, 30, 31, 32, 56, 57, 58, 59, 60])
        self.assertEqual(animation.seam_frames(8, 4), [])
        starts = np.zeros([1, 1, 3], np.uint8)
        frames = animation.rolled_out(lambda start: np.stack([start + 10] * 16), starts, 39)[:, 0, 0, 0].astype(int)
        jumps = np.flatnonzero(np.diff(frames)) + 1  # each prediction is still, 10 above its start
        self.assertContainsSubset(jumps, animation.seam_frames(16, 39))
        self.assertNotEmpty(jumps)

    def test_short_clips_go_on_too(self):
        for length in (2, 4):
            clip = np.zeros([length, 1, 1, 3], np.uint8)
            self.assertLen(animation.rolled_out(lambda _, clip=clip: clip, clip[0], 11), 11)

    def test_fewer_frames_than_a_clip_has(self):
        clip = np.arange(24, dtype=np.uint8).reshape(8, 1, 1, 3)
        self.assertAllEqual(animation.rolled_out(lambda _: clip, clip[0], 3), clip[:3])


if __name__ == "__main__":
    tf.test.main()
