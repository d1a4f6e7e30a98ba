"""Built-in scenes: what moves is in the mask, and all else stands still."""

import numpy as np
import tensorflow as tf

from tfvideogan.data import clips
from tfvideogan.data.drawing import actors
from tfvideogan.data.drawing.cel import CANVAS, Cel
from tfvideogan.data.scenes import PLACES, Scenes
from tfvideogan.metrics import separation

ACTORS = (
    actors.walker, actors.car, actors.ball, actors.bird, actors.boat, actors.pendulum, actors.flag, actors.smoke,
)  # fmt: skip


class ScenesTest(tf.test.TestCase):
    def test_all_that_changes_is_in_the_mask(self):
        source = Scenes(64, 8)
        for index in range(12):
            with self.subTest(index=index):
                clip, mask = source.clip_and_mask(index)
                self.assertEqual((mask.shape, mask.dtype), ((8, 64, 64), bool))
                edged = np.pad(mask, [(0, 0), (2, 2), (2, 2)])  # Rims are antialiased, and those of smoke are soft.
                touched = np.any([edged[:, y : y + 64, x : x + 64] for y in range(5) for x in range(5)], axis=0)
                seen = np.ma.masked_array(clip, np.broadcast_to(touched[..., None], clip.shape)).astype(int)
                changed = np.ma.filled((seen.max(axis=0) - seen.min(axis=0)).max(axis=-1) > 20, False)
                self.assertLess(changed.mean(), 0.002)
                self.assertBetween(mask.mean(), 0.001, 0.5)

    def test_what_crosses_the_frame_is_what_differs_from_the_median(self):
        source, scores = Scenes(64, 32), []
        for index in range(16):
            clip, mask = source.clip_and_mask(index)
            region = separation.moving_region(clips.to_float(clip[None]))
            scores.append(separation.mask_iou(mask[None].astype(np.float32), region))
        self.assertGreater(np.median(scores), 0.7)

    def test_clip_and_mask_is_the_clip(self):
        source = Scenes(16, 4)
        self.assertAllEqual(source[2], source.clip_and_mask(2)[0])

    def test_the_mask_is_the_same_at_every_size(self):
        small, large = (Scenes(size, 4).clip_and_mask(1)[1] for size in (64, 128))
        halved = large.reshape(4, 64, 2, 64, 2).mean((2, 4)) > 0.5
        self.assertGreater((small & halved).sum() / (small | halved).sum(), 0.8)


class ActorsTest(tf.test.TestCase):
    def test_every_actor_has_a_place(self):
        self.assertEqual({actor for _, cast in PLACES.values() for actor in cast}, set(ACTORS))

    def test_actors_are_seen_move_and_show_their_colours(self):
        for actor in ACTORS:
            for seed in range(3):
                with self.subTest(actor=actor.__name__, seed=seed):
                    draw, cel, covers = actor(np.random.default_rng(seed), 0.8), Cel(np.ones(3)), []
                    for time in (0.4, 0.45, 0.6):
                        cel.clear()
                        draw(cel, time)
                        covers.append(cel.cover.copy())
                        self.assertBetween((cel.cover > 127).mean(), 0.001, 0.3)
                        self.assertGreater(cel.colour[cel.cover > 127].max(), 10)
                    self.assertGreater((covers[0] != covers[1]).mean(), 0.0005)
                    self.assertGreater((covers[0] != covers[2]).mean(), 0.001)

    def test_a_foot_on_the_ground_stays_where_it_is(self):
        """The lowest pixels of a walker move by less than half as much as its middle."""
        for seed in range(4):
            draw, cel, feet, middles = actors.walker(np.random.default_rng(seed), 0.8), Cel(np.ones(3)), [], []
            for time in np.linspace(0.3, 0.7, 60):
                cel.clear()
                draw(cel, time)
                rows, columns = np.nonzero(cel.cover > 127)
                feet.append(columns[rows >= rows.max() - 1].mean() / CANVAS)
                middles.append(cel.anchor[0])
            ratio = np.median(np.abs(np.diff(feet))) / np.median(np.abs(np.diff(middles)))
            self.assertLess(ratio, 0.5)

    def test_a_pole_is_seen_and_not_in_the_mask(self):
        cel, white = Cel(np.ones(3)), np.full([CANVAS, CANVAS, 3], 255, np.uint8)
        flag = actors.flag(np.random.default_rng(0), 0.9)
        frame, mask = Scenes(CANVAS, 2)._frame(white, [(flag, cel, np.ones([2 * CANVAS, 2 * CANVAS, 1]))], 0.0)
        pole = cel.still > 200
        self.assertGreater(pole.mean(), 0.005)
        self.assertAllEqual(mask[pole], np.zeros(pole.sum()))
        self.assertLess(frame[pole].max(), 255)
        self.assertGreater((mask > 127).mean(), 0.02)


if __name__ == "__main__":
    tf.test.main()
