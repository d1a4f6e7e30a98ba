"""The page in a real Chromium: what a person sees, does and is told."""

import io
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import tiny
from tests.web import browser
from tfvideogan.web import server
from tfvideogan.web.players import RunPlayer

DRAWN = """(canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return data.some((value, i) => i % 4 < 3 && value > 0);
}"""
# Keeps the bitmaps that a page makes. One that is closed has no width.
BITMAPS = """
  const decode = createImageBitmap;
  window.bitmaps = [];
  window.createImageBitmap = async (...values) => {
    const bitmap = await decode(...values);
    bitmaps.push(bitmap);
    return bitmap;
  };
"""
OPEN_BITMAPS = "bitmaps.filter(({ width }) => width).length"
PIXELS = """(canvas) => [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].join()"""


def photo_file(name: str, size: tuple[int, int] = (80, 60)) -> dict:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, [6, 8, 3], np.uint8)
    Image.fromarray(noise).resize(size).save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


@browser.needed
class PageCase(tf.test.TestCase):
    """Pages of a server whose model `load(folder)` makes, once a class."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = cls.enterClassContext(browser.chromium())
        folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="tfvideogan-web-")))
        cls.server = server.Server("localhost", 0, lambda: cls.load(folder))
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)
        cls.address = f"http://localhost:{cls.server.server_port}/"

    def open(self, width: int = 1280, **options):
        """A page that has its model; what it asks for elsewhere, and its errors, fail the test."""
        context = self.browser.new_context(viewport={"width": width, "height": 844}, **options)
        self.addCleanup(context.close)
        page = context.new_page()
        page.set_default_timeout(1000 * browser.PATIENCE)
        page.add_init_script(BITMAPS)
        page.on("pageerror", lambda error: self.fail(f"{error}"))
        page.on("request", lambda request: self.assertStartsWith(request.url, (self.address, "blob:", "data:")))
        page.on("console", lambda message: self.assertNotIn("Content Security Policy", message.text))
        page.goto(self.address)
        page.wait_for_selector("#play > *")
        return page

    def until(self, page, condition: str) -> None:
        """Waits for a condition; Playwright's own `wait_for_function` wants an eval that the page's policy forbids."""
        end = time.monotonic() + browser.PATIENCE
        while not page.evaluate(condition):
            self.assertLess(time.monotonic(), end, condition[:200])
            page.wait_for_timeout(50)

    def drawn(self, page, selector: str) -> None:
        """Waits until the canvases show something."""
        end = time.monotonic() + browser.PATIENCE
        while not all(canvas.evaluate(DRAWN) for canvas in page.query_selector_all(selector)):
            self.assertLess(time.monotonic(), end, selector)
            page.wait_for_timeout(50)

    def saved(self, page, name: str) -> bytes:
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {name}").click()
        return Path(download.value.path()).read_bytes()

    def look(self, page) -> None:
        """What holds for every page: it fits, it can be read, and every control has a name."""
        self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), page.viewport_size["width"])
        self.assertEmpty(page.evaluate(browser.LOW_CONTRAST))
        names = page.eval_on_selector_all(
            "button, input", "nodes => nodes.map(n => n.ariaLabel ?? n.labels?.[0]?.innerText ?? '' + n.innerText)"
        )
        self.assertNotIn("", [name.strip() or "image" for name in names if name is not None])


class SeedsPageTest(PageCase):
    @classmethod
    def load(cls, folder):
        return RunPlayer(tiny.run_folder(folder / "run", "vgan"))

    def test_a_gallery_the_streams_and_a_walk_by_keyboard(self):
        page = self.open()
        self.until(page, "document.querySelectorAll('.gallery canvas').length === 12")
        self.drawn(page, ".gallery canvas, .hero canvas")
        self.assertEqual(page.locator(".panels figcaption").all_inner_texts(), ["Foreground", "Mask", "Background"])
        page.get_by_role("button", name="Pause").click()
        page.wait_for_timeout(100)
        before = page.eval_on_selector(".hero canvas", PIXELS)
        page.get_by_role("slider").focus()
        for _ in range(30):
            page.keyboard.press("ArrowRight")
        self.assertEqual(page.get_by_role("slider").get_attribute("aria-valuetext"), "30 % of the way")
        self.until(page, f"({PIXELS})(document.querySelector('.hero canvas')) !== '{before}'")
        page.get_by_role("button", name="Show seed 4").click()
        self.assertEqual(page.get_by_label("From seed").input_value(), "4")
        page.get_by_role("button", name="Walk to seed 9").click()
        self.assertEqual(page.get_by_label("to seed", exact=True).input_value(), "9")
        page.get_by_role("button", name="More").click()
        page.get_by_role("button", name="Show seed 12").wait_for()

    def test_films_that_nobody_sees_any_more_are_let_go(self):
        page = self.open()
        page.get_by_role("button", name="More").click()
        page.get_by_role("button", name="Show seed 23").wait_for()
        page.get_by_role("slider").focus()
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        self.until(page, f"bitmaps.length > 26 && {OPEN_BITMAPS} === 12 + 1")

    def test_clips_are_saved(self):
        page = self.open()
        self.assertIn(b"ftyp", self.saved(page, "MP4")[:16])
        self.assertStartsWith(self.saved(page, "WEBP"), b"RIFF")
        self.assertStartsWith(self.saved(page, "GIF"), b"GIF8")

    def test_it_can_be_read_on_a_phone_and_in_the_dark(self):
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                page = self.open(width, color_scheme=scheme)
                self.look(page)
                self.assertLen(set(page.eval_on_selector_all(".walk label", "all => all.map(n => n.offsetTop)")), 1)

    def test_nothing_moves_for_those_who_ask_for_less_motion(self):
        page = self.open(reduced_motion="reduce")
        self.drawn(page, ".hero canvas")
        before = page.eval_on_selector(".hero canvas", PIXELS)
        page.wait_for_timeout(400)
        self.assertEqual(page.eval_on_selector(".hero canvas", PIXELS), before)
        page.get_by_role("button", name="Play", exact=True).click()
        self.until(page, f"({PIXELS})(document.querySelector('.hero canvas')) !== '{before}'")

    def test_the_last_row_of_a_folded_film_may_be_short(self):
        sides = self.open().evaluate("""async () => {
          const { Film } = await import("./film.js");
          const side = ([frames, rows]) => new Film(new OffscreenCanvas(4 * 5, rows * 3), ["clip"], frames, 4);
          return [[3, 1], [6, 2], [8, 2]].map(side).map(({ width, height }) => [width, height]);
        }""")
        self.assertEqual(sides, [[5, 3]] * 3)


class PhotoPageTest(PageCase):
    @classmethod
    def load(cls, folder):
        return RunPlayer(tiny.run_folder(folder / "run", "mdgan", 2, drift="on"))

    def test_a_photo_comes_to_life_in_both_stages_and_follows_an_arrow(self):
        page = self.open()
        self.drawn(page, ".hero canvas")
        self.assertEqual(page.locator(".panels figcaption").all_inner_texts()[:2], ["Stage 1", "Stage 2"])
        box = page.locator(".arrow").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
        page.mouse.down()
        with page.expect_response(lambda answer: "own_size" in answer.url and "u=-0.0" in answer.url) as asked:
            page.mouse.move(box["x"] + box["width"] * 0.42, box["y"] + box["height"] * 0.5, steps=3)
            page.mouse.up()
        self.assertEqual(asked.value.status, 200)
        self.assertStartsWith(page.get_by_label("Across").get_attribute("aria-valuetext"), "-2.0 %")
        page.get_by_label("Down").focus()
        with page.expect_request(lambda request: "v=0.0" in request.url):
            page.keyboard.press("ArrowRight")
        self.assertIn(b"ftyp", self.saved(page, "MP4")[:16])
        self.assertGreater(page.evaluate("bitmaps.length"), 5)
        self.until(page, f"{OPEN_BITMAPS} === 2")  # those of the clip at the photo's own size, and of both stages

    def test_photos_are_chosen_dropped_and_pasted_and_refusals_are_told(self):
        page = self.open()
        self.drawn(page, ".hero canvas")
        page.set_input_files("#file", photo_file("mine.png", (60, 90)))
        self.until(page, "document.querySelector('.hero canvas').style.aspectRatio === '60 / 90'")
        text = {"name": "text.jpg", "mimeType": "image/jpeg", "buffer": b"a text"}
        page.set_input_files("#file", text)
        self.assertEqual(page.get_by_role("alert").inner_text(), "Sorry: not a picture that Pillow can read.")
        for kind, field in (("drop", "dataTransfer"), ("paste", "clipboardData")):
            size = (70, 50) if kind == "drop" else (50, 50)
            page.evaluate(
                """async ([kind, field, bytes]) => {
                  const transfer = new DataTransfer();
                  transfer.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
                  const Kind = kind === "drop" ? DragEvent : ClipboardEvent;
                  document.body.dispatchEvent(new Kind(kind, { [field]: transfer, bubbles: true, cancelable: true }));
                }""",
                [kind, field, list(photo_file("a", size)["buffer"])],
            )
            ratio = f"{size[0]} / {size[1]}"
            self.until(page, f"document.querySelector('.hero canvas').style.aspectRatio === '{ratio}'")
        self.assertFalse(page.get_by_role("alert").is_visible())

    def test_a_clip_that_cannot_be_drawn_at_its_own_size_is_told_and_not_waited_for(self):
        page = self.open()
        page.route("**/api/prediction*own_size*", lambda route: route.fulfill(status=500, body='{"error": "no room"}'))
        page.get_by_label("Down").focus()
        page.keyboard.press("ArrowRight")
        page.get_by_text("Sorry: no room.").wait_for()
        self.until(page, "document.querySelector('.note').textContent === ''")

    def test_a_picture_is_taken_by_the_camera(self):
        page = self.open(permissions=["camera"])
        page.get_by_role("button", name="Camera").click()
        self.until(page, "document.querySelector('video')?.videoWidth > 0")
        page.get_by_role("button", name="Take the picture").click()
        self.until(page, "document.querySelector('.hero canvas').style.aspectRatio.startsWith('640')")
        self.assertEqual(page.locator("dialog").count(), 0)

    def test_a_camera_that_shows_nothing_yet_takes_no_picture(self):
        page = self.open(permissions=["camera"])
        page.evaluate("void (navigator.mediaDevices.getUserMedia = async () => new MediaStream())")
        page.get_by_role("button", name="Camera").click()
        self.assertTrue(page.get_by_role("button", name="Take the picture").is_disabled())
        page.get_by_role("button", name="Cancel").click()

    def test_an_example_that_cannot_be_loaded_is_told(self):
        page = self.open()
        page.route("**/sky-2.jpg", lambda route: route.abort())
        page.get_by_role("button", name="Built-in sky 2").click()
        page.get_by_text("Sorry: the picture cannot be loaded.").wait_for()

    def test_it_can_be_read_on_a_phone_and_in_the_dark(self):
        for width in (390, 1280):
            for scheme in ("light", "dark"):
                page = self.open(width, color_scheme=scheme)
                self.look(page)
                self.assertLen(set(page.eval_on_selector_all(".wind input", "all => all.map(n => n.offsetWidth)")), 1)


if __name__ == "__main__":
    tf.test.main()
