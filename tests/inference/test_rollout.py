"""Long clips are scored as `predict --seconds` makes them."""

import numpy as np
import tensorflow as tf

from tests.helpers import tiny
from tfvideogan.data import clips
from tfvideogan.data.sources import open_source
from tfvideogan.inference import rollout
from tfvideogan.inference.animation import Animator, seam_frames


class RolloutTest(tf.test.TestCase):
    def test_scores_are_of_the_rolled_out_clips(self):
        source, model = open_source("synthetic:sky", 32, 4), tiny.shaken("mdgan")
        found = rollout.score(model, source, count=2, num_frames=9)
        longer = [Animator(model).longer(source.clips[i][0], None, 9) for i in range(2)]
        change = np.abs(np.diff(clips.to_float(np.stack(longer)).astype(np.float64), axis=1)).mean(axis=(0, 2, 3, 4))
        at = np.isin(np.arange(1, 9), seam_frames(4, 9))
        self.assertAllClose(found["seam_ratio"], change[at].mean() / change[~at].mean())
        self.assertAllClose(found["motion_kept"], change[-3:].mean() / change[:3].mean())
        self.assertEqual(found["frames"], 9)

    def test_a_model_that_takes_wind_is_given_that_of_each_clip(self):
        source, model = open_source("synthetic:sky", 32, 4), tiny.model("mdgan")
        model.takes_wind = True
        self.assertGreater(rollout.score(model, source, count=1, num_frames=9)["motion_kept"], 0)


if __name__ == "__main__":
    tf.test.main()
