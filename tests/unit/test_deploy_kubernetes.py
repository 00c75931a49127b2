"""The manifests: valid, and of one mind with the code, the image, the rules and each other."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from consumer import health, lanes, process, service, tracing
from consumer.metrics import Metrics
from consumer.settings import Settings
from contract.settings import load
from tests.harness import promql

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
OF_KUBERNETES = [
    name for name in FILES if name not in ("prometheusrule.yaml", "scaledobject.yaml", "servicemonitor.yaml")
]
OLDEST = "1.30"


def manifest(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return read


def pod() -> dict[str, Any]:
    template: dict[str, Any] = manifest("deployment.yaml")["spec"]["template"]
    return template


def container() -> dict[str, Any]:
    (only,) = pod()["spec"]["containers"]
    found: dict[str, Any] = only
    return found


def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Read settings as the service would; an unknown or wrong one fails."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(Settings, owns_prefix=True)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", OF_KUBERNETES)
def test_a_manifest_is_valid_for_old_and_new_clusters(name: str, version: str) -> None:
    kubernetes_validate.validate(manifest(name), version, strict=True)


def test_the_kustomization_holds_every_file_and_the_image() -> None:
    kustomization = manifest("kustomization.yaml")
    assert kustomization["resources"] == FILES
    assert [image["name"] for image in kustomization["images"]] == [container()["image"]]


def test_the_settings_of_the_manifests_are_settings_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(manifest("configmap.yaml")["data"], monkeypatch)
    assert container()["envFrom"] == [{"configMapRef": {"name": manifest("configmap.yaml")["metadata"]["name"]}}]
    assert [port["containerPort"] for port in container()["ports"]] == [read.health.port]
    assert str(read.workers) == container()["resources"]["requests"]["cpu"]


def test_the_grace_periods_are_longer_than_everything_that_an_orderly_end_waits_for() -> None:
    end_s = Settings().drain_s + lanes.REVOKE_TIMEOUT_S + service.LEAVE_TIMEOUT_S + process.FAREWELL_S + tracing.FLUSH_S
    assert pod()["spec"]["terminationGracePeriodSeconds"] > end_s
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert float(compose["services"]["consumer"]["stop_grace_period"].removesuffix("s")) > end_s


def test_the_probes_ask_what_the_health_server_answers() -> None:
    routes = {route.resource.canonical for route in _routes()}
    asked = {container()[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"/livez", "/readyz"}
    assert asked <= routes
    (endpoint,) = manifest("servicemonitor.yaml")["spec"]["endpoints"]
    assert endpoint["path"] in routes


def _routes() -> Any:
    return health._application(health.Health(Settings(), Metrics())).router.routes()


def test_everything_selects_the_pods_and_the_port() -> None:
    labels = pod()["metadata"]["labels"].items()
    spec = {name: manifest(f"{name}.yaml")["spec"] for name in ("deployment", "poddisruptionbudget", "networkpolicy")}
    chosen = [
        spec["deployment"]["selector"]["matchLabels"],
        spec["poddisruptionbudget"]["selector"]["matchLabels"],
        spec["networkpolicy"]["podSelector"]["matchLabels"],
        manifest("service.yaml")["spec"]["selector"],
    ]
    assert all(each and each.items() <= labels for each in chosen)
    monitored = manifest("servicemonitor.yaml")["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= manifest("service.yaml")["metadata"]["labels"].items()
    (port,) = [each["name"] for each in container()["ports"]]
    (served,) = manifest("service.yaml")["spec"]["ports"]
    assert served["targetPort"] == port
    assert manifest("servicemonitor.yaml")["spec"]["endpoints"][0]["port"] == served["name"]
    assert spec["networkpolicy"]["ingress"][0]["ports"] == [{"port": port}]
    assert {container()[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        port
    }


def test_it_is_scaled_by_the_lag_of_its_own_group_in_its_own_topic() -> None:
    data = manifest("configmap.yaml")["data"]
    spec = manifest("scaledobject.yaml")["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["bootstrapServers"] == data["DIGITS_KAFKA__BOOTSTRAP_SERVERS"]
    assert trigger["metadata"]["consumerGroup"] == data["DIGITS_KAFKA__GROUP_ID"]
    assert trigger["metadata"]["topic"] == data["DIGITS_TOPICS__REQUESTS"]
    assert spec["scaleTargetRef"]["name"] == manifest("deployment.yaml")["metadata"]["name"]
    assert "replicas" not in manifest("deployment.yaml")["spec"]


def test_the_brokers_port_is_let_out() -> None:
    ports = {each["port"] for rule in manifest("networkpolicy.yaml")["spec"]["egress"] for each in rule["ports"]}
    servers = manifest("configmap.yaml")["data"]["DIGITS_KAFKA__BOOTSTRAP_SERVERS"]
    assert int(servers.rpartition(":")[2]) in ports


def test_the_rules_are_those_that_are_tried() -> None:
    rules = "".join(line for line in promql.RULES.read_text().splitlines(keepends=True) if not line.startswith("#"))
    head, _, groups = (FOLDER / "prometheusrule.yaml").read_text().partition("spec:\n")
    assert head
    assert groups == textwrap.indent(rules, "  "), (
        "make it anew: cd deploy/kubernetes && { sed '/^spec:/q' prometheusrule.yaml; "
        "sed '/^#/d; s/^./  &/' ../prometheus/rules.yml; } > new && mv new prometheusrule.yaml"
    )


def test_rules_and_dashboard_know_the_service_by_the_job_that_its_metrics_get() -> None:
    jobs = {
        value
        for query in promql.queries()
        for selector in promql.selectors(query)
        for label, value in selector.labels
        if label == "job"
    }
    assert jobs == {"$job", manifest("service.yaml")["metadata"]["name"]}
    (scraped,) = yaml.safe_load((promql.DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert scraped["job_name"] in jobs


def test_the_pod_may_do_nothing_that_it_need_not() -> None:
    assert pod()["spec"]["automountServiceAccountToken"] is False
    assert manifest("serviceaccount.yaml")["automountServiceAccountToken"] is False
    context = pod()["spec"]["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
