"""Clips that the page without a server saves: the files that a real Chromium makes are those of Python."""

from pathlib import Path

import av
import numpy as np
import tensorflow as tf
from PIL import Image, ImageSequence

from tests.helpers import tiny
from tests.web.case import SiteCase
from tfvideogan.data import clips
from tfvideogan.files import encoders
from tfvideogan.inference import latents, visuals


def frames_of(file: Path) -> np.ndarray:
    """The frames of a video or moving picture, as integers that can be subtracted."""
    if file.suffix == ".mp4":
        with av.open(str(file)) as video:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]).astype(int)
    with Image.open(file) as moving:
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(moving)]).astype(int)


class SavingTest(SiteCase):
    def test_clips_are_saved_as_videos(self):
        model = tiny.shaken("vgan")
        page = self.open(model)
        page.get_by_label("From seed").fill("7")
        page.get_by_label("From seed").press("Enter")
        expected = clips.to_uint8(model(latents.normal(7, 100)[None], training=False)["clip"][0].numpy())
        expected = visuals.enlarge(expected, 256 // expected.shape[1])
        for name in ("MP4", "WEBP", "GIF"):
            with page.expect_download() as download:
                page.get_by_role("button", name=f"Save as {name}").click()
            self.assertEqual(download.value.suggested_filename, f"seed-7.{name.lower()}")
            file = self.folder / download.value.suggested_filename
            download.value.save_as(file)
            made = frames_of(file)
            self.assertEqual(made.shape, expected.shape, name)
            encoders.write_clip(file, expected)  # Noise is what codecs are worst at; these of Python are the measure.
            pythons = np.abs(frames_of(file) - expected).mean()
            self.assertLess(np.abs(made - expected).mean(), 1.5 * pythons + 2, name)

    def test_an_odd_side_of_an_mp4_has_its_last_line_twice(self):
        page = self.open(tiny.shaken("vgan_one_stream"))
        made = page.evaluate("""async () => {
          const [{ Film }, { encode }] = await Promise.all([import("./film.js"), import("./saving.js")]);
          const picture = new OffscreenCanvas(301, 2 * 257);
          const context = picture.getContext("2d");
          for (let y = 0; y < 257; y += 4) for (let x = 0; x < 301; x += 4) {
            context.fillStyle = (x + y) % 8 ? "white" : "black";
            for (const top of [0, 257]) context.fillRect(x, top + y, 4, Math.min(4, 257 - y));
          }
          const blob = await encode("mp4", new Film(picture, ["clip"], 2));
          return Array.from(new Uint8Array(await blob.arrayBuffer()));
        }""")
        file = self.folder / "odd.mp4"
        file.write_bytes(bytes(made))
        y, x = np.mgrid[:257, :301] // 4
        squares = np.repeat(255 * ((x + y) % 2)[None, ..., None], 3, axis=-1)
        expected = np.pad(squares, [(0, 0), (0, 1), (0, 1), (0, 0)], mode="edge")
        self.assertLess(np.abs(frames_of(file) - expected).mean(), 10)

    def test_the_page_lives_while_a_gif_is_made(self):
        page = self.open(tiny.shaken("vgan_one_stream"))
        took, longest = page.evaluate("""async () => {
          const [{ Film }, { encode }] = await Promise.all([import("./film.js"), import("./saving.js")]);
          const noise = new ImageData(480, 4 * 360);
          for (let i = 0; i < noise.data.length; i++) noise.data[i] = i % 4 < 3 ? Math.random() * 256 : 255;
          const picture = new OffscreenCanvas(noise.width, noise.height);
          picture.getContext("2d").putImageData(noise, 0, 0);
          const start = performance.now();
          let [last, longest] = [start, 0];
          const beat = setInterval(() => {
            longest = Math.max(longest, performance.now() - last);
            last = performance.now();
          }, 5);
          await encode("gif", new Film(picture, ["clip"], 4));
          const end = performance.now();
          clearInterval(beat);
          return [end - start, Math.max(longest, end - last)];
        }""")
        self.assertLess(longest, took / 2)

    def test_what_a_browser_cannot_write_is_not_offered_and_told(self):
        page = self.open(tiny.shaken("vgan_one_stream"), script="delete window.VideoEncoder")
        self.assertEqual(page.locator(".save button").all_inner_texts(), ["WEBP", "GIF"])
        self.assertEqual(
            page.locator("#limits li").all_inner_texts(),
            ["Clips cannot be saved as MP4: this browser does not make it."],
        )


if __name__ == "__main__":
    tf.test.main()
