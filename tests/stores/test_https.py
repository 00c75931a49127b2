"""A model on an HTTPS server that redirects."""

from __future__ import annotations

import contextlib
import functools
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest
import trustme

from broker.probe import HOST
from engine.registry.fetch import Fetched, fetch
from engine.registry.stores import StoreUnavailable
from tests.harness.models import archive_of, version_of

ONE = version_of("1")
ARCHIVE: Final = archive_of(ONE)


class Handler(BaseHTTPRequestHandler):
    """Redirects to an address if it has one; else it sends the archive."""

    def __init__(self, *arguments: object, to: str | None) -> None:
        self._to = to
        super().__init__(*arguments)  # type: ignore[arg-type]  # the server's

    def do_GET(self) -> None:
        content = b"" if self._to else ARCHIVE
        self.send_response(302 if self._to else 200)
        if self._to:
            self.send_header("Location", self._to)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextlib.contextmanager
def serving(certificate: trustme.LeafCert | None, to: str | None = None) -> Iterator[str]:
    """Serve on loopback, by TLS if there is a certificate, and give the URL."""
    with ThreadingHTTPServer((HOST, 0), functools.partial(Handler, to=to)) as server:
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.LeafCert:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority.issue_cert(HOST)


def fetched(location: str, cache: Path, timeout_s: float) -> Fetched:
    return fetch(location, manifest_sha256=None, cache=cache, timeout_s=timeout_s)


def test_a_redirect_to_another_https_server_is_followed(certificate: trustme.LeafCert, tmp_path: Path) -> None:
    with serving(certificate) as other, serving(certificate, f"{other}/other.zip?signature=secret") as first:
        found = fetched(f"{first}/digits.zip", tmp_path / "cache", 60)
    assert (found.files.manifest_sha256, found.warnings) == (ONE.manifest_sha256, ())


def test_a_redirect_to_a_server_without_tls_is_not_followed(certificate: trustme.LeafCert, tmp_path: Path) -> None:
    with (
        serving(None) as other,
        serving(certificate, f"{other}/other.zip?signature=secret") as first,
        pytest.raises(StoreUnavailable) as refused,
    ):
        fetched(f"{first}/digits.zip", tmp_path / "cache", 1)
    assert "secret" not in str(refused.value)


def test_a_server_of_an_unknown_authority_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with serving(trustme.CA().issue_cert(HOST)) as url, pytest.raises(StoreUnavailable):
        fetched(f"{url}/digits.zip", tmp_path / "cache", 1)
