"""The first connection to the brokers: whether they accept us, and if they do not, the reason in one sentence.

aiokafka's clients log the errors of a connection and retry, so a wrong password seems to be a broker that is down. Here
we connect once to each broker by the client's own connection. A refusal is final and raised as `RefusedError`; a broker
that does not answer raises `UnreachableError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from transport.security.tokens import TokenRefusedError, TokenUnavailableError
from transport.settings.connection import ConnectionSettings, SaslMechanism, SecurityProtocol

Address = tuple[str, int]

TIMEOUT_MS: Final = 5_000
"""The time limit for each step with one broker."""
CLOSE_S: Final = 1.0
NAME_MISMATCH: Final = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
CERT_NOT_YET_VALID, CERT_HAS_EXPIRED = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID and _CERT_HAS_EXPIRED."""
TLS_ALERT: Final = 0x15
"""The first byte of a server's TLS alert, which it sends to a client that does not use TLS."""


class UnreachableError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka ships no types
    """No broker answers; a later attempt may succeed."""

    def __str__(self) -> str:
        return str(self.args[0])


class AdvertisedAddressError(UnreachableError):
    """A broker answers, but no broker can be reached at the addresses that it advertises."""


class NoTokenError(UnreachableError):
    """No token is available now, so no broker accepts us; a later attempt may succeed."""


class RefusedError(Exception):
    """A broker refuses us, or we do not trust its certificate; a retry would not help."""


async def probe_brokers(settings: ConnectionSettings) -> None:
    """Connect to one broker of the settings, and once to every broker that it advertises.

    Raises
    ------
    RefusedError
        The message names the broker, what it refuses, and the setting to check.
    UnreachableError
        No broker answers now.
    """
    known = [_address(server) for server in settings.bootstrap_servers.split(",")]
    named = await _first_metadata(settings, known)
    others = [address for address in named if address not in known]
    answers = await asyncio.gather(*(_probe(settings, *each) for each in others), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    for failure in failures:
        if not isinstance(failure, UnreachableError):
            raise failure
    if failures and len(failures) == len(named):
        names = ", ".join(f"{host}:{port}" for host, port in named)
        raise AdvertisedAddressError(
            f"a broker answers, but no broker can be reached at the addresses that it advertises: {names} "
            "(advertised.listeners)"
        )


async def _first_metadata(settings: ConnectionSettings, addresses: list[Address]) -> list[Address]:
    """Send a metadata request to all addresses at once; return the brokers in the first answer."""
    asked = [asyncio.ensure_future(_probe(settings, *address)) for address in addresses]
    unreachable = UnreachableError(f"no broker answers at {settings.bootstrap_servers}")
    try:
        for answer in asyncio.as_completed(asked):
            try:
                return await answer
            except UnreachableError as error:
                unreachable = error
        raise unreachable
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _probe(settings: ConnectionSettings, host: str, port: int) -> list[Address]:
    """Connect to one broker as a client would; return the addresses that it advertises."""
    try:
        async with _connection(host, port, **settings.security_options()) as connection:
            metadata = await connection.send(MetadataRequest([]))
    except TokenRefusedError as error:
        raise RefusedError(str(error)) from error
    except TokenUnavailableError as error:
        raise NoTokenError(str(error)) from error
    except (KafkaError, OSError) as error:
        refusal = await _refusal_reason(settings, (host, port), error)
        if refusal is not None:
            raise RefusedError(refusal) from error
        raise UnreachableError(f"{host}:{port}: {type(error).__name__} {error}".strip()) from error
    return [(broker_host, broker_port) for _, broker_host, broker_port, *_ in metadata.brokers]


async def _refusal_reason(settings: ConnectionSettings, at: Address, error: Exception) -> str | None:
    """Return the reason of a refusal; None if the broker may only be down."""
    where = f"the broker at {at[0]}:{at[1]}"
    cause = error.__cause__ or error
    if isinstance(error, SaslAuthenticationFailed | UnsupportedSaslMechanismError | IllegalSaslStateError):
        return await _authentication_failure(settings, at, where, error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _certificate_failure(where, cause)
    if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
        return _handshake_failure(settings, where, cause)
    if isinstance(cause, ConnectionResetError | BrokenPipeError | asyncio.IncompleteReadError | ssl.SSLError):
        return await _closed_connection(settings, at, where, cause)
    return None


async def _authentication_failure(settings: ConnectionSettings, at: Address, where: str, error: KafkaError) -> str:
    """Return the reason why a broker refuses our user, token or mechanism."""
    if isinstance(error, SaslAuthenticationFailed) and settings.uses_token:
        return (
            f"{where} refuses our token: {error.args[0]}; the broker's log says why (issuer, audience, scope, clock?)"
        )
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"{where} refuses user {settings.sasl_username!r}: user or password is wrong "
            "(DIGITS_KAFKA__SASL_USERNAME, __SASL_PASSWORD)"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        offered = ", ".join(await _mechanisms(settings, at)) or "others"
        ours = settings.sasl_mechanism.protocol_name if settings.sasl_mechanism else None
        return f"{where} does not take {ours}, but {offered} (DIGITS_KAFKA__SASL_MECHANISM)"
    fitting = SecurityProtocol.SSL if settings.is_encrypted else SecurityProtocol.PLAINTEXT
    return f"{where} asks for no user at this port: set DIGITS_KAFKA__SECURITY_PROTOCOL={fitting}"


def _certificate_failure(where: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in NAME_MISMATCH:
        return (
            f"{where} has a certificate for another name: {error.verify_message.rstrip('.')} "
            "(DIGITS_KAFKA__BOOTSTRAP_SERVERS, or advertised.listeners of the broker)"
        )
    if error.verify_code in {CERT_NOT_YET_VALID, CERT_HAS_EXPIRED}:
        return f"{where} has a certificate that is not valid now: {error.verify_message}"
    return (
        f"{where} has a certificate that no authority trusted here has signed: {error.verify_message} "
        "(DIGITS_KAFKA__SSL_CA_FILE)"
    )


def _handshake_failure(settings: ConnectionSettings, where: str, error: ssl.SSLError) -> str:
    """Return the reason why a broker ended the TLS handshake."""
    if settings.ssl_certificate_file is None and "CERT" in error.reason:
        return f"{where} lets in only clients with a certificate (DIGITS_KAFKA__SSL_CERTIFICATE_FILE): {error.reason}"
    ours = (
        f"our certificate, '{settings.ssl_certificate_file}'"
        if settings.ssl_certificate_file
        else "our way to speak TLS"
    )
    return f"{where} does not accept {ours}: {error.reason}"


async def _closed_connection(settings: ConnectionSettings, at: Address, where: str, cause: Exception) -> str | None:
    """Return the protocol that the broker expects instead of ours; None if it closed for another reason."""
    if settings.is_encrypted and await _accepts(at, security_protocol=SecurityProtocol.PLAINTEXT.value):
        fitting = SecurityProtocol.SASL_PLAINTEXT if settings.has_user else SecurityProtocol.PLAINTEXT
        return (
            f"{where} speaks no TLS at this port: take the one where it does, or set "
            f"DIGITS_KAFKA__SECURITY_PROTOCOL={fitting} where the line need not be encrypted"
        )
    if isinstance(cause, asyncio.IncompleteReadError) and (cause.expected or 0) >> 24 == TLS_ALERT:
        fitting = SecurityProtocol.SASL_SSL if settings.has_user else SecurityProtocol.SSL
        return f"{where} speaks TLS at this port: set DIGITS_KAFKA__SECURITY_PROTOCOL={fitting}"
    if not settings.has_user and (offered := await _mechanisms(settings, at)):
        fitting = SecurityProtocol.SASL_SSL if settings.is_encrypted else SecurityProtocol.SASL_PLAINTEXT
        return f"{where} asks for a user, by {', '.join(offered)}: set DIGITS_KAFKA__SECURITY_PROTOCOL={fitting}"
    return None


async def _accepts(at: Address, **options: Any) -> bool:
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with _connection(*at, **options):
            return True
    return False


async def _mechanisms(settings: ConnectionSettings, at: Address) -> list[str]:
    """Return the SASL mechanisms of a broker; empty if it uses none, or does not answer."""
    options = {**settings.security_options(), "security_protocol": "SSL" if settings.is_encrypted else "PLAINTEXT"}
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with _connection(*at, **options) as connection:
            answer = await connection.send(SaslHandShakeRequest(SaslMechanism.PLAIN.value))
            return [] if answer.error_code == IllegalSaslStateError.errno else list(answer.enabled_mechanisms)
    return []


@contextlib.asynccontextmanager
async def _connection(host: str, port: int, **options: Any) -> AsyncIterator[AIOKafkaConnection]:
    connection = await create_conn(host, port, request_timeout_ms=TIMEOUT_MS, **options)
    try:
        yield connection
    finally:
        with contextlib.suppress(TimeoutError):  # the connection is dropped even if the broker does not answer
            async with asyncio.timeout(CLOSE_S):
                await connection.close()


def _address(server: str) -> Address:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
