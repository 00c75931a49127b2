"""Settings of the line to the brokers: what goes together, what does not, and that no secret is shown."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from consumer.cli import main
from consumer.settings import Settings
from transport.settings.kafka import ClientSettings, SettingsError, load

SECRET = "open sesame"  # noqa: S105  # a test's own
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("service.example", common_name="service")
USER = {
    "SECURITY_PROTOCOL": "SASL_SSL",
    "SASL_MECHANISM": "SCRAM-SHA-512",
    "SASL_USERNAME": "service",
    "SASL_PASSWORD": SECRET,
}
OIDC = {
    "SECURITY_PROTOCOL": "SASL_SSL",
    "SASL_MECHANISM": "OAUTHBEARER",
    "SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": "https://issuer.example/token",
    "SASL_OAUTHBEARER_CLIENT_ID": "digits",
    "SASL_OAUTHBEARER_CLIENT_SECRET": SECRET,
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with all files that a secure line can have."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    CERTIFICATE.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    CERTIFICATE.private_key_pem.write_to_path(tmp_path / "key.pem")
    AUTHORITY.issue_cert("other.example").private_key_pem.write_to_path(tmp_path / "other-key.pem")
    key = serialization.load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), password=None)
    locked = serialization.BestAvailableEncryption(SECRET.encode())
    (tmp_path / "locked-key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    (tmp_path / "password").write_text(f"{SECRET}\n")
    (tmp_path / "empty").touch()
    (tmp_path / "no-text").write_bytes(b"\xff\xfe")
    return tmp_path


def settings(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], files: Path | None = None) -> ClientSettings:
    """Load settings from variables; in their values, @ is the folder of the files."""
    for name, value in values.items():
        monkeypatch.setenv(f"DIGITS_KAFKA__{name}", value.replace("@", str(files)))
    return load(ClientSettings, owns_prefix=False)


def test_a_user_and_a_password_become_the_clients_options(monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    options = settings(monkeypatch, USER | {"SSL_CA_FILE": "@/ca.pem"}, files).kafka.client_options()
    context = options.pop("ssl_context").current
    assert options == {
        "bootstrap_servers": ["localhost:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "service",
        "sasl_plain_password": SECRET,
    }
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1, "the system's authorities are not trusted beside ours"


def test_without_a_check_of_the_name_the_authority_is_checked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    options = settings(monkeypatch, USER | {"SSL_CHECK_HOSTNAME": "false"}).kafka.client_options()
    context = options["ssl_context"].current
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_a_password_may_stand_in_a_file_and_an_empty_variable_is_none(
    monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    read = settings(monkeypatch, USER | {"SASL_PASSWORD": "", "SASL_PASSWORD_FILE": "@/password"}, files)
    assert read.kafka.client_options()["sasl_plain_password"] == SECRET


@pytest.mark.parametrize(
    "key",
    [
        {"SSL_KEY_FILE": "@/key.pem"},
        {"SSL_KEY_FILE": "@/locked-key.pem", "SSL_KEY_PASSWORD": SECRET},
        {"SSL_KEY_FILE": "@/locked-key.pem", "SSL_KEY_PASSWORD_FILE": "@/password"},
    ],
    ids=["key", "key with password", "key with password from a file"],
)
def test_a_certificate_can_be_shown(monkeypatch: pytest.MonkeyPatch, files: Path, key: dict[str, str]) -> None:
    values = {"SECURITY_PROTOCOL": "SSL", "SSL_CERTIFICATE_FILE": "@/certificate.pem", **key}
    assert settings(monkeypatch, values, files).kafka.client_options()["security_protocol"] == "SSL"


TLS = {"SECURITY_PROTOCOL": "SSL"}
OURS = TLS | {"SSL_CERTIFICATE_FILE": "@/certificate.pem"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            {"SASL_USERNAME": "me"},
            "SASL_USERNAME='me' has no effect with SECURITY_PROTOCOL=PLAINTEXT: set SECURITY_PROTOCOL=SASL_SSL",
        ),
        (
            {"SASL_PASSWORD": SECRET},
            "SASL_PASSWORD=******** has no effect with SECURITY_PROTOCOL=PLAINTEXT: set SECURITY_PROTOCOL=SASL_SSL",
        ),
        (
            {"SSL_CA_FILE": "@/ca.pem"},
            "SSL_CA_FILE='@/ca.pem' has no effect with SECURITY_PROTOCOL=PLAINTEXT: set SECURITY_PROTOCOL=SSL",
        ),
        (
            USER | {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SSL_CA_FILE": "@/ca.pem"},
            (
                "SSL_CA_FILE='@/ca.pem' has no effect with SECURITY_PROTOCOL=SASL_PLAINTEXT: "
                "set SECURITY_PROTOCOL=SASL_SSL"
            ),
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL"},
            (
                "SECURITY_PROTOCOL=SASL_SSL needs SASL_MECHANISM: "
                "SCRAM-SHA-512, SCRAM-SHA-256, PLAIN, OAUTHBEARER, AWS_MSK_IAM"
            ),
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN"},
            "SASL_MECHANISM=PLAIN needs SASL_USERNAME; SASL_MECHANISM=PLAIN needs SASL_PASSWORD_FILE, or SASL_PASSWORD",
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER", "SASL_USERNAME": "me"},
            (
                "SASL_MECHANISM=OAUTHBEARER needs SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL; "
                "SASL_MECHANISM=OAUTHBEARER needs SASL_OAUTHBEARER_CLIENT_ID; "
                "SASL_MECHANISM=OAUTHBEARER needs "
                "SASL_OAUTHBEARER_CLIENT_SECRET_FILE, or SASL_OAUTHBEARER_CLIENT_SECRET; "
                "SASL_USERNAME='me' has no effect with SASL_MECHANISM=OAUTHBEARER"
            ),
        ),
        (
            OIDC | {"SASL_OAUTHBEARER_CLIENT_SECRET_FILE": f"/{SECRET}"},
            "SASL_OAUTHBEARER_CLIENT_SECRET and SASL_OAUTHBEARER_CLIENT_SECRET_FILE are both set: set one of them",
        ),
        (
            OIDC | {"SASL_OAUTHBEARER_CLIENT_SECRET": "", "SASL_OAUTHBEARER_CLIENT_SECRET_FILE": f"/{SECRET}"},
            "SASL_OAUTHBEARER_CLIENT_SECRET_FILE=******** cannot be read: No such file or directory",
        ),
        (
            OIDC | {"SASL_OAUTHBEARER_CA_FILE": "@/none"},
            "SASL_OAUTHBEARER_CA_FILE='@/none' cannot be read: No such file or directory",
        ),
        (
            USER | {"SASL_OAUTHBEARER_CLIENT_SECRET": SECRET, "SASL_OAUTHBEARER_SCOPE": "kafka"},
            (
                "SASL_OAUTHBEARER_CLIENT_SECRET=******** has no effect with SASL_MECHANISM=SCRAM-SHA-512; "
                "SASL_OAUTHBEARER_SCOPE='kafka' has no effect with SASL_MECHANISM=SCRAM-SHA-512"
            ),
        ),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "AWS_MSK_IAM"},
            "SASL_MECHANISM=AWS_MSK_IAM needs SASL_AWS_REGION",
        ),
        (
            USER | {"SASL_PASSWORD_FILE": "@/password"},
            "SASL_PASSWORD and SASL_PASSWORD_FILE are both set: set one of them",
        ),
        (TLS | {"SSL_KEY_FILE": "@/key.pem"}, "SSL_KEY_FILE has no effect without SSL_CERTIFICATE_FILE"),
        (TLS | {"SSL_CA_FILE": "@/none"}, "SSL_CA_FILE='@/none' cannot be read: No such file or directory"),
        (TLS | {"SSL_CA_FILE": "@"}, "SSL_CA_FILE='@' cannot be read: Is a directory"),
        (TLS | {"SSL_CA_FILE": "@/password"}, "SSL_CA_FILE='@/password' holds no certificate in PEM"),
        (
            TLS | {"SSL_CERTIFICATE_FILE": "@/certificate.pem"},
            "SSL_CERTIFICATE_FILE='@/certificate.pem' cannot be used: there is no certificate with its key in PEM",
        ),
        (
            OURS | {"SSL_KEY_FILE": "@/other-key.pem"},
            (
                "SSL_CERTIFICATE_FILE='@/certificate.pem' with SSL_KEY_FILE='@/other-key.pem' cannot be used: "
                "the key is not that of the certificate"
            ),
        ),
        (
            OURS | {"SSL_KEY_FILE": "@/locked-key.pem"},
            (
                "SSL_CERTIFICATE_FILE='@/certificate.pem' with SSL_KEY_FILE='@/locked-key.pem' cannot be used: "
                "the key has a password: set SSL_KEY_PASSWORD_FILE"
            ),
        ),
        (
            OURS | {"SSL_KEY_FILE": "@/locked-key.pem", "SSL_KEY_PASSWORD": f"not {SECRET}"},
            (
                "SSL_CERTIFICATE_FILE='@/certificate.pem' with SSL_KEY_FILE='@/locked-key.pem' cannot be used: "
                "SSL_KEY_PASSWORD is wrong"
            ),
        ),
        (
            USER | {"SASL_PASSWORD": "", "SASL_PASSWORD_FILE": f"/{SECRET}"},
            "SASL_PASSWORD_FILE=******** cannot be read: No such file or directory",
        ),
        (
            USER | {"SASL_PASSWORD": "", "SASL_PASSWORD_FILE": "@/empty"},
            "SASL_PASSWORD_FILE names a file that is empty",
        ),
        (
            USER | {"SASL_PASSWORD": "", "SASL_PASSWORD_FILE": "@/no-text"},
            "SASL_PASSWORD_FILE names a file that is no UTF-8 text",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_reported_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, files: Path, values: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(monkeypatch, values, files)
    assert str(caught.value) == f"DIGITS_KAFKA__…: {complaint.replace('@', str(files))}"
    assert SECRET not in str(caught.value)
    assert SECRET not in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("TOKEN_ENDPOINT_URL", "http://issuer.example/token", "must be https: the client's secret would be sent"),
        ("TOKEN_ENDPOINT_URL", "issuer.example/token", "must be https://HOST/PATH"),
        ("PARAMETERS", "audience", "must be NAME=VALUE, comma-separated"),
        ("EXTENSIONS", "logicalCluster=,x=1", "must be NAME=VALUE, comma-separated"),
    ],
)
def test_a_wrong_setting_for_tokens_is_shown_with_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(monkeypatch, OIDC | {f"SASL_OAUTHBEARER_{name}": value})
    assert str(caught.value).startswith(f"DIGITS_KAFKA__SASL_OAUTHBEARER_{name}={value!r}: {complaint}")


def test_a_password_in_the_address_of_the_token_endpoint_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match="without a user and a password") as caught:
        settings(monkeypatch, OIDC | {"SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": f"https://me:{SECRET}@/"}, Path("@issuer"))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "[::1]"])
def test_a_token_endpoint_on_loopback_needs_no_tls(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    settings(monkeypatch, OIDC | {"SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL": f"http://{host}:8080/token"})


def test_all_clients_share_one_provider_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = settings(monkeypatch, OIDC | {"SASL_OAUTHBEARER_EXTENSIONS": "logicalCluster=lkc-1, pool=p"}).kafka
    options = kafka.client_options()
    assert options["sasl_mechanism"] == "OAUTHBEARER"
    assert options["sasl_oauth_token_provider"] is kafka.client_options()["sasl_oauth_token_provider"]
    assert options["sasl_oauth_token_provider"].extensions() == {"logicalCluster": "lkc-1", "pool": "p"}


@pytest.mark.parametrize("servers", ["a:9092, b:9092 ,", " a:9092,b:9092 ", "a:9092,\n  b:9092\n"])
def test_blanks_in_the_list_of_brokers_do_not_count(monkeypatch: pytest.MonkeyPatch, servers: str) -> None:
    kafka = settings(monkeypatch, {"BOOTSTRAP_SERVERS": servers}).kafka
    assert kafka.client_options()["bootstrap_servers"] == ["a:9092", "b:9092"]


def test_a_mechanism_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^DIGITS_KAFKA__SASL_MECHANISM='GSSAPI': .*SCRAM-SHA-512"):
        settings(monkeypatch, USER | {"SASL_MECHANISM": "GSSAPI"})


def test_no_secret_is_shown_by_the_settings(monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    values = USER | {
        "SSL_CERTIFICATE_FILE": "@/certificate.pem",
        "SSL_KEY_FILE": "@/locked-key.pem",
        "SSL_KEY_PASSWORD": SECRET,
    }
    settings(monkeypatch, values, files)
    loaded = load(Settings, owns_prefix=True)
    assert loaded.kafka.client_options()["sasl_plain_password"] == SECRET
    shown = CliRunner().invoke(main, ["settings"])
    assert shown.exit_code == 0
    assert "DIGITS_KAFKA__SASL_PASSWORD='********'" in shown.stdout.splitlines()
    assert "DIGITS_KAFKA__SSL_KEY_PASSWORD='********'" in shown.stdout.splitlines()
    for text in (shown.output, repr(loaded), str(loaded), loaded.model_dump_json()):
        assert SECRET not in text


def test_what_settings_prints_sets_the_same_again(monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    values = {"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "@/ca.pem", "SSL_CHECK_HOSTNAME": "false"}
    settings(monkeypatch, values, files)
    before = load(Settings, owns_prefix=True)
    for line in CliRunner().invoke(main, ["settings"]).stdout.splitlines():
        if not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value.strip("'"))
    assert load(Settings, owns_prefix=True).kafka.model_dump() == before.kafka.model_dump()
