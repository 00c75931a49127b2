"""The line to a broker that asks who comes: what works, and what is said where it does not; against a real one."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from aiokafka import AIOKafkaProducer

from broker import Cluster
from broker.security import ADMIN, Security
from consumer.settings import Settings
from consumer.startup.checks import check_cluster
from producer.errors import Exit
from tests.harness import producer_command
from tests.harness.images import drawn_digits
from tests.harness.processes import environment_of, workers_of
from tests.harness.service import START_DEADLINE_S, running_service, starting_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from transport.errors import FatalError
from transport.reachability import AdvertisedAddressError, RefusedError, UnreachableError, probe_brokers
from transport.settings.connection import ConnectionSettings

PREFIX = "DIGITS_KAFKA__"
WRONG = "not the password"


@dataclasses.dataclass(frozen=True)
class Place:
    """What a test may connect to, and with what."""

    secure: Cluster
    plaintext: Cluster
    strange: Path
    """A folder with an authority and a certificate of which the secure cluster knows nothing."""

    @property
    def security(self) -> Security:
        assert self.secure.security is not None
        return self.secure.security

    def by_password(self, mechanism: str, servers: str = "", **other: str | None) -> dict[str, str]:
        """Return the settings of its admin by SASL; `other` ones replace them, None removes one."""
        fitting = self.secure.plain_servers if mechanism == "PLAIN" else self.secure.scram_servers
        settings: dict[str, str | None] = {
            "BOOTSTRAP_SERVERS": servers or fitting,
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": mechanism,
            "SASL_USERNAME": ADMIN,
            "SASL_PASSWORD_FILE": str(self.security.password_file(ADMIN)),
            "SSL_CA_FILE": str(self.security.ca_file),
        }
        return _present(settings | other)

    def by_certificate(self, servers: str = "", **other: str | None) -> dict[str, str]:
        """Return the same by mutual TLS."""
        settings: dict[str, str | None] = {
            "BOOTSTRAP_SERVERS": servers or self.secure.bootstrap_servers,
            "SECURITY_PROTOCOL": "SSL",
            "SSL_CA_FILE": str(self.security.ca_file),
            "SSL_CERTIFICATE_FILE": str(self.security.certificate_file(ADMIN)),
        }
        return _present(settings | other)

    def by_name(self, servers: str) -> str:
        """Return an address by a name for which the brokers have no certificate."""
        return servers.replace("127.0.0.1", "localhost")


def _present(settings: dict[str, str | None]) -> dict[str, str]:
    return {f"{PREFIX}{name}": value for name, value in settings.items() if value is not None}


def line(environment: dict[str, str]) -> ConnectionSettings:
    return ConnectionSettings.model_validate(
        {name.removeprefix(PREFIX).lower(): each for name, each in environment.items()}
    )


@pytest.fixture(scope="module")
def place(secure_cluster: Cluster, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("strange")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("someone.example").private_key_and_cert_chain_pem.write_to_path(folder / "certificate.pem")
    return Place(secure_cluster, cluster, folder)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", None])
async def test_every_way_to_prove_who_one_is_works_for_all_clients(
    place: Place, secure_broker: Broker, monkeypatch: pytest.MonkeyPatch, mechanism: str | None
) -> None:
    environment = place.by_password(mechanism) if mechanism else place.by_certificate()
    for name, value in (secure_broker.environment | environment).items():
        monkeypatch.setenv(name, value)
    assert await check_cluster(Settings()) > 0
    sent = await producer_command.run(secure_broker, "send", "-", stdin=b"an image", **environment)
    assert (sent.exit_code, sent.err) == (Exit.OK, "")


@pytest.mark.parametrize("variable", ["DIGITS_KAFKA__SASL_PASSWORD", "digits_kafka__sasl_password"])
async def test_the_service_shows_no_secret_and_its_workers_have_none(
    place: Place, secure_broker: Broker, variable: str
) -> None:
    secret = place.security.password_file(ADMIN).read_text()
    environment = place.by_password("PLAIN", SASL_PASSWORD_FILE=None)
    environment |= {variable: secret, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={secret}"}
    async with running_service(secure_broker, environment | {"DIGITS_LOG__LEVEL": "debug"}) as service:
        await secure_broker.send([*drawn_digits(3), b"no image"])
        await secure_broker.everything_answered()
        shown = [(await service.get(path))[1] for path in ("/health", "/metrics", "/livez", "/readyz")]
        environments = [environment_of(pid) for pid in workers_of(service.process.pid)]
        service.terminate()
        assert await service.wait() == 0
        assert "Received group coordinator response" in service.log, (
            "the client's log is not on: this test proves nothing"
        )
        assert not [text for text in (*shown, service.log) if secret in text]
    assert environments
    assert not [each for each in environments if secret.encode() in each]
    assert len(await secure_broker.results()) == 4
    assert len(await secure_broker.dead_letters()) == 1


REFUSED: dict[str, tuple[Callable[[Place], dict[str, str]], str]] = {
    "wrong password": (
        lambda at: at.by_password("SCRAM-SHA-512", SASL_PASSWORD_FILE=None, SASL_PASSWORD=WRONG),
        "refuses user 'admin': user or password is wrong (DIGITS_KAFKA__SASL_USERNAME, __SASL_PASSWORD)",
    ),
    "wrong password in the clear": (
        lambda at: at.by_password("PLAIN", SASL_PASSWORD_FILE=None, SASL_PASSWORD=WRONG),
        "refuses user 'admin': user or password is wrong (DIGITS_KAFKA__SASL_USERNAME, __SASL_PASSWORD)",
    ),
    "unknown user": (
        lambda at: at.by_password("SCRAM-SHA-256", SASL_USERNAME="intruder"),
        "refuses user 'intruder': user or password is wrong",
    ),
    "mechanism not offered": (
        lambda at: at.by_password("SCRAM-SHA-512", at.secure.plain_servers),
        "does not take SCRAM-SHA-512, but PLAIN (DIGITS_KAFKA__SASL_MECHANISM)",
    ),
    "authority not trusted": (
        lambda at: at.by_password("SCRAM-SHA-512", SSL_CA_FILE=str(at.strange / "ca.pem")),
        "has a certificate that no authority trusted here has signed: ",
    ),
    "another name": (
        lambda at: at.by_password("SCRAM-SHA-512", at.by_name(at.secure.scram_servers)),
        "has a certificate for another name: Hostname mismatch, certificate is not valid for 'localhost'",
    ),
    "no certificate of ours": (
        lambda at: at.by_certificate(SSL_CERTIFICATE_FILE=None),
        "lets in only clients with a certificate (DIGITS_KAFKA__SSL_CERTIFICATE_FILE)",
    ),
    "a certificate that is not known": (
        lambda at: at.by_certificate(SSL_CERTIFICATE_FILE=str(at.strange / "certificate.pem")),
        "does not accept our certificate, ",
    ),
    "TLS to a port without": (
        lambda at: at.by_certificate(at.plaintext.bootstrap_servers),
        "speaks no TLS at this port: ",
    ),
    "no TLS to a port with": (
        lambda at: _present({"BOOTSTRAP_SERVERS": at.secure.bootstrap_servers}),
        "speaks TLS at this port: set DIGITS_KAFKA__SECURITY_PROTOCOL=SSL",
    ),
    "a password without TLS": (
        lambda at: at.by_password("PLAIN", SECURITY_PROTOCOL="SASL_PLAINTEXT", SSL_CA_FILE=None),
        "speaks TLS at this port: set DIGITS_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
    ),
    "no user where one is needed": (
        lambda at: at.by_certificate(at.secure.plain_servers),
        "asks for a user, by PLAIN: set DIGITS_KAFKA__SECURITY_PROTOCOL=SASL_SSL",
    ),
    "a user where none is known": (
        lambda at: at.by_password(
            "PLAIN", at.plaintext.bootstrap_servers, SECURITY_PROTOCOL="SASL_PLAINTEXT", SSL_CA_FILE=None
        ),
        "asks for no user at this port: set DIGITS_KAFKA__SECURITY_PROTOCOL=PLAINTEXT",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_broker_that_refuses_the_client_is_reported_in_one_sentence(
    place: Place, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, said = REFUSED[case]
    settings = environment(place)
    with pytest.raises(RefusedError) as caught:
        await probe_brokers(line(settings))
    assert str(caught.value).startswith(f"the broker at {settings[f'{PREFIX}BOOTSTRAP_SERVERS']} ")
    assert said in str(caught.value)
    assert WRONG not in str(caught.value)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FatalError) as fatal:  # at once, though a broker that is away is waited for
        async with asyncio.timeout(Settings().kafka.wait_s / 2):
            await check_cluster(Settings())
    assert str(fatal.value) == str(caught.value)


async def test_a_wrong_password_ends_the_service_and_the_producer_at_once(place: Place, secure_broker: Broker) -> None:
    environment = place.by_password("SCRAM-SHA-512", SASL_PASSWORD_FILE=None, SASL_PASSWORD=WRONG)
    servers = place.secure.scram_servers
    sentence = (
        f"the broker at {servers} refuses user 'admin': user or password is wrong "
        "(DIGITS_KAFKA__SASL_USERNAME, __SASL_PASSWORD)"
    )
    async with starting_service(secure_broker, environment) as service:
        assert await service.wait(deadline_s=START_DEADLINE_S) == 1
        (fatal,) = [event for event in service.events if event["level"] == "error"]
        assert [event["event"] for event in service.events if event["level"] == "warning"] == []
        assert WRONG not in service.log
    assert (fatal["event"], fatal["why"]) == ("fatal", sentence)
    ended = await producer_command.run(secure_broker, "watch", stdin=None, **environment)
    where = f"{servers} (DIGITS_KAFKA__BOOTSTRAP_SERVERS)"
    assert (ended.exit_code, ended.err) == (Exit.KAFKA, f"digit-producer: cannot reach Kafka at {where}: {sentence}\n")


async def test_a_client_that_connects_again_comes_by_its_replaced_certificate(
    place: Place, secure_broker: Broker, tmp_path: Path
) -> None:
    certificate = tmp_path / "certificate.pem"
    shutil.copy(place.security.certificate_file("without-rights"), certificate)
    kafka = line(place.by_certificate(SSL_CERTIFICATE_FILE=str(certificate)))
    async with AIOKafkaProducer(**kafka.client_options()) as client:

        async def seen() -> set[str]:
            for connection in list(client.client._conns.values()):  # as a broker that restarts would
                connection.close()
            await client.client.force_metadata_update()
            return set(client.client.cluster.topics())

        client.client.add_topic(secure_broker.topics.requests)
        assert await seen() == set()
        shutil.copy(place.security.certificate_file(ADMIN), certificate)
        await eventually(seen, lambda topics: topics == {secure_broker.topics.requests})
        certificate.write_text("nothing of use")
        assert await seen() == {secure_broker.topics.requests}, "a replacement that is no certificate is not taken"


async def test_without_a_check_of_the_name_another_one_will_do(place: Place) -> None:
    named = place.by_name(place.secure.scram_servers)
    await probe_brokers(line(place.by_password("SCRAM-SHA-512", named, SSL_CHECK_HOSTNAME="false")))


async def test_one_broker_that_is_away_is_no_harm_and_all_of_them_are_no_refusal(place: Place) -> None:
    away = "127.0.0.1:1"
    await probe_brokers(ConnectionSettings(bootstrap_servers=f"{away},{place.plaintext.bootstrap_servers}"))
    with pytest.raises(UnreachableError, match=r"^127.0.0.1:1: "):
        await probe_brokers(ConnectionSettings(bootstrap_servers=away))


async def test_a_broker_with_an_unreachable_advertised_address_is_reported(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def named(*_: object) -> list[tuple[str, int]]:
        return [("127.0.0.1", 1)]

    monkeypatch.setattr("transport.reachability._first_metadata", named)  # as a broker in a container often does
    with pytest.raises(AdvertisedAddressError, match=r"it advertises: 127\.0\.0\.1:1 \(advertised\.listeners\)"):
        await probe_brokers(ConnectionSettings(bootstrap_servers=place.plaintext.bootstrap_servers))


@pytest.mark.usefixtures("cluster")  # says whether this machine can run one
def test_a_secure_broker_prints_its_settings_and_keeps_its_identity(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        command = [sys.executable, "-m", "broker", "run", "--secure", "--data-dir", str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            process.send_signal(signal.SIGTERM)
            _, printed = process.communicate(timeout=60)
            assert process.returncode == 0
        rows = dict(re.split(r" {2,}", row, maxsplit=1) for row in printed.splitlines()[:-1])
        assert rows["by certificate"] == f"{address}, such as {tmp_path}/security/admin.pem"
        password = tmp_path / "security" / "service.password"
        assert rows["password of service"] == str(password)
        seen.add(((tmp_path / "security/ca.pem").read_bytes(), password.read_text()))
    assert len(seen) == 1
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "security").iterdir()} == {0}
