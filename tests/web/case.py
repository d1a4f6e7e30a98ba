"""Pages without a server, for tests in a real Chromium."""

import contextlib
import functools
import http.server
import tempfile
import threading
import unittest
from pathlib import Path

import tensorflow as tf

from export import to_web
from tests.helpers import ROOT
from tests.web import browser

NODE_MODULES = ROOT / "node_modules"
RUNTIME_MISSING = "" if (NODE_MODULES / "@litertjs").is_dir() else "no LiteRT.js: make test-web installs it by npm"
CARD = {"name": "tiny", "description": "a model", "limits": []}


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *message):
        """Nothing is written for a request."""


@contextlib.contextmanager
def hosted(folder: Path):
    """The address of a folder on a plain server of files."""
    with http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@browser.needed
@unittest.skipIf(RUNTIME_MISSING, RUNTIME_MISSING)
class SiteCase(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = cls.enterClassContext(browser.chromium())
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="tfvideogan-site-")))

    def open(self, model, others: tuple[str, ...] = (), runtime: bool = True, answer=None, script: str = "", **options):
        """The page of a model, which asks for nothing but its own files and those at `others`, which `answer` gives."""
        output = Path(tempfile.mkdtemp(dir=self.folder)) / "site"
        options = {
            "precision": "float32",
            "runtime": to_web._read_runtime(str(NODE_MODULES)) if runtime else {},
        } | options
        to_web.write(model, output, CARD, **options)
        self.site = output
        address = self.enterContext(hosted(output))
        context = self.browser.new_context()
        self.addCleanup(context.close)
        for other in others:
            context.route(f"{other}**", answer)
        page = context.new_page()
        page.add_init_script(script)
        page.set_default_timeout(1000 * browser.PATIENCE)
        known = (address, f"blob:{address}", "data:", *others)
        page.on("pageerror", lambda error: self.fail(f"{error}"))
        page.on("request", lambda request: self.assertStartsWith(request.url, known))
        page.on("console", lambda message: self.assertNotIn("Content Security Policy", message.text))
        page.goto(address)
        page.wait_for_selector("#play > *, #alert:not([hidden])")
        return page
