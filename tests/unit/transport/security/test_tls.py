"""Certificates, keys and passwords that are replaced while clients use them; the peer is a real one on loopback."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from cryptography.hazmat.primitives import serialization

from broker.probe import HOST
from transport.settings.connection import ConnectionSettings

AUTHORITY = trustme.CA()
SERVER = AUTHORITY.issue_cert(HOST)
RUNNERS: dict[str, Callable[[Coroutine[Any, Any, None]], None]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}


class Files:
    """A client's own; `write` replaces them as an operator's tool would."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.certificate = folder / "ca.pem", folder / "certificate.pem"
        self.key, self.password = folder / "key.pem", folder / "password"
        AUTHORITY.cert_pem.write_to_path(self.ca)

    def write(self, name: str, password: str) -> None:
        issued = AUTHORITY.issue_cert(f"{name}.example", common_name=name)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
        locked = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )
        replace(self.certificate, issued.cert_chain_pems[0].bytes())
        replace(self.key, locked)
        replace(self.password, password.encode())

    def line(self) -> ConnectionSettings:
        return ConnectionSettings.model_validate(
            {
                "security_protocol": "SSL",
                "ssl_ca_file": self.ca,
                "ssl_certificate_file": self.certificate,
                "ssl_key_file": self.key,
                "ssl_key_password_file": self.password,
            }
        )


def replace(path: Path, content: bytes) -> None:
    """Write a new file beside, and put it in the old one's place."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)  # noqa: PTH105  # what it is called in every manual


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.write("first", "one")
    return files


async def shown_to_a_server(line: ConnectionSettings) -> str:
    """Connect as the client does, and return the common name that the server saw."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    SERVER.configure_cert(server_side)
    AUTHORITY.configure_trust(server_side)
    server_side.verify_mode = ssl.CERT_REQUIRED
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = dict(part[0] for part in writer.get_extra_info("peercert")["subject"])
        seen.set_result(parts["commonName"])
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(accept, HOST, 0, ssl=server_side) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(HOST, port, ssl=line.client_options()["ssl_context"])
        try:
            return await seen
        finally:
            writer.close()


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_next_connection_shows_a_replaced_certificate(files: Files, runner: str) -> None:
    async def connect_twice() -> None:
        line = files.line()
        assert await shown_to_a_server(line) == "first"
        files.write("second", "two")
        assert await shown_to_a_server(line) == "second"

    RUNNERS[runner](connect_twice())


@pytest.mark.parametrize("broken", ["certificate", "key", "password"])
async def test_a_replacement_that_cannot_be_used_leaves_the_old_files_in_use(
    files: Files, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    line = files.line()
    replace(getattr(files, broken), b"nothing of use")
    assert [await shown_to_a_server(line) for _ in range(2)] == ["first", "first"]
    (warning,) = caplog.records
    assert (warning.levelname, warning.message) == ("WARNING", "replaced files not taken")
    assert warning.__dict__["action"] == "using the old files"
    assert f"SSL_CERTIFICATE_FILE='{files.certificate}'" in warning.__dict__["why"]
    files.write("second", "two")
    assert await shown_to_a_server(line) == "second"


async def test_a_file_that_has_gone_leaves_the_old_one_in_use(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    line = files.line()
    files.key.unlink()
    assert await shown_to_a_server(line) == "first"
    assert "cannot be read: No such file or directory" in caplog.records[0].__dict__["why"]


async def test_an_authority_that_is_taken_away_is_trusted_no_longer(files: Files) -> None:
    line = files.line()
    await shown_to_a_server(line)
    replace(files.ca, trustme.CA().cert_pem.bytes())
    with pytest.raises(ssl.SSLCertVerificationError):
        await shown_to_a_server(line)


async def test_files_that_have_not_changed_are_read_once(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    line = files.line()
    context = line.ssl_context.current
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read again"))
    assert [await shown_to_a_server(line) for _ in range(2)] == ["first", "first"]
    assert line.ssl_context.current is context
