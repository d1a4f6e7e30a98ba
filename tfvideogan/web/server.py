"""The page over HTTP, by the standard library: its files, and what a model makes of a seed or of a photo.

    GET  /                          the page, and its files by name
    GET  /api/model                 what the model can do (`players.About`), once it is loaded, or what is in its way
    GET  /api/clip?seed=7           its films, as a PNG strip; with to=8&share=0.5 those between two seeds
    POST /api/photo                 a photo of any kind -> the JPEG that the page shows and sends back
    POST /api/prediction?u=0.01&v=0 that JPEG -> its films, as a PNG strip

`save=mp4`, `webp` or `gif` asks for a file of the clip instead. Errors are JSON, {"error": "..."}.

The server is for one person's browser: nothing is kept between requests, no path comes from one, the model runs one
request at a time, and who asks while too many wait is told so.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import logging
import threading
import time
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from tfvideogan.config import UsageError
from tfvideogan.files import picture_reader
from tfvideogan.inference import remote
from tfvideogan.web import answers
from tfvideogan.web.players import Player

logger = logging.getLogger("tfvideogan.web")

FOLDER = Path(__file__).parent
FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("sky-1.jpg", "sky-2.jpg", "sky-3.jpg"), "image/jpeg"),
    **dict.fromkeys(("page.js", "film.js", "seeds.js", "photo.js", "dom.js"), "text/javascript; charset=utf-8"),
}
ENGINE = "engine_server.js"  # The page imports `engine.js`, which is this one here, and another without a server.
MOST_BYTES = 32 * 2**20  # An upload has so many at most.
MOST_WAITING = 16  # So many requests may wait for the model.
MOST_CONNECTIONS = 64
PAUSE = 1.0  # A patient server tries again after so many seconds.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


class RefusedError(Exception):
    """A request that is answered with this status and these words."""

    def __init__(self, status: HTTPStatus, words: str):
        super().__init__(words)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves the page at once, while `load` makes the model in a thread of its own.

    Args:
        host: the address to listen on.
        port: the port, 0 for a free one.
        load: makes the model.
        patient: a UsageError of `load` is told on the page, and `load` is tried again: a model server may come later.

    Attributes:
        failure: what `load` has raised; the server then shuts down.
        trouble: what a patient server's `load` has raised when it was last tried, in a line.
    """

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS  # Linux forgets what comes beyond it, and its sender waits for a minute.

    def __init__(self, host: str, port: int, load: Callable[[], Player], patient: bool = False):
        super().__init__((host, port), Handler)
        self.host = host
        self.player: Player | None = None
        self.failure: Exception | None = None
        self.trouble: str | None = None
        self.work = threading.Lock()
        self.waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._connections = threading.BoundedSemaphore(MOST_CONNECTIONS)
        picture_reader.start()
        threading.Thread(target=self._load, args=(load, patient), daemon=True).start()

    def _load(self, load: Callable[[], Player], patient: bool) -> None:
        while not self.player and not self.failure:
            try:
                self.player = load()
            except Exception as error:
                if patient and isinstance(error, UsageError):
                    self.trouble = str(error)
                    time.sleep(PAUSE)
                else:
                    self.failure = error
                    self.shutdown()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A browser that has gone away is nothing to tell of."""
        logger.debug("a connection broke", exc_info=True)

    def admits(self, host: str) -> bool:
        """Whether a request for this `Host` is meant for this server, and not sent by a page of somebody else's.

        A name that its owner lets point here would otherwise have a browser read the answers ("DNS rebinding").
        """
        try:
            name = urllib.parse.urlsplit(f"//{host}").hostname or ""
            if name in {"localhost", self.host}:
                return True
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.host == "0.0.0.0"


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30  # After so many seconds without a byte a connection is closed.
    server_version, sys_version = "tfvideogan", ""
    pages: ClassVar = {"/": "index.html", **{f"/{name}": name for name in FILES}, "/engine.js": ENGINE}

    def do_GET(self) -> None:
        self._answer({"/api/model": self._model, "/api/clip": self._clip})

    def do_POST(self) -> None:
        self._answer({"/api/photo": self._photo, "/api/prediction": self._prediction})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        logger.debug(format, *args)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Says what is no request, or one of a method that is not served, as all other refusals are said."""
        status = HTTPStatus(code)
        self._send_json({"error": (message or status.phrase)[:200]}, status)

    def _answer(self, routes: dict[str, Callable[[answers.Query], None]]) -> None:
        where = urllib.parse.urlsplit(self.path)
        try:
            self._check_origin()
            if self.command == "GET" and where.path in self.pages:
                name = self.pages[where.path]
                self._send(FILES.get(name, "text/javascript; charset=utf-8"), (FOLDER / name).read_bytes())
            elif where.path in routes:
                routes[where.path](dict(urllib.parse.parse_qsl(where.query)))
            else:
                raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")
        except RefusedError as refused:
            self._send_json({"error": str(refused)}, refused.status)
        except remote.ServerError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_GATEWAY)
        except UsageError as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            logger.exception("a request failed")
            self._send_json({"error": "the server failed; its log says why"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    def _check_origin(self) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not self.server.admits(host):
            raise RefusedError(HTTPStatus.FORBIDDEN, f"this server is not called {host[:100]!r}")
        if origin is not None and origin.partition("://")[2] != host:
            raise RefusedError(HTTPStatus.FORBIDDEN, "this server answers its own page only")

    def _model(self, query: answers.Query) -> None:  # noqa: ARG002
        player = self.server.player
        if player is None:
            self._send_json({"trouble": self.server.trouble})
        else:
            self._send_json({"about": dataclasses.asdict(player.about), "formats": list(answers.SAVED)})

    def _clip(self, query: answers.Query) -> None:
        self._send(*self._in_turn(lambda: answers.clip(self._player(), query)))

    def _photo(self, query: answers.Query) -> None:  # noqa: ARG002
        content = self._body()
        answer, note = self._in_turn(lambda: answers.photo(content))
        self._send(*answer, headers={"X-Note": note})

    def _prediction(self, query: answers.Query) -> None:
        content = self._body()
        self._send(*self._in_turn(lambda: answers.prediction(self._player(), query, content)))

    def _player(self) -> Player:
        if self.server.player is None:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the model is still loading")
        return self.server.player

    def _in_turn(self, work: Callable[[], Any]) -> Any:
        """One request after another reaches the model; those that come while too many wait are refused."""
        if not self.server.waiting.acquire(blocking=False):
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests are waiting; try again in a moment")
        try:
            with self.server.work:
                return work()
        finally:
            self.server.waiting.release()

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "an upload must tell its length")
        if len(length) > 20 or int(length) > MOST_BYTES:  # Python makes no integer of thousands of digits.
            self.close_connection = True  # What would follow is not read.
            most = f"{MOST_BYTES // 2**20} MB"
            raise RefusedError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the file is over {most}, which is the most that is taken"
            )
        return self.rfile.read(int(length))

    def _send_json(self, content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        if status != HTTPStatus.OK:
            self.close_connection = True  # The rest of a refused upload is not taken for the next request.
        self._send("application/json", json.dumps(content).encode(), status)

    def _send(
        self, kind: str, content: bytes, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, **(headers or {}), "Content-Type": kind}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
