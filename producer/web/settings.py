"""The settings of ``digit-producer serve``: ``DIGITS_WEB__…``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from producer.web.gateway.settings import GatewaySettings
from transport.settings.kafka import ClientSettings
from transport.settings.logs import LogSettings
from transport.settings.reports import ReportSettings

MIB: Final = 1024 * 1024
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""How a token may be signed: only with a pair of keys, so that a server that checks tokens cannot make them."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListenSettings(_Group):
    """Where the server listens, and how long it waits for a connection."""

    host: str = Field(default="127.0.0.1", description="Address that the server listens on.")
    published_on_loopback: bool = Field(
        default=False,
        description="Only this machine can reach the address, such as a container's port that is published on "
        "127.0.0.1. Then no key is needed, under the name localhost.",
    )
    port: int = Field(default=8000, ge=0, le=65_535, description="Port that the server listens on; 0: any free port.")
    cert_file: Path | None = Field(default=None, description="Certificate chain (PEM) of the server: with it, TLS.")
    key_file: Path | None = Field(default=None, description="Private key (PEM) of that certificate.")
    connections: int = Field(default=2_000, ge=1, description="Connections at once; further ones are refused with 503.")
    at_once: int = Field(
        default=512,
        ge=1,
        description="Requests with images under way at once; further ones are refused, and then an eighth counts until "
        "none was refused for a second.",
    )
    header_bytes: int = Field(default=32 * 1024, ge=1024, le=MIB, description="Most bytes of a request's headers.")
    header_s: float = Field(default=10, gt=0, le=3_600, description="Time for a client to send a request's headers.")
    body_s: float = Field(default=60, gt=0, le=3_600, description="Time for a client to send a request's body.")
    write_s: float = Field(
        default=30, gt=0, le=3_600, description="A client that takes nothing of its answer for longer is disconnected."
    )
    keep_alive_s: int = Field(default=30, ge=1, le=3_600, description="An idle connection is closed after this time.")
    stop_s: int = Field(default=20, ge=1, le=3_600, description="Time after SIGTERM for requests to end.")

    @model_validator(mode="after")
    def _a_certificate_has_a_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: set both or none")
        return self

    @property
    def on_loopback(self) -> bool:
        """True if only this machine can connect."""
        if self.published_on_loopback:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class UploadSettings(_Group):
    """What a client may send."""

    body_bytes: int = Field(
        default=16 * MIB, ge=1, le=1024 * MIB, description="Most bytes of a request's body, and of its record."
    )
    files: int = Field(default=1_000, ge=1, le=100_000, description="Most files of a request.")
    bodies_bytes: int = Field(
        default=256 * MIB, ge=1, description="Most bytes of all bodies that have arrived and are not yet sent to Kafka."
    )


class OidcSettings(_Group):
    """Bearer tokens of an OpenID provider."""

    issuer: str = Field(default="", description="Issuer whose tokens are accepted, as in their claim iss. Empty: none.")
    audience: str = Field(default="", description="Audience that a token must have; required with an issuer.")
    jwks_url: str = Field(
        default="", description="Where the issuer's public keys are. Empty: as its openid-configuration says."
    )
    tenant_claim: str = Field(default="sub", min_length=1, description="The claim that names the tenant.")
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256", "PS256", "ES256", "EdDSA"), min_length=1, description="How tokens may be signed (JSON list)."
    )
    leeway_s: float = Field(default=30, ge=0, le=300, description="How far the issuer's clock may differ.")

    @model_validator(mode="after")
    def _an_issuer_has_an_audience(self) -> Self:
        if bool(self.issuer) != bool(self.audience):
            raise ValueError("issuer and audience belong together: set both or none")
        return self


class AccessSettings(_Group):
    """Who may send requests, and how many."""

    anonymous: bool = Field(
        default=False, description="Accept requests without a key or token also on an address that is not loopback."
    )
    keys_file: Path | None = Field(default=None, description="File of API keys (docs/http.md). Changes take effect.")
    oidc: OidcSettings = OidcSettings()
    per_s: float = Field(default=0, ge=0, description="Requests of a client per second; 0: any. A key may differ.")
    burst: int = Field(default=100, ge=1, description="Requests that a client may send at once beyond that rate.")
    at_once: int = Field(default=512, ge=1, description="Requests of a client that may be under way at once.")
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins of other sites whose pages may use the API (JSON list). Empty: none."
    )

    @property
    def configured(self) -> bool:
        """True if clients must show who they are."""
        return self.keys_file is not None or bool(self.oidc.issuer)


class WebSettings(_Group):
    """All settings of the front door."""

    listen: ListenSettings = ListenSettings()
    upload: UploadSettings = UploadSettings()
    access: AccessSettings = AccessSettings()
    gateway: GatewaySettings = GatewaySettings()
    wait_s: float = Field(
        default=10, gt=0, le=300, description="How long a request waits for its answers; then it is answered with 202."
    )
    live_s: float = Field(
        default=3_600, gt=0, description="A stream of live results ends after this time; readers connect again."
    )

    @model_validator(mode="after")
    def _others_show_who_they_are(self) -> Self:
        if not (self.access.configured or self.access.anonymous or self.listen.on_loopback):
            raise ValueError(
                "listen.host is not loopback, so clients must show who they are: set access.keys_file or "
                "access.oidc.issuer; or listen.published_on_loopback=true in a container whose port is published on "
                "127.0.0.1; or access.anonymous=true if something else protects the server"
            )
        return self


class ServeSettings(ReportSettings, ClientSettings):
    """The settings that ``digit-producer serve`` reads."""

    log: LogSettings = LogSettings()
    web: WebSettings = WebSettings()
