"""The files of a secure connection: certificates, keys and passwords. Errors name the setting."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from pydantic import SecretStr

MASK: Final = "********"


class UnusableError(Exception):
    """A file cannot be used; the message names its setting and the reason."""


def read_secret(value: SecretStr | None, path: Path | None, name: str) -> str | None:
    """Read a secret from its variable or its file; a line break at the end of the file is removed.

    Raises
    ------
    UnusableError
        The file cannot be read, is empty or no text; `name` is its setting.
    """
    if path is None:
        return None if value is None else value.get_secret_value()
    try:
        text = _read(path, name).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Not "from" the error, which contains the bytes of the secret.
        raise UnusableError(f"{name} names a file that is no UTF-8 text") from None
    if not text:
        raise UnusableError(f"{name} names a file that is empty")
    return text


def client_context(ca_file: Path | None, name: str = "SSL_CA_FILE") -> ssl.SSLContext:
    """Return a client's TLS context that trusts only the authorities of a file, or those of the system.

    `name` is the file's setting.

    Raises
    ------
    UnusableError
        The file cannot be read, or holds no certificate.
    """
    if ca_file is not None:
        _read(ca_file, name)
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise UnusableError(f"{name}='{ca_file}' holds no certificate in PEM") from error


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path | None, password: str | None) -> None:
    """Load the certificate that a context sends to brokers that request one.

    Raises
    ------
    UnusableError
        A file cannot be read or is no certificate or key, the key is another one, or the password is wrong.
    """
    _read(certificate, "SSL_CERTIFICATE_FILE")
    where = f"SSL_CERTIFICATE_FILE='{certificate}'"
    if key is not None:
        _read(key, "SSL_KEY_FILE")
        where += f" with SSL_KEY_FILE='{key}'"
    asked = False

    def answer() -> str:  # without this function, OpenSSL would ask for the password on the terminal
        nonlocal asked
        asked = True
        return password or ""

    try:
        context.load_cert_chain(certificate, key, answer)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = "the key is not that of the certificate"
        elif asked:
            why = "SSL_KEY_PASSWORD is wrong" if password else "the key has a password: set SSL_KEY_PASSWORD_FILE"
        else:
            why = "there is no certificate with its key in PEM"
        raise UnusableError(f"{where} cannot be used: {why}") from error


def masked(name: str, value: object) -> str:
    """Return a setting's value for messages; masked if it may be a secret, also instead of a file's name."""
    return MASK if is_secret(name) or "-----BEGIN" in str(value) else f"'{value}'"


def is_secret(name: str) -> bool:
    """Return whether a setting holds a secret, or names the file of one."""
    return "PASSWORD" in name or "SECRET" in name


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableError(
            f"{name}={masked(name, path)} cannot be read: {error.strerror}"
        ) from None  # it has the path
