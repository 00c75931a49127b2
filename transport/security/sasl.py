"""The brokers' addresses, and how we authenticate to them: by a password or by a token."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from transport.security import msk_iam
from transport.security.oidc import ClientCredentials
from transport.security.secret_files import UnusableError, masked, read_secret
from transport.security.tokens import TokenProvider
from transport.security.values import checked_pairs, checked_servers, checked_token_endpoint, read_pairs, without_blanks

_Value = TypeVar("_Value")
Optional = Annotated[_Value | None, BeforeValidator(lambda value: None if value == "" else value)]  # not 0, not False
"""An empty variable counts as not set, as in compose files."""


class SecurityProtocol(StrEnum):
    """Whether the connection is encrypted, and whether a user authenticates."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(StrEnum):
    """How a user authenticates."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"
    OAUTHBEARER = "OAUTHBEARER"
    AWS_MSK_IAM = "AWS_MSK_IAM"

    @property
    def protocol_name(self) -> str:
        """The mechanism's name in the protocol; AWS IAM uses that of a token."""
        return self.OAUTHBEARER.value if self.uses_token else self.value

    @property
    def uses_token(self) -> bool:
        """True if the user authenticates by a token, not by a password."""
        return self in {self.OAUTHBEARER, self.AWS_MSK_IAM}


class SaslSettings(BaseModel):
    """Brokers and user: part of ``DIGITS_KAFKA__…``."""

    # `transport.settings.kafka.load` reports unknown names.
    model_config = ConfigDict(extra="ignore", frozen=True)

    bootstrap_servers: Annotated[
        str,
        BeforeValidator(without_blanks),
        AfterValidator(checked_servers),
        Field(description="host:port of brokers, comma-separated."),
    ] = "localhost:9092"
    security_protocol: SecurityProtocol = Field(
        default=SecurityProtocol.PLAINTEXT,
        description="PLAINTEXT; SSL: encrypted; SASL_SSL: encrypted, and a user; SASL_PLAINTEXT: a user in the clear.",
    )
    sasl_mechanism: Optional[SaslMechanism] = Field(
        default=None,
        description="SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN: by a password; OAUTHBEARER: by a token of an OpenID "
        "provider; AWS_MSK_IAM: by AWS credentials (needs the extra msk-iam).",
    )
    sasl_username: Optional[str] = Field(default=None, description="The user.")
    sasl_password: Optional[SecretStr] = Field(default=None, description="The user's password.")
    sasl_password_file: Optional[Path] = Field(
        default=None, description="A file that holds the user's password; a line break at its end does not count."
    )
    sasl_oauthbearer_token_endpoint_url: Optional[Annotated[str, AfterValidator(checked_token_endpoint)]] = Field(
        default=None, description="Where tokens are issued: https, or http on loopback."
    )
    sasl_oauthbearer_client_id: Optional[str] = Field(default=None, description="The client's id at the provider.")
    sasl_oauthbearer_client_secret: Optional[SecretStr] = Field(default=None, description="The client's secret.")
    sasl_oauthbearer_client_secret_file: Optional[Path] = Field(
        default=None, description="A file that holds the client's secret; it is read again for every token."
    )
    sasl_oauthbearer_scope: Optional[str] = Field(
        default=None, description="The scopes to ask for, separated by blanks, where the provider wants some."
    )
    sasl_oauthbearer_parameters: Optional[Annotated[str, AfterValidator(checked_pairs)]] = Field(
        default=None, description="More parameters of the token request: name=value, comma-separated (audience=kafka)."
    )
    sasl_oauthbearer_extensions: Optional[Annotated[str, AfterValidator(checked_pairs)]] = Field(
        default=None, description="SASL extensions that the brokers want to see: name=value, comma-separated."
    )
    sasl_oauthbearer_ca_file: Optional[Path] = Field(
        default=None,
        description="PEM file of the authorities that sign the token endpoint's certificate; by default the system's.",
    )
    sasl_aws_region: Optional[str] = Field(default=None, description="The region of the MSK cluster.")

    @property
    def has_user(self) -> bool:
        """True if there is a user."""
        return self.security_protocol in {SecurityProtocol.SASL_SSL, SecurityProtocol.SASL_PLAINTEXT}

    @property
    def uses_token(self) -> bool:
        """True if the user authenticates by a token."""
        return self.has_user and self.sasl_mechanism is not None and self.sasl_mechanism.uses_token

    def sasl_options(self) -> dict[str, Any]:
        """The keyword arguments by which a client or a single connection authenticates."""
        if not self.has_user or self.sasl_mechanism is None:
            return {}
        options: dict[str, Any] = {"sasl_mechanism": self.sasl_mechanism.protocol_name}
        if self.uses_token:
            return options | {"sasl_oauth_token_provider": self.token_provider}
        return options | {"sasl_plain_username": self.sasl_username, "sasl_plain_password": self.sasl_secret}

    @cached_property
    def sasl_secret(self) -> str | None:
        """The user's password, from its variable or its file."""
        return read_secret(self.sasl_password, self.sasl_password_file, "SASL_PASSWORD_FILE")

    @cached_property
    def token_provider(self) -> TokenProvider:
        """The token provider of all clients: every partition has a producer, and all of them use the same token."""
        if self.sasl_mechanism is SaslMechanism.AWS_MSK_IAM:
            if not msk_iam.is_installed():
                raise UnusableError(msk_iam.NOT_INSTALLED)
            return TokenProvider(msk_iam.MskIam(str(self.sasl_aws_region)).fetch, {})
        scope = {"scope": self.sasl_oauthbearer_scope} if self.sasl_oauthbearer_scope else {}
        credentials = ClientCredentials(
            str(self.sasl_oauthbearer_token_endpoint_url),
            str(self.sasl_oauthbearer_client_id),
            self._client_secret,
            scope | read_pairs(self.sasl_oauthbearer_parameters),
            self.sasl_oauthbearer_ca_file,
        )
        credentials.check()
        return TokenProvider(credentials.fetch, read_pairs(self.sasl_oauthbearer_extensions))

    def _client_secret(self) -> str:
        value, path = self.sasl_oauthbearer_client_secret, self.sasl_oauthbearer_client_secret_file
        return read_secret(value, path, "SASL_OAUTHBEARER_CLIENT_SECRET_FILE") or ""

    def sasl_problems(self) -> Iterator[str]:
        """Name the missing settings of the user, and those that are set without effect."""
        for name in ("sasl_password", "sasl_oauthbearer_client_secret"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                yield f"{name.upper()} and {name.upper()}_FILE are both set: set one of them"
        if not self.has_user:
            yield from self.unused_settings(
                "sasl_",
                f"SECURITY_PROTOCOL={self.security_protocol}: set SECURITY_PROTOCOL={SecurityProtocol.SASL_SSL}",
            )
        elif self.sasl_mechanism is None:
            yield f"SECURITY_PROTOCOL={self.security_protocol} needs SASL_MECHANISM: {', '.join(SaslMechanism)}"
        else:
            yield from self._mechanism_problems(self.sasl_mechanism)

    def _mechanism_problems(self, mechanism: SaslMechanism) -> Iterator[str]:
        needed, optional = _OF_MECHANISM[mechanism]
        for name in needed:
            file = f"{name}_file" if f"{name}_file" in type(self).model_fields else None
            if getattr(self, name) is None and (file is None or getattr(self, file) is None):
                either = f"{file.upper()}, or {name.upper()}" if file else name.upper()
                yield f"SASL_MECHANISM={mechanism} needs {either}"
        allowed = {"sasl_mechanism", *needed, *(f"{name}_file" for name in needed), *optional}
        yield from self.unused_settings("sasl_", f"SASL_MECHANISM={mechanism}", allowed)

    def unused_settings(self, prefix: str, given: str, allowed: set[str] | None = None) -> Iterator[str]:
        """Name the settings with a prefix that are set and not allowed; `given` is why they have no effect."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name.startswith(prefix) and value != field.default and name not in (allowed or set()):
                variable = name.upper()
                yield f"{variable}={masked(variable, value)} has no effect with {given}"


_PASSWORD: Final = (("sasl_username", "sasl_password"), ())
_OF_MECHANISM: Final[dict[SaslMechanism, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    SaslMechanism.SCRAM_SHA_512: _PASSWORD,
    SaslMechanism.SCRAM_SHA_256: _PASSWORD,
    SaslMechanism.PLAIN: _PASSWORD,
    SaslMechanism.OAUTHBEARER: (
        (
            "sasl_oauthbearer_token_endpoint_url",
            "sasl_oauthbearer_client_id",
            "sasl_oauthbearer_client_secret",
        ),
        (
            "sasl_oauthbearer_scope",
            "sasl_oauthbearer_parameters",
            "sasl_oauthbearer_extensions",
            "sasl_oauthbearer_ca_file",
        ),
    ),
    SaslMechanism.AWS_MSK_IAM: (("sasl_aws_region",), ()),
}
"""The settings that each mechanism needs (in a variable or its file), and the optional ones."""
