"""The page on this machine alone, with fresh draws."""

from __future__ import annotations

import secrets
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from speechaug._lines import encoded
from speechaug.preview.gallery import Gallery

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


class PreviewServer(ThreadingHTTPServer):
    """Serves a page and fresh draws to this machine, at an address that nobody can guess.

    Only the loopback interface is listened to. Requests must name it as their host, so that no other site can reach
    the page through a name of its own (DNS rebinding), and must know the token, so that no other user can.

    Args:
        gallery: what is shown.
        port: to listen at; 0 takes a free one.

    Raises:
        ValueError: if the port is taken.
    """

    daemon_threads = True

    def __init__(self, gallery: Gallery, port: int = 0) -> None:
        """Listen; see the class."""
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise ValueError(f"preview: port must be free, got {port} ({error.strerror})") from error
        self.gallery = gallery
        self.token = secrets.token_urlsafe(16)
        self.drawing = threading.Lock()

    @property
    def hosts(self) -> tuple[str, str]:
        """What a request may call this server."""
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{self.hosts[0]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def answer(self, path: str) -> str | None:
        """Return what is at a path; None where there is nothing.

        Raises:
            ValueError: if a draw is asked for that cannot be.
        """
        parts = urlsplit(path)
        folder, _, name = parts.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(folder.encode(), self.token.encode()) or name not in ("", "draw"):
            return None
        with self.drawing:
            if not name:
                return self.gallery.page(served=True)
            asked = parse_qs(parts.query)
            return self.gallery.card(_whole(asked, "recording"), _whole(asked, "seed"))


def serve(gallery: Gallery, port: int, browse: bool) -> None:
    """Serve until Ctrl-C.

    Args:
        gallery: what is shown.
        port: to listen at; 0 takes a free one.
        browse: whether to open the page in the browser.
    """
    with PreviewServer(gallery, port) as server, suppress(KeyboardInterrupt):
        print(f"Serving {server.address} (this machine only; Ctrl-C ends it)", flush=True)
        if browse:
            webbrowser.open(server.address)
        server.serve_forever()
    print()


def _whole(asked: Mapping[str, Sequence[str]], name: str) -> int:
    text = asked.get(name, [""])[0]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"preview: {name} must be a whole number, got {text!r}")
    return int(text)


class _Handler(BaseHTTPRequestHandler):
    server: PreviewServer

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, "not for this host")
            return
        try:
            page = self.server.answer(self.path)
        except ValueError as error:
            self._send(HTTPStatus.BAD_REQUEST, str(error))
            return
        if page is None:
            self._send(HTTPStatus.NOT_FOUND, "nothing here")
        else:
            self._send(HTTPStatus.OK, page, "html")

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal quiet."""

    def _send(self, status: HTTPStatus, text: str, kind: str = "plain") -> None:
        body = encoded(text)
        self.send_response(status)
        about = {"Content-Type": f"text/{kind}; charset=utf-8", "Content-Length": str(len(body))}
        for name, value in {**about, **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
