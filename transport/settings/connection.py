"""How to reach the brokers: addresses, encryption and user. This module turns the settings into client options.

A secret is read from a variable or, better, from a file that the variable of the same name with ``_FILE`` names.
Settings that contradict each other, and files that cannot be used, stop the start: if one were ignored, a connection
that should be encrypted could be a plain one.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from transport.security.sasl import Optional, SaslMechanism, SaslSettings, SecurityProtocol
from transport.security.secret_files import UnusableError, client_context, load_certificate, read_secret
from transport.security.tls import ReloadingContext

__all__ = ["ConnectionSettings", "SaslMechanism", "SecurityProtocol"]


class ConnectionSettings(SaslSettings):
    """The connection to the brokers: part of ``DIGITS_KAFKA__…``."""

    ssl_ca_file: Optional[Path] = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; by default the system's.",
    )
    ssl_certificate_file: Optional[Path] = Field(
        default=None, description="PEM file of our own certificate and its chain, where brokers ask for one."
    )
    ssl_key_file: Optional[Path] = Field(
        default=None, description="PEM file of its key; by default the key stands in the certificate's file."
    )
    ssl_key_password: Optional[SecretStr] = Field(default=None, description="Password of the key, if it has one.")
    ssl_key_password_file: Optional[Path] = Field(default=None, description="A file that holds the key's password.")
    ssl_check_hostname: bool = Field(
        default=True, description="Whether a broker's certificate must be for the name that it is reached by."
    )

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        problems = [*self.sasl_problems(), *self._tls_problems()]
        if not problems:
            try:
                self.client_options()
            except UnusableError as error:
                problems = [str(error)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def is_encrypted(self) -> bool:
        """True if the connection uses TLS."""
        return self.security_protocol in {SecurityProtocol.SSL, SecurityProtocol.SASL_SSL}

    def client_options(self) -> dict[str, Any]:
        """The keyword arguments by which every aiokafka client reaches the cluster."""
        return {"bootstrap_servers": self.bootstrap_servers.split(","), **self.security_options()}

    def security_options(self) -> dict[str, Any]:
        """The part of `client_options` that a single connection accepts, too."""
        options: dict[str, Any] = {"security_protocol": self.security_protocol.value}
        if self.is_encrypted:
            options["ssl_context"] = self.ssl_context
        return options | self.sasl_options()

    @cached_property
    def ssl_context(self) -> ReloadingContext:
        """The client's TLS context; replaced files are read again for the next connection."""
        # One for all clients: every partition has a producer, and reading the system's authorities takes 20 ms.
        files = (self.ssl_ca_file, self.ssl_certificate_file, self.ssl_key_file, self.ssl_key_password_file)
        return ReloadingContext(self._tls_context, [file for file in files if file is not None])

    def _tls_context(self) -> ssl.SSLContext:
        context = client_context(self.ssl_ca_file)
        context.check_hostname = self.ssl_check_hostname
        if self.ssl_certificate_file is not None:
            password = read_secret(self.ssl_key_password, self.ssl_key_password_file, "SSL_KEY_PASSWORD_FILE")
            load_certificate(context, self.ssl_certificate_file, self.ssl_key_file, password)
        return context

    def _tls_problems(self) -> Iterator[str]:
        if self.ssl_key_password is not None and self.ssl_key_password_file is not None:
            yield "SSL_KEY_PASSWORD and SSL_KEY_PASSWORD_FILE are both set: set one of them"
        if not self.is_encrypted:
            encrypted = SecurityProtocol.SASL_SSL if self.has_user else SecurityProtocol.SSL
            yield from self.unused_settings(
                "ssl_", f"SECURITY_PROTOCOL={self.security_protocol}: set SECURITY_PROTOCOL={encrypted}"
            )
        elif self.ssl_certificate_file is None:
            for name in ("ssl_key_file", "ssl_key_password", "ssl_key_password_file"):
                if getattr(self, name) is not None:
                    yield f"{name.upper()} has no effect without SSL_CERTIFICATE_FILE"
