"""The gateway's manifests: valid, of one mind with its code and its settings, and as closed as those of the service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from producer.web.settings import ServeSettings
from tests.harness.web import add_key
from tests.harness.web_server import certificate_files
from transport.settings.kafka import load

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/kubernetes/gateway"
BASE = ROOT / "deploy/kubernetes/base"
OLDEST = "1.30"
CLIENTS_OF_KAFKA_S = 10
"""Generous for what the gateway closes after its last request."""
FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def manifest(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    return read


def pod(folder: Path = FOLDER) -> dict[str, Any]:
    template: dict[str, Any] = manifest("deployment", folder)["spec"]["template"]
    return template


def container(folder: Path = FOLDER) -> dict[str, Any]:
    (only,) = pod(folder)["spec"]["containers"]
    found: dict[str, Any] = only
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", FILES)
def test_a_manifest_is_valid_for_old_and_new_clusters(name: str, version: str) -> None:
    kubernetes_validate.validate(manifest(name.removesuffix(".yaml")), version, strict=True)


def test_the_kustomization_holds_every_file_beside_it_and_sets_the_image() -> None:
    assert manifest("kustomization")["resources"] == FILES
    assert {f"{path.name}" for path in BASE.glob("*.yaml")} == {*FILES, "kustomization.yaml"}
    assert [image["name"] for image in manifest("kustomization")["images"]] == [container()["image"]]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]["gateway"]
    assert compose["image"] == "${DIGITSTREAM_IMAGE:-digitstream}-web"
    assert container()["image"] == "digitstream-web"
    assert container()["args"] == compose["command"]


def test_its_settings_are_those_of_the_server_and_its_secrets_are_at_their_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = {each["mountPath"]: each["name"] for each in container()["volumeMounts"]}
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod()["spec"]["volumes"] if "secret" in each}
    made = made_by_the_documented_commands()
    chain, key, _ = certificate_files(tmp_path)
    add_key(tmp_path / "keys.toml", "shop")
    given = {"tls.crt": chain, "tls.key": key, "keys.toml": tmp_path / "keys.toml"}
    for name, value in manifest("configmap")["data"].items():
        path = Path(value)
        if path.is_absolute():
            assert path.name in made[secrets[mounts[str(path.parent)]]]
        monkeypatch.setenv(name, str(given.get(path.name, value)))
    read = load(ServeSettings, owns_prefix=True)
    assert read.web.listen.cert_file
    assert read.web.access.configured
    assert not read.web.access.anonymous
    assert [port["containerPort"] for port in container()["ports"]] == [read.web.listen.port]
    assert container()["envFrom"] == [{"configMapRef": {"name": manifest("configmap")["metadata"]["name"]}}]
    slept_s = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace_s = pod()["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= slept_s + read.web.listen.stop_s + CLIENTS_OF_KAFKA_S
    held = read.web.upload.bodies_bytes + read.web.gateway.max_buffered_bytes + read.web.gateway.max_kept_bytes
    assert held < 1024**3 / 2
    assert container()["resources"]["limits"]["memory"] == "1Gi"


def made_by_the_documented_commands() -> dict[str, set[str]]:
    """Give the keys of each secret that the commands of docs/operations.md make for the gateway."""
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    made = {}
    for kind, name, rest in re.findall(r"kubectl create secret (\w+) (digitstream-gateway-\w+) (.*)", operations):
        made[name] = {"tls.crt", "tls.key"} if kind == "tls" else set(re.findall(r"--from-file=([\w.-]+)", rest))
    return made


def test_the_gateway_talks_to_the_brokers_group_and_topics_of_the_service() -> None:
    ours, services = manifest("configmap")["data"], manifest("configmap", BASE)["data"]
    shared = {name for name in services if name.startswith(("DIGITS_KAFKA__", "DIGITS_TOPICS__"))}
    assert {name: ours[name] for name in shared} == {name: services[name] for name in shared}
    assert manifest("networkpolicy")["spec"]["egress"] == manifest("networkpolicy", BASE)["spec"]["egress"]


def test_everything_selects_the_gateways_pods_alone_and_its_port() -> None:
    labels = pod()["metadata"]["labels"].items()
    chosen = [
        manifest("deployment")["spec"]["selector"]["matchLabels"],
        manifest("poddisruptionbudget")["spec"]["selector"]["matchLabels"],
        manifest("networkpolicy")["spec"]["podSelector"]["matchLabels"],
        manifest("service")["spec"]["selector"],
    ]
    assert all(each and each.items() <= labels for each in chosen)
    assert all(not each.items() <= pod(BASE)["metadata"]["labels"].items() for each in chosen)
    of_the_service = manifest("deployment", BASE)["spec"]["selector"]["matchLabels"]
    assert not of_the_service.items() <= labels, "the service's objects would select the gateway"
    (port,) = [each["name"] for each in container()["ports"]]
    (served,) = manifest("service")["spec"]["ports"]
    assert served["targetPort"] == port
    assert manifest("networkpolicy")["spec"]["ingress"][0]["ports"] == [{"port": port}]
    assert {(container()[probe]["httpGet"]["port"], container()[probe]["httpGet"]["scheme"]) for probe in PROBES} == {
        (port, "HTTPS")
    }
    assert [container()[probe]["httpGet"]["path"] for probe in PROBES] == ["/livez", "/livez", "/readyz"]


def test_prometheus_asks_the_gateways_pods_for_their_metrics_over_tls() -> None:
    monitor = manifest("servicemonitor", FOLDER / "prometheus-operator")["spec"]
    service = manifest("service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert not monitor["selector"]["matchLabels"].items() <= manifest("service", BASE)["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["scheme"] == container()["readinessProbe"]["httpGet"]["scheme"].lower()
    assert endpoint["path"] in json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))["paths"]


def test_the_pod_may_do_no_more_than_that_of_the_service() -> None:
    assert manifest("serviceaccount")["automountServiceAccountToken"] is False
    for name in ("automountServiceAccountToken", "enableServiceLinks", "securityContext"):
        assert pod()["spec"][name] == pod(BASE)["spec"][name]
    assert container()["securityContext"] == container(BASE)["securityContext"]
    assert [each for each in pod()["spec"]["volumes"] if "emptyDir" in each] == [
        each for each in pod(BASE)["spec"]["volumes"] if "emptyDir" in each
    ]
