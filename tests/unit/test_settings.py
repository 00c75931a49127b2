"""A setting that cannot be used is named with its value and what would be right."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contract.settings import ClientSettings, KafkaSettings, SettingsError, load, variables


class Secrets(BaseModel):
    passphrase: SecretStr = Field(default=SecretStr(""), min_length=8, description="Opens the door.")


class ServiceKafka(KafkaSettings):
    wait_s: float = 60


class ServiceLike(ClientSettings):
    """Settings of someone who owns the whole prefix, with groups of its own."""

    model_config = SettingsConfigDict(extra="forbid")

    kafka: ServiceKafka = ServiceKafka()
    secrets: Secrets = Secrets()
    workers: int = Field(default=2, ge=1, description="Worker processes.")


def complaint(kind: type[BaseSettings] = ClientSettings, *, owns_prefix: bool = False) -> str:
    with pytest.raises(SettingsError) as caught:
        load(kind, owns_prefix=owns_prefix)
    return str(caught.value)


def test_without_variables_everything_has_its_default() -> None:
    settings = load(ClientSettings, owns_prefix=False)
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.topics.requests == "digits.requests"


def test_variables_are_read_by_their_nested_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__BOOTSTRAP_SERVERS", "a:9092,[::1]:9093")
    monkeypatch.setenv("DIGITS_TOPICS__DEAD_LETTER", "bin")
    settings = load(ClientSettings, owns_prefix=False)
    assert settings.kafka.client_options() == {
        "bootstrap_servers": ["a:9092", "[::1]:9093"],
        "security_protocol": "PLAINTEXT",
    }
    assert settings.topics.dead_letter == "bin"


@pytest.mark.parametrize("servers", ["", "localhost", "localhost:", "a:1,,b:2", "a:1 b:2", "kafka://a:1"])
def test_bootstrap_servers_that_are_none_are_shown_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__BOOTSTRAP_SERVERS", servers)
    assert complaint().startswith(f"DIGITS_KAFKA__BOOTSTRAP_SERVERS={servers!r}: ")
    assert complaint().endswith("(host:port of brokers, comma-separated.)")


@pytest.mark.parametrize("name", ["a topic", "", "digits/requests", "x" * 250])
def test_a_name_that_kafka_refuses_is_refused_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DIGITS_TOPICS__REQUESTS", name)
    assert complaint().startswith(f"DIGITS_TOPICS__REQUESTS={name!r}: ")


def test_one_topic_for_two_purposes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_TOPICS__DEAD_LETTER", "digits.requests")
    assert complaint() == "DIGITS_TOPICS__…: requests, predictions and dead letters need a topic each"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("DIGITS_KAFKA__BOOTSTRAP_SERVER", "DIGITS_KAFKA__BOOTSTRAP_SERVERS"),
        ("DIGITS_TOPICS__DEADLETTER", "DIGITS_TOPICS__DEAD_LETTER"),
        ("digits_topics__request", "DIGITS_TOPICS__REQUESTS"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch, wrong: str, right: str
) -> None:
    monkeypatch.setenv(wrong, "x")
    assert complaint() == f"{wrong}='x': there is no such setting; did you mean {right}?"


def test_a_group_by_itself_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA", "localhost:9092")
    assert complaint().startswith("DIGITS_KAFKA='localhost:9092': there is no such setting; ")


def test_a_client_bears_the_services_settings_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__WAIT_S", "5")
    monkeypatch.setenv("DIGITS_KAFKA__SESSION_TIMEOUT_MS", "10000")
    monkeypatch.setenv("DIGITS_WORKERS", "4")
    load(ClientSettings, owns_prefix=False)


def test_the_owner_of_the_prefix_bears_no_variable_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__SESSION", "1")
    monkeypatch.setenv("DIGITS_WORKRES", "4")
    lines = complaint(ServiceLike, owns_prefix=True).splitlines()
    assert lines[0].startswith("DIGITS_KAFKA__SESSION='1': there is no such setting; ")
    assert lines[1] == "DIGITS_WORKRES='4': there is no such setting; did you mean DIGITS_WORKERS?"


def test_every_wrong_value_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_WORKERS", "0")
    monkeypatch.setenv("DIGITS_KAFKA__WAIT_S", "soon")
    lines = complaint(ServiceLike, owns_prefix=True).splitlines()
    assert [line.split(":")[0] for line in lines] == ["DIGITS_KAFKA__WAIT_S='soon'", "DIGITS_WORKERS='0'"]
    assert lines[1].endswith("(Worker processes.)")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_SECRETS__PASSPHRASE", "sesame")
    monkeypatch.setenv("DIGITS_SECRETS__PASSWORD", "sesame")
    assert "sesame" not in complaint(ServiceLike, owns_prefix=True)
    monkeypatch.delenv("DIGITS_SECRETS__PASSWORD")
    assert complaint(ServiceLike, owns_prefix=True).startswith("DIGITS_SECRETS__PASSPHRASE=********: ")


def test_variables_lists_all_in_the_order_of_definition() -> None:
    assert list(variables(ClientSettings)) == [
        "DIGITS_KAFKA__BOOTSTRAP_SERVERS",
        "DIGITS_KAFKA__SECURITY_PROTOCOL",
        "DIGITS_KAFKA__SASL_MECHANISM",
        "DIGITS_KAFKA__SASL_USERNAME",
        "DIGITS_KAFKA__SASL_PASSWORD",
        "DIGITS_KAFKA__SASL_PASSWORD_FILE",
        "DIGITS_KAFKA__SSL_CA_FILE",
        "DIGITS_KAFKA__SSL_CERTIFICATE_FILE",
        "DIGITS_KAFKA__SSL_KEY_FILE",
        "DIGITS_KAFKA__SSL_KEY_PASSWORD",
        "DIGITS_KAFKA__SSL_KEY_PASSWORD_FILE",
        "DIGITS_KAFKA__SSL_CHECK_HOSTNAME",
        "DIGITS_KAFKA__GROUP_ID",
        "DIGITS_TOPICS__REQUESTS",
        "DIGITS_TOPICS__PREDICTIONS",
        "DIGITS_TOPICS__DEAD_LETTER",
    ]
