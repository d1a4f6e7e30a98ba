"""Clips on disk, as GIF, MP4, WebP, film-strip and array, through the real FFmpeg and Pillow."""

from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import made_files
from tfvideogan.data.synthetic import Sprites
from tfvideogan.files import encoders, pictures, videos


def gif_frames(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        frames = []
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB")))
    return np.stack(frames)


class WriteTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def test_clips_survive_the_round_trip(self):
        frames = Sprites(32, 6)[0]
        for name in ("clip.gif", "clip.mp4", "CLIP.MP4"):
            with self.subTest(name):
                path = self.folder / name
                encoders.write_clip(path, frames, fps=10)
                back = (
                    gif_frames(path)
                    if name.endswith("gif")
                    else np.stack(list(videos.read_video(path, pictures.squash(32))))
                )
                self.assertEqual(back.shape, frames.shape)
                self.assertLess(np.abs(back.astype(int) - frames).mean(), 4)
                order = [np.abs(frames.astype(int) - frame).mean((1, 2, 3)).argmin() for frame in back]
                self.assertEqual(order, list(range(6)))

    def test_clips_without_loss_and_a_webp_that_moves(self):
        frames = np.random.default_rng(0).integers(0, 255, [5, 8, 8, 3], np.uint8)
        encoders.write_clip(self.folder / "clip.npy", frames)
        self.assertAllEqual(np.load(self.folder / "clip.npy"), frames)
        encoders.write_clip(self.folder / "strip.png", frames)
        self.assertAllEqual(np.reshape(Image.open(self.folder / "strip.png"), frames.shape), frames)
        soft = np.broadcast_to(np.arange(0, 200, 40, np.uint8)[:, None, None, None], [5, 16, 16, 3])
        encoders.write_clip(self.folder / "clip.webp", soft, fps=20)
        with Image.open(self.folder / "clip.webp") as moving:
            self.assertEqual((moving.n_frames, moving.info["loop"]), (5, 0))
            for number, frame in enumerate(soft):
                moving.seek(number)
                self.assertLess(np.abs(np.asarray(moving.convert("RGB"), int) - frame).max(), 8)
                self.assertEqual(moving.info["duration"], 50)

    def test_gif_keeps_every_frame_of_a_still_clip(self):
        for numbers in ([3] * 8, [0, 0, 5, 5, 5, 1]):
            with self.subTest(numbers=numbers):
                encoders.write_clip(self.folder / "still.gif", made_files.numbered(numbers))
                self.assertEqual(made_files.numbers(gif_frames(self.folder / "still.gif")), numbers)

    def test_gif_of_a_still_background_does_not_flicker(self):
        frames = np.repeat(Sprites(32, 2)[0][:1], 4, axis=0)
        frames[1:3, :4, :4] = 255
        encoders.write_clip(self.folder / "clip.gif", frames)
        self.assertEqual(np.ptp(gif_frames(self.folder / "clip.gif").astype(int)[:, 4:], axis=0).max(), 0)

    def test_odd_sides_of_an_mp4_repeat_the_last_line(self):
        frames = made_files.numbered(range(4), height=17, width=19).copy()
        frames[:, -1], frames[:, :, -1] = 250, 250
        encoders.write_clip(self.folder / "odd.mp4", frames)
        with av.open(str(self.folder / "odd.mp4")) as container:
            back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        self.assertEqual(back.shape, (4, 18, 20, 3))
        self.assertAllClose(back[:, 17, 19].astype(int), np.full([4, 3], 250), atol=12)


if __name__ == "__main__":
    tf.test.main()
