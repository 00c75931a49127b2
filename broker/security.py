"""A cluster with security on: what its files, users and settings are.

::

    FOLDER/security/
      ca.pem  ca.key          the authority that signs all certificates
      node.pem                of the nodes, valid for the address 127.0.0.1 and for no name
      NAME.pem                certificate and key of a client: its principal is User:NAME
      NAME.password           of the user NAME, for SCRAM and PLAIN
      issuer.key  jwks.json   of the issuer of OAUTHBEARER tokens: its signing key, and the keys for the brokers

Only the nodes and the user `ADMIN` may do anything without an ACL that allows it.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from broker.errors import NotInstalledError
from broker.probe import HOST

if TYPE_CHECKING:
    import trustme

ADMIN: Final = "admin"
"""The user who may do everything."""
USERS: Final = (ADMIN, "service", "producer")
"""Those who have a password."""
NODE: Final = "kafka"
"""As whom the nodes know each other, by certificate."""
ISSUER: Final = "https://issuer.invalid"
AUDIENCE: Final = "kafka"
"""What a token for OAUTHBEARER has to say of where it comes from and whom it is for; its subject is the user."""
KEY_ID: Final = "issuer"
"""Of the only key that signs tokens."""
MAX_REAUTH_MS: Final = 60 * 60 * 1000
"""A connection with a token ends with the token (KIP-368), which brokers look at only if this is set."""
SCRAM: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")


class Security:
    """Certificates and passwords of a cluster; made at its first start, then kept.

    Parameters
    ----------
    folder
        Of the cluster.

    Raises
    ------
    NotInstalledError
        The library that makes certificates is missing; says what to install.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "security"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._authority = _authority(self.ca_file, self._folder / "ca.key")
        _write_once(self._folder / "node.pem", lambda: self._issue_certificate(NODE, HOST))
        _write_once(self.issuer_key_file, _issuer_key)
        _write_once(self._jwks_file, self._jwks)
        for user in USERS:
            _write_once(self.password_file(user), lambda: secrets.token_urlsafe(24).encode())

    @property
    def ca_file(self) -> Path:
        """What a client has to trust."""
        return self._folder / "ca.pem"

    @property
    def issuer_key_file(self) -> Path:
        """The private key (RSA) that signs tokens; no issuer runs here."""
        return self._folder / "issuer.key"

    @property
    def _jwks_file(self) -> Path:
        return self._folder / "jwks.json"

    def password_file(self, user: str) -> Path:
        """Return where the password of one of `USERS` stands."""
        return self._folder / f"{user}.password"

    def certificate_file(self, name: str) -> Path:
        """Return certificate and key of a client whose principal is ``User:NAME``; made if need be."""
        path = self._folder / f"{name}.pem"
        _write_once(path, lambda: self._issue_certificate(name, f"{name}.invalid"))
        return path

    def client_context(self, name: str = ADMIN) -> ssl.SSLContext:
        """Return what an SSL client needs that comes to the TLS listener as ``User:NAME``."""
        context = ssl.create_default_context(cafile=self.ca_file)
        context.load_cert_chain(self.certificate_file(name))
        return context

    def client_options(self, name: str = ADMIN) -> dict[str, Any]:
        """Return the same as keyword arguments of an aiokafka client."""
        return {"security_protocol": "SSL", "ssl_context": self.client_context(name)}

    def format_options(self) -> list[str]:
        """Return what the storage tool has to know: users live in the metadata log from its first record on."""
        return [
            f"--add-scram={mechanism}=[name={user},password={self.password_file(user).read_text()}]"
            for mechanism in SCRAM
            for user in USERS
        ]

    def jvm_options(self) -> list[str]:
        """Return what a node needs on its command line: Kafka reads keys from nowhere else by default."""
        return [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._jwks_file.as_uri()}"]

    def secure_properties(
        self, properties: dict[str, str], *, scram_port: int, plain_port: int, token_port: int
    ) -> dict[str, str]:
        """Turn security on in a node's settings.

        Parameters
        ----------
        properties
            Of `broker.properties.server_properties`: its address for clients becomes that for mutual TLS, which
            the nodes use themselves.
        scram_port, plain_port
            Where clients come that have a password.
        token_port
            Where clients come that have a token.

        References
        ----------
        https://kafka.apache.org/43/security/
        """
        modules = "org.apache.kafka.common.security"
        known = "".join(f' user_{user}="{self.password_file(user).read_text()}"' for user in USERS)
        added = f"SCRAM://{HOST}:{scram_port},PLAIN://{HOST}:{plain_port},TOKEN://{HOST}:{token_port}"
        oauth = "listener.name.token.oauthbearer"
        return properties | {
            "listeners": f"{properties['listeners']},{added}",
            "advertised.listeners": f"{properties['advertised.listeners']},{added}",
            "listener.security.protocol.map": "CLIENT:SSL,CONTROLLER:SSL,SCRAM:SASL_SSL,PLAIN:SASL_SSL,TOKEN:SASL_SSL",
            "listener.name.client.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._folder / "node.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.scram.sasl.enabled.mechanisms": ",".join(SCRAM),
            **{
                f"listener.name.scram.{each.lower()}.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;"
                for each in SCRAM
            },
            "listener.name.plain.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.plain.plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required{known};",
            "listener.name.token.sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{oauth}.sasl.jaas.config": f"{modules}.oauthbearer.OAuthBearerLoginModule required;",
            f"{oauth}.sasl.server.callback.handler.class": (
                f"{modules}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            f"{oauth}.sasl.oauthbearer.jwks.endpoint.url": self._jwks_file.as_uri(),
            f"{oauth}.sasl.oauthbearer.expected.issuer": ISSUER,
            f"{oauth}.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{oauth}.sasl.oauthbearer.clock.skew.seconds": "0",
            f"{oauth}.connections.max.reauth.ms": str(MAX_REAUTH_MS),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{NODE};User:{ADMIN}",
        }

    def _issue_certificate(self, name: str, identity: str) -> bytes:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # as in `_authority`

        issued = self._authority.issue_cert(identity, common_name=name)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,  # the only one that Kafka reads
            serialization.NoEncryption(),
        )
        return b"".join([key, *(each.bytes() for each in issued.cert_chain_pems)])

    def _jwks(self) -> bytes:
        """Write the issuer's public key as a JSON Web Key Set (RFC 7517)."""
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415  # as in `_authority`
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  # as above

        key = load_pem_private_key(self.issuer_key_file.read_bytes(), password=None)
        assert isinstance(key, RSAPrivateKey)  # noqa: S101  # made below
        public = key.public_key().public_numbers()
        parts = {name: _base64url(number) for name, number in (("n", public.n), ("e", public.e))}
        entry = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, **parts}
        return json.dumps({"keys": [entry]}).encode()


def _issuer_key() -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # as in `_authority`
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  # as above

    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _base64url(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _authority(certificate: Path, key: Path) -> trustme.CA:
    try:
        import trustme  # noqa: PLC0415  # only a cluster with security on needs it
    except ImportError as error:
        raise NotInstalledError("a broker with security on needs trustme: pip install trustme") from error
    if not certificate.exists():
        made = trustme.CA()
        _write_once(key, made.private_key_pem.bytes)
        _write_once(certificate, made.cert_pem.bytes)
    return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())


def _write_once(path: Path, content: Callable[[], bytes]) -> None:
    """Write a file that its owner alone may read, unless it is there."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content())
