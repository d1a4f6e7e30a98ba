"""The page's server: what it answers, what it refuses and how it says so."""

import contextlib
import http.client
import io
import json
import socket
import threading
import time
import zlib
from unittest import mock

import numpy as np
import pillow_heif
import tensorflow as tf
from PIL import Image

from export import to_web
from tests.helpers import converted, folders, tiny
from tfvideogan import load_exported
from tfvideogan.web import answers, server
from tfvideogan.web.players import FilePlayer, RunPlayer


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer)
    return buffer.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


class ServerCase(tf.test.TestCase):
    """A server of a model that is made once a class by `load(folder)`."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = folders.of_class(cls, "tfvideogan-web-")
        cls.server = server.Server("localhost", 0, lambda: cls.load(cls.folder))
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.server_close)
        cls.addClassCleanup(cls.server.shutdown)
        while cls.server.player is None:
            assert cls.server.failure is None, cls.server.failure
            time.sleep(0.02)

    def ask(self, where: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("localhost", self.server.server_port, timeout=60)
        connection.request("GET" if body is None else "POST", where, body, {k.title(): v for k, v in headers.items()})
        answer = connection.getresponse()
        content, told = answer.read(), dict(answer.getheaders())
        connection.close()
        return answer.status, content, told

    def told(self, where: str, body: bytes | None = None, status: int = 400, **headers: str) -> str:
        """The words of a refusal."""
        received, content, _ = self.ask(where, body, **headers)
        self.assertEqual(received, status, content)
        return json.loads(content)["error"]


class SeedsTest(ServerCase):
    @classmethod
    def load(cls, folder):
        (folder / "vgan.tflite").write_bytes(converted.tflite("vgan"))
        return FilePlayer(folder / "vgan.tflite")

    def test_the_page_and_all_that_it_names_is_there_under_a_strict_policy(self):
        names = ["", *server.FILES, "engine.js"]
        for name in names:
            status, content, headers = self.ask(f"/{name}")
            self.assertEqual(status, 200, name)
            self.assertNotEmpty(content)
            self.assertStartsWith(headers["Content-Security-Policy"], "default-src 'none'; script-src 'self';")
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
        files = {path.name for path in server.FOLDER.iterdir() if path.suffix != ".py" and path.is_file()}
        # `export.to_web` alone has these.
        of_a_site = {"engine_browser.js", *to_web._PAGE} - server.FILES.keys()
        self.assertEqual(files, {*server.FILES, server.ENGINE, *of_a_site})

    def test_a_seed_gives_the_clip_of_load_exported(self):
        _, content, _ = self.ask("/api/clip?seed=-5")
        expected = load_exported(self.folder / "vgan.tflite").generate(seed=-5)[0]
        self.assertAllEqual(decoded(content).reshape(expected.shape), expected)

    def test_a_walk_starts_at_one_seed_and_ends_at_the_other(self):
        ends = [decoded(self.ask(f"/api/clip?seed={seed}")[1]) for seed in (3, 4)]
        for share in (0, 1):
            _, content, _ = self.ask(f"/api/clip?seed=3&to=4&share={share}")
            self.assertAllClose(decoded(content).astype(int), ends[share].astype(int), atol=1)
        between = decoded(self.ask("/api/clip?seed=3&to=4&share=0.5")[1])
        self.assertNotAllEqual(between, ends[0])
        self.assertAllEqual(decoded(self.ask("/api/clip?seed=3&to=3&share=0.5")[1]), ends[0])

    def test_clips_are_saved_in_every_format(self):
        for name, kind in answers.SAVED.items():
            status, content, headers = self.ask(f"/api/clip?seed=3&save={name}")
            self.assertEqual((status, headers["Content-Type"]), (200, kind))
            if name != "mp4":
                self.assertEqual(Image.open(io.BytesIO(content)).size, (256, 256))
        self.assertIn(b"ftyp", content if name == "mp4" else self.ask("/api/clip?seed=3&save=mp4")[1][:16])

    def test_wrong_requests_are_told_in_words(self):
        self.assertIn("seed must be an integer", self.told("/api/clip"))
        self.assertIn("Received: 9223372036854775808", self.told("/api/clip?seed=9223372036854775808"))
        self.assertIn("share must be", self.told("/api/clip?seed=1&to=2&share=nan"))
        self.assertIn("from 0 to 1", self.told("/api/clip?seed=1&to=2&share=2"))
        self.assertIn("save must be one of", self.told("/api/clip?seed=1&save=exe"))
        self.assertIn("from seeds", self.told("/api/prediction?u=0&v=0", b"x"))

    def test_no_path_comes_from_a_request(self):
        for path in ("/../server.py", "/server.py", "/%2e%2e/config.py", "//etc/passwd", "/api", "/players.py"):
            self.assertEqual(self.ask(path)[0], 404, path)

    def test_other_names_and_other_pages_are_refused(self):
        port = self.server.server_port
        for host in ("evil.example", f"evil.example:{port}", "10.0.0.1", "", "["):
            self.assertIn("is not called", self.told("/api/model", status=403, host=host))
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
            self.assertEqual(self.ask("/api/model", host=host)[0], 200)
        self.assertIn("its own page only", self.told("/api/photo", b"x", status=403, origin="https://evil.example"))
        self.assertEqual(self.ask("/api/model", origin=f"http://localhost:{port}")[0], 200)

    def test_uploads_are_limited_before_they_are_read(self):
        connection = http.client.HTTPConnection("localhost", self.server.server_port, timeout=60)
        connection.putrequest("POST", "/api/photo")
        connection.putheader("Content-Length", str(server.MOST_BYTES + 1))
        connection.endheaders()
        answer = connection.getresponse()
        self.assertEqual(answer.status, 413)
        self.assertIn("32 MB", json.loads(answer.read())["error"])
        connection.close()
        connection.putrequest("POST", "/api/photo")
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 411)
        connection.close()

    def test_whatever_is_answered_has_the_policy_and_errors_are_json(self):
        port = self.server.server_port
        long = b"POST /api/photo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000
        for status, request in (
            (400, b"GARBAGE"),
            (400, b"GET / HTTP/x"),
            (404, b"GET /nope HTTP/1.1\r\nHost: localhost"),
            (413, long),
            (501, b"PUT /api/photo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0"),
            (501, b"HEAD / HTTP/1.1\r\nHost: localhost"),
        ):
            with socket.create_connection(("localhost", port), timeout=60) as connection:
                connection.sendall(request + b"\r\n\r\n")
                content = b"".join(iter(lambda connection=connection: connection.recv(65536), b""))
            head, _, body = content.decode().partition("\r\n\r\n")
            if status == 400:  # It is taken for the first version of HTTP, which had no headers.
                body = head
            else:
                self.assertEqual(int(head.split()[1]), status, head)
                self.assertIn("Content-Security-Policy: default-src 'none'", head)
            self.assertEqual(list(json.loads(body or '{"error": 0}')), ["error"], request)
            self.assertEqual(not body, request.startswith(b"HEAD"))

    def test_as_many_connections_wait_as_may_be_open(self):
        """Those that nobody has accepted yet would be forgotten, and their requests wait until they are sent again."""
        with contextlib.ExitStack() as opened:
            busy = opened.enter_context(server.Server("localhost", 0, lambda: self.server.player))
            for _ in range(server.MOST_CONNECTIONS):
                opened.enter_context(socket.create_connection(("127.0.0.1", busy.server_port), timeout=5))

    def test_requests_in_flight_are_limited(self):
        with self.server.work:  # The model is busy, and nobody's turn comes.
            waiting = [
                threading.Thread(target=self.ask, args=("/api/clip?seed=1",)) for _ in range(server.MOST_WAITING)
            ]
            for thread in waiting:
                thread.start()
            end = time.monotonic() + 30
            while self.server.waiting._value and time.monotonic() < end:
                time.sleep(0.01)
            self.assertIn("too many requests", self.told("/api/clip?seed=1", status=503))
            self.assertEqual(self.ask("/api/model")[0], 200)
        for thread in waiting:
            thread.join()
        self.assertEqual(self.ask("/api/clip?seed=1")[0], 200)


class PhotosTest(ServerCase):
    @classmethod
    def load(cls, folder):
        return RunPlayer(tiny.run_folder(folder / "run", "mdgan", 2))

    def test_the_page_is_told_what_the_model_can_do(self):
        about = json.loads(self.ask("/api/model")[1])["about"]
        self.assertEqual(about["films"], ["stage 1", "stage 2"])
        self.assertEqual((about["predicts"], about["wind"], about["frames"], about["size"]), (True, False, 4, 32))

    def test_photos_of_every_kind_are_taken_or_the_reason_is_told(self):
        picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, [30, 40, 3], np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6  # It is to be turned by 90 degrees.
        for name, content, size in (
            ("png", encoded(picture, "PNG"), (40, 30)),
            ("grey", encoded(picture.convert("L"), "JPEG"), (40, 30)),
            ("alpha", encoded(picture.convert("RGBA"), "PNG"), (40, 30)),
            ("exif", encoded(picture, "JPEG", exif=exif), (30, 40)),
            ("one pixel", encoded(picture.resize((1, 1)), "PNG"), (1, 1)),
            ("large", encoded(picture.resize((4000, 3000)), "JPEG"), (720, 540)),
            ("20 MB", encoded(picture.resize((2800, 2500)), "PNG", compress_level=0), (720, 643)),
            ("HEIC", heic(picture), (40, 30)),
            ("gif", encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(90)]), (40, 30)),
        ):
            status, shown, headers = self.ask("/api/photo", content)
            self.assertEqual((status, headers["Content-Type"]), (200, "image/jpeg"), name)
            self.assertEqual(Image.open(io.BytesIO(shown)).size, size, name)
            self.assertEqual(headers["X-Note"], "It has 2 pictures, of which the first is taken." * (name == "gif"))
        self.assertEqual(
            self.told("/api/photo", b"a text that was renamed to .jpg"), "not a picture that Pillow can read"
        )
        self.assertIn("damaged picture", self.told("/api/photo", encoded(picture, "JPEG")[:400]))
        self.assertIn("pixels are more than", self.told("/api/photo", self._bomb()))
        told = self.told("/api/photo", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1").lower()
        self.assertRegex(told, "heif|not a picture")  # With pillow-heif it is read, and damaged.
        self.assertNotIn("/", self.told("/api/photo", b""))

    def test_a_prediction_is_that_of_the_model(self):
        photo = self.ask("/api/photo", encoded(Image.new("RGB", (50, 40), (90, 130, 200)), "PNG"))[1]
        strip = decoded(self.ask("/api/prediction?u=0&v=0", photo)[1])
        self.assertEqual(strip.shape, (4 * 32, 2 * 32, 3))
        clip = load_exported(self.folder / "run").predict(decoded(photo))[0]
        self.assertAllClose(strip[:, 32:].reshape(clip.shape).astype(int), clip.astype(int), atol=1)
        sheet = decoded(self.ask("/api/prediction?u=0&v=0&own_size=1", photo)[1])
        self.assertEqual(sheet.shape, (40, 4 * 50, 3))

    def test_a_sheet_of_few_frames_is_as_wide_as_any(self):
        sheet = decoded(answers._sheet(np.full([2, 16, 16, 3], 255, np.uint8))[1])
        self.assertEqual(sheet.shape, (16, 4 * 16, 3))
        self.assertEqual((sheet[:, :32].min(), sheet[:, 32:].max()), (255, 0))

    def test_wrong_predictions_are_told_in_words(self):
        photo = self.ask("/api/photo", encoded(Image.new("RGB", (50, 40)), "PNG"))[1]
        self.assertIn("from -1 to 1", self.told("/api/prediction?u=7&v=0", photo))
        self.assertIn("u must be a number", self.told("/api/prediction?u=inf", photo))
        self.assertIn("has prepared", self.told("/api/prediction", b"\xff\xd8nothing"))
        large = encoded(Image.new("RGB", (1000, 10)), "JPEG")
        self.assertIn("720 pixels at most", self.told("/api/prediction", large))
        self.assertIn("from photos", self.told("/api/clip?seed=1"))
        vast = encoded(Image.new("RGB", (5000, 5000)), "JPEG")
        with mock.patch.object(Image.Image, "convert", side_effect=AssertionError("decoded before it is refused")):
            self.assertIn("720 pixels at most", self.told("/api/prediction", vast))

    def test_a_thin_photo_is_saved_too(self):
        photo = self.ask("/api/photo", encoded(Image.new("RGB", (720, 3), (90, 130, 200)), "PNG"))[1]
        self.assertEqual(self.ask("/api/prediction?u=0&v=0&own_size=1&save=webp", photo)[0], 200)

    @staticmethod
    def _bomb() -> bytes:
        """A PNG whose header declares more pixels than are taken."""
        content = bytearray(encoded(Image.new("L", (1, 1)), "PNG"))
        content[16:24] = (10_000).to_bytes(4, "big") * 2
        content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
        return bytes(content)


if __name__ == "__main__":
    tf.test.main()
