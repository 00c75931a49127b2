"""How brokers are reached: addresses, encryption, and who we are. The one place that turns it into client options.

A secret is read from a variable or, better, from a file that the variable of the same name with ``_FILE`` names.
What does not go together, and a file that cannot be used, stops the start: nothing is left out in silence, since
a line that was meant to be encrypted must not be a plain one.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from contract.secret_files import UnusableError, secret, show_certificate, shown, trusting

_Value = TypeVar("_Value")
_Optional = Annotated[_Value | None, BeforeValidator(lambda value: None if value == "" else value)]  # not 0, not False
"""An empty variable is one that is not set, as compose files have it."""


class SecurityProtocol(StrEnum):
    """Whether the line is encrypted, and whether there is a user with a password."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(StrEnum):
    """How a user proves to know the password."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"


class LineSettings(BaseModel):
    """The line to the brokers: part of ``DIGITS_KAFKA__…``."""

    # Unknown names are `contract.settings.load`'s business: it knows the variable's name, and what stands beside it.
    model_config = ConfigDict(extra="ignore", frozen=True)

    bootstrap_servers: Annotated[
        str,
        Field(
            pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s,:@/]+):\d+(,(\[[0-9a-fA-F:.]+\]|[^\s,:@/]+):\d+)*$",
            description="host:port of brokers, comma-separated.",
        ),
    ] = "localhost:9092"
    security_protocol: SecurityProtocol = Field(
        default=SecurityProtocol.PLAINTEXT,
        description="PLAINTEXT; SSL: encrypted; SASL_SSL: encrypted, and a user; SASL_PLAINTEXT: a user in the clear.",
    )
    sasl_mechanism: _Optional[SaslMechanism] = Field(
        default=None, description="SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN: how the user proves to be the one."
    )
    sasl_username: _Optional[str] = Field(default=None, description="The user.")
    sasl_password: _Optional[SecretStr] = Field(default=None, description="The user's password.")
    sasl_password_file: _Optional[Path] = Field(
        default=None, description="A file that holds the user's password; a line break at its end does not count."
    )
    ssl_ca_file: _Optional[Path] = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; by default the system's.",
    )
    ssl_certificate_file: _Optional[Path] = Field(
        default=None, description="PEM file of our own certificate and its chain, where brokers ask for one."
    )
    ssl_key_file: _Optional[Path] = Field(
        default=None, description="PEM file of its key; by default the key stands in the certificate's file."
    )
    ssl_key_password: _Optional[SecretStr] = Field(default=None, description="Password of the key, if it has one.")
    ssl_key_password_file: _Optional[Path] = Field(default=None, description="A file that holds the key's password.")
    ssl_check_hostname: bool = Field(
        default=True, description="Whether a broker's certificate must be for the name that it is reached by."
    )

    @model_validator(mode="after")
    def _can_be_used(self) -> Self:
        complaints = list(self._contradictions())
        if not complaints:
            try:
                self.client_options()
            except UnusableError as error:
                complaints = [str(error)]
        if complaints:
            raise ValueError("; ".join(complaints))
        return self

    @property
    def is_encrypted(self) -> bool:
        """True if the line is TLS."""
        return self.security_protocol in {SecurityProtocol.SSL, SecurityProtocol.SASL_SSL}

    @property
    def has_user(self) -> bool:
        """True if there is a user with a password."""
        return self.security_protocol in {SecurityProtocol.SASL_SSL, SecurityProtocol.SASL_PLAINTEXT}

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that every aiokafka client takes to reach the cluster."""
        return {"bootstrap_servers": self.bootstrap_servers.split(","), **self.security_options()}

    def security_options(self) -> dict[str, Any]:
        """The part of `client_options` that a single connection takes, too."""
        options: dict[str, Any] = {"security_protocol": self.security_protocol.value}
        if self.is_encrypted:
            options["ssl_context"] = self.ssl_context
        if self.has_user and self.sasl_mechanism is not None:
            options["sasl_mechanism"] = self.sasl_mechanism.value
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_secret
        return options

    @cached_property
    def sasl_secret(self) -> str | None:
        """The user's password, wherever it came from."""
        return secret(self.sasl_password, self.sasl_password_file, "SASL_PASSWORD_FILE")

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """What the client trusts and shows."""
        # Made once: every partition has a producer, and to read the system's authorities takes 20 ms.
        context = trusting(self.ssl_ca_file)
        context.check_hostname = self.ssl_check_hostname
        if self.ssl_certificate_file is not None:
            password = secret(self.ssl_key_password, self.ssl_key_password_file, "SSL_KEY_PASSWORD_FILE")
            show_certificate(context, self.ssl_certificate_file, self.ssl_key_file, password)
        return context

    def _contradictions(self) -> Iterator[str]:
        for name in ("sasl_password", "ssl_key_password"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                yield f"{name.upper()} and {name.upper()}_FILE are both set: set one of them"
        if not self.has_user:
            yield from self._without_effect("sasl_", SecurityProtocol.SASL_SSL)
        else:
            yield from self._missing_of_user()
        if not self.is_encrypted:
            yield from self._without_effect(
                "ssl_", SecurityProtocol.SASL_SSL if self.has_user else SecurityProtocol.SSL
            )
        elif self.ssl_certificate_file is None:
            for name in ("ssl_key_file", "ssl_key_password", "ssl_key_password_file"):
                if getattr(self, name) is not None:
                    yield f"{name.upper()} has no effect without SSL_CERTIFICATE_FILE"

    def _missing_of_user(self) -> Iterator[str]:
        needs = f"SECURITY_PROTOCOL={self.security_protocol} needs"
        if self.sasl_mechanism is None:
            yield f"{needs} SASL_MECHANISM: {', '.join(SaslMechanism)}"
        if self.sasl_username is None:
            yield f"{needs} SASL_USERNAME"
        if self.sasl_password is None and self.sasl_password_file is None:
            yield f"{needs} SASL_PASSWORD_FILE, or SASL_PASSWORD"

    def _without_effect(self, prefix: str, protocol: SecurityProtocol) -> Iterator[str]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name.startswith(prefix) and value != field.default:
                variable = name.upper()
                yield (
                    f"{variable}={shown(variable, value)} has no effect with "
                    f"SECURITY_PROTOCOL={self.security_protocol}: set SECURITY_PROTOCOL={protocol}"
                )
