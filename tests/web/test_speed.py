"""How fast the page without a server is: its first clip, and what it draws while a slider moves. It prints figures.

SPEED=1 python -m pytest -s tests/web/test_speed.py
"""

import os
import unittest

import keras
import tensorflow as tf

from export import to_web
from tests.helpers import folders
from tests.web import browser
from tests.web.case import CARD, NODE_MODULES, RUNTIME_MISSING, hosted
from tfvideogan.config import Config
from tfvideogan.models import registry
from tfvideogan.runs import loading
from tfvideogan.weights import shipped

SECONDS = 5
SLOWEST = 15  # seconds to the first clip, beside whatever else this machine does
# Counts what the page asks of the model's worker, which it asks for one clip at a time.
COUNTER = """
  window.asked = 0;
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    if (message.input) window.asked += 1;
    return post.call(this, message, ...rest);
  };
"""
# Moves a slider at every frame that the page draws; clips and frames a second.
DRAG = """async ([label, low, high, seconds]) => {
  const slider = document.querySelector(`[aria-label="${label}"], label input[type=range]`);
  const begun = performance.now();
  const asked = window.asked;
  let frames = 0;
  while (performance.now() - begun < 1000 * seconds) {
    await new Promise(requestAnimationFrame);
    frames += 1;
    slider.value = low + (high - low) * (0.5 + 0.5 * Math.sin(frames / 20));
    slider.dispatchEvent(new Event("input"));
  }
  const passed = (performance.now() - begun) / 1000;
  return [(window.asked - asked) / passed, frames / passed];
}"""
DRAWN = "(document.querySelector('.hero canvas')?.width ?? 300) !== 300"  # A canvas is 300 pixels wide before.


def models():
    """Models by name, with their slider and its ends."""
    for name in ("mdgan-skies-64", "vgan-conditional-sky-32"):
        model, _ = loading.load_model(shipped.path_of(name))
        yield name, model, ("", -0.04, 0.04) if model.takes_wind else None
    keras.utils.set_random_seed(7)
    for size in ({"base_width": 16, "frame_size": 32}, {}):
        config = Config.create(model="vgan", **size).model
        model = registry.build_model(config)
        name = f"Video-GAN of random weights, {config.frame_size} pixels, width {config.base_width}"
        yield name, model, ("Share of the way between the seeds", 0, 1)


@browser.needed
@unittest.skipUnless(os.environ.get("SPEED"), "a minute of measuring: SPEED=1, as make test-web sets it")
@unittest.skipIf(RUNTIME_MISSING, RUNTIME_MISSING)
class SpeedTest(tf.test.TestCase):
    def test_the_first_clip_and_clips_while_a_slider_moves(self):
        folder = folders.of_class(type(self))
        runtime = to_web._read_runtime(str(NODE_MODULES))
        with browser.chromium() as chromium:
            for number, (name, model, slider) in enumerate(models()):
                site = folder / str(number)
                to_web.write(model, site, CARD, "float16", runtime)
                with hosted(site) as address:
                    self.measure(chromium, address, name, slider)

    def measure(self, chromium, address: str, name: str, slider) -> None:
        page = chromium.new_page()
        page.add_init_script(COUNTER)
        page.goto(address)
        while not page.evaluate(DRAWN):
            page.wait_for_timeout(20)
        first = page.evaluate("performance.now()") / 1000
        told = f"{name}: first clip after {first:.1f} s"
        if slider:
            page.wait_for_timeout(4000)  # The gallery, or the clip at the photo's own size, is made first.
            clips, frames = page.evaluate(DRAG, [*slider, SECONDS])
            told += f"; {clips:.1f} clips a second while the slider moves, the page draws {frames:.0f} frames a second"
            self.assertGreater(clips, 0.2)
        print(told)
        self.assertLess(first, SLOWEST)
        page.close()


if __name__ == "__main__":
    tf.test.main()
