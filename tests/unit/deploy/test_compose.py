"""The compose file and the image: of one mind with the code, with monitoring and with the manifests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from consumer.settings import Settings
from producer.web.settings import ServeSettings
from transport.settings.kafka import load, variables

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return services


@pytest.mark.parametrize("name", ["topics", "consumer"])
def test_its_settings_are_settings_of_the_service(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in compose()[name]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{\w+:-(.*)\}", r"\1", str(value)))
    assert load(Settings, owns_prefix=True).kafka.bootstrap_servers.startswith("kafka:")


def test_the_gateway_listens_where_it_is_published_and_only_this_machine_can_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = compose()["gateway"]
    for variable, value in gateway["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = load(ServeSettings, owns_prefix=True)
    (published,) = gateway["ports"]
    address, _, port = published.rpartition(":")
    assert address == "127.0.0.1:${WEB_PORT:-8000}"
    assert settings.web.listen.host == "0.0.0.0"  # noqa: S104  # in a container
    assert settings.web.listen.published_on_loopback
    assert gateway["healthcheck"]["test"][-1] == port == str(settings.web.listen.port)
    assert gateway["stop_grace_period"] == f"{settings.web.listen.stop_s + 10}s"


def test_every_file_that_the_build_argument_may_name_reaches_the_build() -> None:
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    described = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for extra in ("msk-iam", "onnx", "otel", "sentry", "stores", "web"):
        assert f"!requirements/{extra}.txt" in kept
        assert f"`{extra}`" in described


def test_grafana_finds_the_dashboard_and_prometheus() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/digitstream.yml").read_text())["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())["datasources"]
    scraping = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    mounted = compose()["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounted
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in mounted
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def test_prometheus_finds_its_rules_and_every_instance_of_the_service() -> None:
    scraping = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert "./deploy/prometheus:/etc/prometheus:ro" in compose()["prometheus"]["volumes"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in scraping["rule_files"])
    service, gateway = (job["dns_sd_configs"][0] for job in scraping["scrape_configs"])
    assert service["names"] == ["consumer"]
    assert "consumer" in compose()
    assert service["port"] == variables(Settings)["DIGITS_HEALTH__PORT"].default
    assert gateway["names"] == ["gateway"]
    assert gateway["port"] == variables(ServeSettings)["DIGITS_WEB__LISTEN__PORT"].default


def test_the_manifests_run_the_image_as_the_user_that_it_is_made_for() -> None:
    deployment = yaml.safe_load((DEPLOY / "kubernetes/base/deployment.yaml").read_text(encoding="utf-8"))
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    instructions = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in instructions


def pytest_of(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, check=False, capture_output=True, text=True, timeout=120
    )


def test_container_tests_are_left_out_by_default_with_a_line_about_it() -> None:
    others = [f"--ignore={path}" for path in (ROOT / "tests").iterdir() if path.name not in {"compose", "harness"}]
    ran = pytest_of("--collect-only", "tests", *others)
    assert ran.returncode == 0
    assert "tests/compose is left out: `make test-compose` runs it, and needs Docker" in ran.stdout.splitlines()
    assert "test_relay.py" in ran.stdout
    assert "test_image.py" not in ran.stdout


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"PATH": "/nowhere"}, "there is no command `docker`"),
        ({"DOCKER_HOST": "unix:///nowhere"}, "`docker version` says: "),
    ],
    ids=["not installed", "not running"],
)
def test_requested_container_tests_fail_without_docker(environment: dict[str, str], why: str) -> None:
    if "DOCKER_HOST" in environment and shutil.which("docker") is None:
        why = "there is no command `docker`"
    ran = pytest_of("tests/compose", **environment)
    assert ran.returncode == 1
    assert f"tests/compose needs Docker with Compose: {why}" in ran.stdout + ran.stderr
