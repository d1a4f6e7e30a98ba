"""The page without a server, in a real Chromium: its clips are those of Python."""

import io
import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from export import conversion, operators, to_web
from tests.helpers import ROOT, tiny
from tests.helpers.commands import run
from tests.web.case import NODE_MODULES, SiteCase
from tfvideogan.config import UsageError
from tfvideogan.data import clips
from tfvideogan.inference import animation, latents


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(picture: np.ndarray) -> bytes:
    return encoded(Image.fromarray(picture), "PNG")


def photo(height: int, width: int) -> np.ndarray:
    """Soft colours with a fine pattern, uint8 [height, width, 3]."""
    y, x = np.mgrid[:height, :width]
    soft = np.stack([60 + 90 * x / width, 90 + 60 * y / height, 0 * x + 120], axis=-1)
    return np.uint8(soft + 12 * ((x + y) % 2)[..., None])


class SiteTest(SiteCase):
    def test_the_runtime_of_the_pinned_address_is_checked_by_its_hashes(self):
        for damage, told in ((b"", ""), (b"\n", "is not the file that this page was made with")):

            def answer(route, *, damage=damage):
                name = route.request.url.removeprefix(f"{to_web.ADDRESS}@litertjs/").replace(f"@{to_web.VERSION}", "")
                headers = {"Access-Control-Allow-Origin": "*"}
                route.fulfill(body=(NODE_MODULES / "@litertjs" / name).read_bytes() + damage, headers=headers)

            page = self.open(tiny.shaken("vgan"), (to_web.ADDRESS,), runtime=False, answer=answer)
            self.assertIn(told, page.locator("#alert").inner_text())
            self.assertEqual(page.locator("#alert").is_visible(), bool(damage))

    def values(self, page, call: str, films: int) -> list[np.ndarray]:
        """The films that a call of the engine gives, float32 [T, H, W, 3] each."""
        got = page.evaluate(f"import('./engine.js').then(async (engine) => [...(await {call}).values])")
        strip = np.float32(got).reshape(tiny.FRAMES, -1, 3)
        size = int((strip.shape[1] / films) ** 0.5)
        return np.split(strip.reshape(tiny.FRAMES, size, films * size, 3), films, axis=2)

    def test_clips_of_seeds_and_between_them_are_pythons(self):
        model = tiny.shaken("vgan")
        page = self.open(model)
        self.assertEqual(page.locator(".panels figcaption").all_inner_texts(), ["Foreground", "Mask", "Background"])
        for seed, to, share in ((7, 7, 0), (-5, 2**63 - 1, 0.3)):
            start, end = (latents.normal(one, model.sampling_inputs[0].shape[-1]) for one in (seed, to))
            made = model(tf.constant(latents.great_circle(start, end, [share])), training=False)
            clip, foreground, mask, background = self.values(page, f"engine.clip({seed}n, {to}n, {share})", 4)
            self.assertAllClose(clip, made["clip"][0], rtol=0, atol=1e-4)
            self.assertAllClose(foreground, made["foreground"][0], rtol=0, atol=1e-4)
            self.assertAllClose(mask[..., :1] / 2 + 0.5, made["mask"][0], rtol=0, atol=1e-4)
            self.assertAllClose(background[:1], made["background"][0], rtol=0, atol=1e-4)
            self.assertGreater(np.std(clip), 0.01)

    def test_clips_of_the_photos_own_size_are_pythons(self):
        picture, wind = photo(50, 71), np.float32([0.11, -0.06])
        for model in (tiny.changing(2, drift="fused"), tiny.changing(1), tiny.shaken("vgan_conditional")):
            page = self.open(model)
            page.route("**/photo.png", lambda route: route.fulfill(body=png(picture), content_type="image/png"))
            call = f"engine.enlarge(await (await fetch('photo.png')).blob(), {wind.tolist()})"
            address = page.evaluate(
                f"import('./engine.js').then(async (engine) => {{ const film = await {call};"
                "const blob = await film.picture.convertToBlob();"
                "return Array.from(new Uint8Array(await blob.arrayBuffer())); })"
            )
            sheet = np.asarray(Image.open(io.BytesIO(bytes(address))).convert("RGB")).astype(int)
            self.assertEqual(sheet.shape, (50, 4 * 71, 3))
            expected = animation.Animator(model, full_size=True).clip(picture, wind if model.takes_wind else None)
            self.assertGreater(np.abs(np.diff(expected.astype(int), axis=0)).mean(), 0.5)
            difference = np.abs(np.stack(np.split(sheet, 4, axis=1)) - expected)
            self.assertLess(difference.mean(), 0.1)
            self.assertLessEqual(difference.max(), 3)

    def test_photos_of_every_kind_are_taken_or_the_reason_is_told(self):
        page, exif = self.open(tiny.shaken("vgan_conditional")), Image.Exif()
        exif[0x0112] = 6  # It is to be turned by 90 degrees.
        picture = Image.fromarray(photo(30, 40))
        clear = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
        for name, content, expected in (
            ("grey", encoded(picture.convert("L"), "JPEG"), [40, 30]),
            ("alpha", encoded(clear, "PNG"), [40, 30]),
            ("exif", encoded(picture, "JPEG", exif=exif), [30, 40]),
            ("one pixel", encoded(picture.resize((1, 1)), "PNG"), [1, 1]),
            ("20 MB", encoded(picture.resize((2800, 2500)), "PNG", compress_level=0), [720, 643]),
            ("gif", encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(90)]), [40, 30]),
            ("text", b"a text that was renamed to .jpg", "Sorry: this is not a picture that the browser can read."),
        ):
            page.unroute("**/photo")
            page.route("**/photo", lambda route, _, content=content: route.fulfill(body=content))
            made = page.evaluate("""async () => {
              const engine = await import("./engine.js");
              try {
                const file = await (await fetch("photo")).blob();
                const shown = await createImageBitmap((await engine.photo(file)).picture);
                const canvas = new OffscreenCanvas(1, 1).getContext("2d");
                canvas.drawImage(shown, 0, 0);
                return [[shown.width, shown.height], canvas.getImageData(0, 0, 1, 1).data[0]];
              } catch (error) {
                return [error.message, 0];
              }
            }""")
            self.assertEqual(made[0], expected, name)
            if name == "alpha":
                self.assertEqual(made[1], 255)

    def test_a_photo_is_decoded_once_each_time_and_let_go(self):
        model = tiny.shaken("vgan_conditional")
        page = self.open(model)
        page.route("**/photo.png", lambda route: route.fulfill(body=png(photo(20, 30)), content_type="image/png"))
        widths = page.evaluate("""async () => {
          const [engine, picture] = [await import("./engine.js"), await (await fetch("photo.png")).blob()];
          const [decode, made] = [createImageBitmap, []];
          window.createImageBitmap = async (file) => {
            const bitmap = await decode(file);
            if (file === picture) made.push(bitmap);
            return bitmap;
          };
          await engine.photo(picture);
          await engine.predict(picture, [0, 0]);
          return made.map(({ width }) => width);
        }""")
        self.assertEqual(widths, [0, 0])  # A bitmap that is closed has no width.

    def test_float16_is_near_keras(self):
        model = tiny.shaken("vgan")
        made = model(latents.normal(7, 100)[None], training=False)
        clip, foreground, _, _ = self.values(self.open(model, precision="float16"), "engine.clip(7n)", 4)
        self.assertAllClose(clip, made["clip"][0], rtol=0, atol=5e-3)
        self.assertAllClose(foreground, made["foreground"][0], rtol=0, atol=5e-3)
        self.assertNotAllClose(clip, made["clip"][0], rtol=0, atol=1e-7)

    def test_int8_is_that_of_pythons_interpreter_and_near_keras(self):
        model = tiny.contrasting("vgan")
        calibration = conversion.calibration_inputs(model, None, "")
        clip, *_ = self.values(self.open(model, precision="int8", calibration=calibration), "engine.clip(7n)", 4)
        row = latents.normal(7, 100)[None]
        interpreter = Interpreter(str(self.site / "model.tflite"))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row)
        interpreter.invoke()
        films = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        size = model.frame_size
        for expected in (films[0, :, :size].reshape(clip.shape), model(row, training=False)["clip"][0].numpy()):
            self.assertGreater(np.std(expected), 0.1)
            self.assertGreater(10 * np.log10(4 / max(np.mean((clip - expected) ** 2), 1e-9)), 38)
        self.assertEqual(operators.float_share(self.site / "model.tflite"), 0.0)

    def test_clips_of_drifting_photos_are_pythons(self):
        self.check_photo(tiny.changing(2, drift="on"), ["base", "clip"])

    def test_clips_of_photos_are_pythons(self):
        self.check_photo(tiny.shaken("vgan_conditional"), ["clip", "foreground"])

    def check_photo(self, model, names: list[str]) -> None:
        """Compares the first films of a photo, which has the model's size and no loss."""
        size = model.frame_size
        photo = np.random.default_rng(0).integers(0, 256, [size, size, 3], np.uint8)
        frame, wind = clips.to_float(photo)[None], np.float32([[0.3, -0.21]])
        made = model((frame, wind) if model.takes_wind else frame, training=False)
        page = self.open(model)
        page.route("**/photo.png", lambda route: route.fulfill(body=png(photo), content_type="image/png"))
        call = f"engine.predict(await (await fetch('photo.png')).blob(), {wind[0].tolist()})"
        films = self.values(page, call, 2 if "base" in made else 4)
        for name, film in zip(names, films, strict=False):
            self.assertAllClose(film, made[name][0], rtol=0, atol=1e-4)
            self.assertGreater(np.std(film), 0.01)


class CommandTest(tf.test.TestCase):
    def test_a_site_in_int8(self):
        folder = Path(self.create_tempdir().full_path)
        flags = [f"--run_dir={tiny.run_folder(folder / 'run', 'vgan')}", f"--output={folder / 'site'}"]
        done = run("to_web", *flags, "--precision=int8", package="export")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(operators.float_share(folder / "site" / "model.tflite"), 0.0)
        self.assertLess({"index.html", "engine.js", "model.json", *to_web._PAGE},
                        {file.name for file in (folder / "site").iterdir()})  # fmt: skip

    def test_calibration_is_for_int8(self):
        done = run("to_web", "--weights=mdgan-skies-64", "--output=site", "--calibration=skies", package="export")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
        self.assertIn("--calibration is for --precision=int8", done.stderr)


class RuntimeTest(tf.test.TestCase):
    def test_its_version_is_written_down_once_and_the_documents_have_it(self):
        named = re.findall(r"@litertjs/core@([0-9.]+[0-9])", (ROOT / "docs" / "page.md").read_text())
        self.assertEqual(named, [to_web.VERSION])
        self.assertNotIn(to_web.VERSION, (ROOT / "Makefile").read_text())

    def test_a_folder_without_the_runtime_or_with_another_version_is_refused(self):
        folder = Path(self.create_tempdir().full_path)
        with self.assertRaisesRegex(UsageError, "there is no "):
            to_web._read_runtime(str(folder))
        file = folder / "@litertjs" / next(iter(to_web.RUNTIME))
        file.parent.mkdir(parents=True)
        file.write_text("another")
        with self.assertRaisesRegex(UsageError, "of another version"):
            to_web._read_runtime(str(folder))


if __name__ == "__main__":
    tf.test.main()
