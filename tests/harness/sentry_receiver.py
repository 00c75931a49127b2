"""A receiver of Sentry's protocol (envelopes over HTTP) that keeps what it is sent, in a thread of its own."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import threading
from collections.abc import Iterator
from typing import Any, Final

from sentry_sdk.envelope import Envelope

from broker.probe import HOST

KEY: Final = "0123456789abcdef0123456789abcdef"
PROJECT: Final = 42


class Receiver:
    """What has arrived. Made by `running_receiver`."""

    def __init__(self, port: int) -> None:
        self.dsn = f"http://{KEY}@{HOST}:{port}/{PROJECT}"
        self.bodies: list[bytes] = []
        """Of all requests, unpacked."""
        self.asked = threading.Event()
        """Set when the first request has arrived."""
        self.answers = threading.Event()
        """Requests are answered once it is set."""
        self.answers.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events, in the order of their arrival."""
        items = [item for body in self.bodies for item in Envelope.deserialize(body).items]
        assert all(item.type == "event" for item in items)
        return [item.payload.json for item in items if item.payload.json is not None]

    def event(self, **tags: str) -> dict[str, Any]:
        """Return the only event with these tags."""
        (found,) = [event for event in self.events if tags.items() <= event["tags"].items()]
        return found


@contextlib.contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Listen for as long as the context lasts."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.asked.set()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.answers.wait()
            if self.path == f"/api/{PROJECT}/envelope/" and f"sentry_key={KEY}" in self.headers["X-Sentry-Auth"]:
                receiver.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
                status = 200
            else:
                status = 403
            with contextlib.suppress(ConnectionError):  # the sender has ended meanwhile
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, name="sentry receiver")
        thread.start()
        try:
            yield receiver
        finally:
            receiver.answers.set()
            server.shutdown()
            thread.join()
