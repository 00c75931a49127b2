"""A setting that cannot be used is named with its allowed values, and no secret is shown."""

from __future__ import annotations

import traceback

import pytest
from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from transport.settings.kafka import ClientSettings, KafkaSettings, SettingsError, load, variables


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


@pytest.mark.parametrize("servers", ["", "localhost", "localhost:", "a:1,,b:2", "a:1 b:2", "kafka://a:1", "a/b:1"])
def test_bootstrap_servers_that_are_none_are_shown_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, servers: str
) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__BOOTSTRAP_SERVERS", servers)
    assert complaint().startswith(f"DIGITS_KAFKA__BOOTSTRAP_SERVERS={servers!r}: ")
    assert "each broker must be HOST:PORT, such as kafka.example:9092" in complaint()
    assert complaint().endswith("(host:port of brokers, comma-separated.)")


@pytest.mark.parametrize("name", ["a topic", "", "digits/requests", "x" * 250])
def test_a_name_that_kafka_refuses_is_refused_here(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("DIGITS_TOPICS__REQUESTS", name)
    assert complaint().startswith(f"DIGITS_TOPICS__REQUESTS={name!r}: a topic's name has 1 to 249 characters: ")


def test_one_topic_for_two_purposes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_TOPICS__DEAD_LETTER", "digits.requests")
    assert (
        complaint() == "DIGITS_TOPICS__…: requests, predictions, dead letters and disagreements need different topics"
    )


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
    assert complaint() == f"{wrong}: there is no such setting; did you mean {right}?"


def test_a_group_by_itself_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA", "localhost:9092")
    assert complaint().startswith(
        "DIGITS_KAFKA: there is no such setting; known are DIGITS_KAFKA__BOOTSTRAP_SERVERS, DIGITS_KAFKA__SECURITY_"
    )


def test_a_client_bears_the_services_settings_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__WAIT_S", "5")
    monkeypatch.setenv("DIGITS_KAFKA__SESSION_TIMEOUT_MS", "10000")
    monkeypatch.setenv("DIGITS_WORKERS", "4")
    load(ClientSettings, owns_prefix=False)


def test_the_owner_of_the_prefix_bears_no_variable_that_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__SESSION", "1")
    monkeypatch.setenv("DIGITS_WORKRES", "4")
    lines = complaint(ServiceLike, owns_prefix=True).splitlines()
    assert lines[0].startswith("DIGITS_KAFKA__SESSION: there is no such setting; ")
    assert lines[1] == "DIGITS_WORKRES: there is no such setting; did you mean DIGITS_WORKERS?"


def test_all_wrong_values_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DIGITS_KAFKA__SASL_PASSWD", "hunter2"),
        ("DIGITS_KAFKA__SASL_PASWORD", "hunter2"),
        ("digits_kafka__sasl_passwd", "hunter2"),
        ("DIGITS_KAFKA__SSL_KEY_PASSPHRASE", "hunter2"),
        ("DIGITS_KAFKA__PASS", "hunter2"),
        ("DIGITS_PASS", "hunter2"),
        ("DIGITS_KAFKA", '{"sasl_password": "hunter2"}'),
        ("DIGITS_KAFKA", "hunter2"),
        ("DIGITS_KAFKA__SASL_PASSWORD__FILE", "hunter2"),
        ("DIGITS_KAFKA__BOOTSTRAP_SERVERS__PASSWD", "hunter2"),
        ("DIGITS_KAFKA__BOOTSTRAP_SERVERS", "user:hunter2@kafka:9092"),
        ("digits_kafka__bootstrap_servers", "user:hunter2@kafka:9092"),
        ("DIGITS_KAFKA__BOOTSTRAP_SERVERS", "hunter2@kafka:9092"),
        ("DIGITS_KAFKA__BOOTSTRAP_SERVERS", "SASL_SSL://user:hunter2,@:hunter2@kafka:9092,user:hunter2@kafka:9093"),
        ("DIGITS_KAFKA__SSL_KEY_FILE", "-----BEGIN PRIVATE KEY-----hunter2"),
    ],
)
@pytest.mark.parametrize("kind", [ClientSettings, ServiceLike])
def test_a_secret_under_a_wrong_name_or_in_a_wrong_place_is_not_shown_either(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    if kind is ClientSettings and name in {"DIGITS_KAFKA__PASS", "DIGITS_PASS"}:
        load(kind, owns_prefix=False)  # may be the service's
        return
    with pytest.raises(SettingsError) as caught:
        load(kind, owns_prefix=kind is ServiceLike)
    assert name.upper().partition("__")[0] in str(caught.value).upper()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_of_an_address_with_a_password_the_host_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__BOOTSTRAP_SERVERS", "user:hunter2@kafka:9092")
    assert complaint().startswith("DIGITS_KAFKA__BOOTSTRAP_SERVERS='********@kafka:9092': ")


def test_variables_lists_all_in_the_order_of_definition() -> None:
    assert list(variables(ClientSettings)) == [
        "DIGITS_KAFKA__BOOTSTRAP_SERVERS",
        "DIGITS_KAFKA__SECURITY_PROTOCOL",
        "DIGITS_KAFKA__SASL_MECHANISM",
        "DIGITS_KAFKA__SASL_USERNAME",
        "DIGITS_KAFKA__SASL_PASSWORD",
        "DIGITS_KAFKA__SASL_PASSWORD_FILE",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_CLIENT_ID",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET_FILE",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_SCOPE",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_PARAMETERS",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_EXTENSIONS",
        "DIGITS_KAFKA__SASL_OAUTHBEARER_CA_FILE",
        "DIGITS_KAFKA__SASL_AWS_REGION",
        "DIGITS_KAFKA__SSL_CA_FILE",
        "DIGITS_KAFKA__SSL_CERTIFICATE_FILE",
        "DIGITS_KAFKA__SSL_KEY_FILE",
        "DIGITS_KAFKA__SSL_KEY_PASSWORD",
        "DIGITS_KAFKA__SSL_KEY_PASSWORD_FILE",
        "DIGITS_KAFKA__SSL_CHECK_HOSTNAME",
        "DIGITS_KAFKA__GROUP_ID",
        "DIGITS_KAFKA__WAIT_S",
        "DIGITS_TOPICS__REQUESTS",
        "DIGITS_TOPICS__PREDICTIONS",
        "DIGITS_TOPICS__DEAD_LETTER",
        "DIGITS_TOPICS__DISAGREEMENTS",
    ]
