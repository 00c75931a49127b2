"""The manifests: valid, and of one mind with the code, the image, the rules and each other."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pytest
import yaml

from consumer.observe.health import Health
from consumer.observe.metrics import Metrics
from consumer.observe.server import application
from consumer.settings import Settings
from consumer.shutdown_timeouts import max_shutdown_s
from tests.harness import promql
from transport.settings.kafka import load

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/kubernetes"
BASE = FOLDER / "base"
GATEWAY = FOLDER / "gateway"
KEDA = FOLDER / "components/keda"
PROMETHEUS_OPERATOR = FOLDER / "components/prometheus-operator"
OLDEST = "1.30"
KUBELETS_LOG_FILES = 5  # containerLogMaxFiles
KUBELETS_LOG_FILE_MIB = 10  # containerLogMaxSize
INTERPRETER_S = 5
"""Generous for what comes after the last deadline, on a busy machine."""


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")


def manifest(name: str, folder: Path = BASE) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
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
@pytest.mark.parametrize("name", files(BASE))
def test_a_manifest_is_valid_for_old_and_new_clusters(name: str, version: str) -> None:
    kubernetes_validate.validate(manifest(name), version, strict=True)


@pytest.mark.parametrize("folder", [BASE, KEDA, PROMETHEUS_OPERATOR], ids=lambda folder: folder.name)
def test_a_kustomization_holds_every_file_beside_it(folder: Path) -> None:
    assert manifest("kustomization.yaml", folder)["resources"] == files(folder)


def test_the_base_sets_the_image_of_the_container() -> None:
    assert [image["name"] for image in manifest("kustomization.yaml")["images"]] == [container()["image"]]


def test_only_components_hold_objects_of_operators() -> None:
    api = {folder: {manifest(name, folder)["apiVersion"] for name in files(folder)} for folder in (BASE, KEDA)}
    assert api[BASE] == {"v1", "apps/v1", "networking.k8s.io/v1", "policy/v1"}
    assert api[KEDA] == {"keda.sh/v1alpha1"}
    assert {manifest(name, PROMETHEUS_OPERATOR)["apiVersion"] for name in files(PROMETHEUS_OPERATOR)} == {
        "monitoring.coreos.com/v1"
    }


def test_the_pods_disk_limit_covers_its_tmp_and_the_kept_logs() -> None:
    (tmp,) = [each["emptyDir"]["sizeLimit"] for each in pod()["spec"]["volumes"] if "emptyDir" in each]
    resources = container()["resources"]
    requested, limit = (resources[kind]["ephemeral-storage"] for kind in ("requests", "limits"))
    needed = mebibytes(tmp) + KUBELETS_LOG_FILES * KUBELETS_LOG_FILE_MIB
    assert needed <= mebibytes(requested) < mebibytes(limit)


def mebibytes(quantity: str) -> int:
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi"))


def test_the_settings_of_the_manifests_are_settings_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(manifest("configmap.yaml")["data"], monkeypatch)
    assert container()["envFrom"] == [{"configMapRef": {"name": manifest("configmap.yaml")["metadata"]["name"]}}]
    assert [port["containerPort"] for port in container()["ports"]] == [read.health.port]
    assert str(read.workers) == container()["resources"]["requests"]["cpu"]


def test_the_grace_periods_are_longer_than_everything_that_an_orderly_end_waits_for() -> None:
    end_s = max_shutdown_s(Settings().shutdown_timeout_s) + INTERPRETER_S
    assert pod()["spec"]["terminationGracePeriodSeconds"] > end_s
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert float(compose["services"]["consumer"]["stop_grace_period"].removesuffix("s")) > end_s


def test_the_probes_ask_what_the_health_server_answers() -> None:
    routes = {route.resource.canonical for route in _routes()}
    asked = {container()[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"/livez", "/readyz"}
    assert asked <= routes
    (endpoint,) = manifest("servicemonitor.yaml", PROMETHEUS_OPERATOR)["spec"]["endpoints"]
    assert endpoint["path"] in routes


def _routes() -> Any:
    health, metrics = cast("Health", None), Metrics()  # no route is asked
    return application(health, metrics).router.routes()


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
    monitored = manifest("servicemonitor.yaml", PROMETHEUS_OPERATOR)["spec"]["selector"]["matchLabels"]
    assert monitored.items() <= manifest("service.yaml")["metadata"]["labels"].items()
    (port,) = [each["name"] for each in container()["ports"]]
    (served,) = manifest("service.yaml")["spec"]["ports"]
    assert served["targetPort"] == port
    assert manifest("servicemonitor.yaml", PROMETHEUS_OPERATOR)["spec"]["endpoints"][0]["port"] == served["name"]
    assert spec["networkpolicy"]["ingress"][0]["ports"] == [{"port": port}]
    assert {container()[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        port
    }


def test_it_is_scaled_by_the_lag_of_its_own_group_in_its_own_topic() -> None:
    data = manifest("configmap.yaml")["data"]
    spec = manifest("scaledobject.yaml", KEDA)["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["bootstrapServers"] == data["DIGITS_KAFKA__BOOTSTRAP_SERVERS"]
    assert trigger["metadata"]["consumerGroup"] == data["DIGITS_KAFKA__GROUP_ID"]
    assert trigger["metadata"]["topic"] == data["DIGITS_TOPICS__REQUESTS"]
    assert spec["scaleTargetRef"]["name"] == manifest("deployment.yaml")["metadata"]["name"]
    (patch,) = manifest("kustomization.yaml", KEDA)["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": "digitstream"}
    assert yaml.safe_load(patch["patch"]) == [{"op": "remove", "path": "/spec/replicas"}]
    assert manifest("deployment.yaml")["spec"]["replicas"] == spec["minReplicaCount"]


def test_the_brokers_port_is_let_out() -> None:
    ports = {each["port"] for rule in manifest("networkpolicy.yaml")["spec"]["egress"] for each in rule["ports"]}
    servers = manifest("configmap.yaml")["data"]["DIGITS_KAFKA__BOOTSTRAP_SERVERS"]
    assert int(servers.rpartition(":")[2]) in ports


def test_the_rules_are_those_that_are_tried() -> None:
    rules = "".join(line for line in promql.RULES.read_text().splitlines(keepends=True) if not line.startswith("#"))
    head, _, groups = (PROMETHEUS_OPERATOR / "prometheusrule.yaml").read_text().partition("spec:\n")
    assert head
    assert groups == textwrap.indent(rules, "  "), (
        "make it again: cd deploy/kubernetes/components/prometheus-operator && { sed '/^spec:/q' prometheusrule.yaml; "
        "sed '/^#/d; s/^./  &/' ../../../prometheus/rules.yml; } > new && mv new prometheusrule.yaml"
    )


def test_rules_and_dashboard_know_the_service_by_the_job_that_its_metrics_get() -> None:
    jobs = {
        value
        for query in promql.queries()
        for selector in promql.selectors(query)
        for label, value in selector.labels
        if label == "job"
    }
    label = manifest("servicemonitor.yaml", PROMETHEUS_OPERATOR)["spec"]["jobLabel"]
    of_the_gateway = manifest("servicemonitor.yaml", GATEWAY / "prometheus-operator")["spec"]["jobLabel"]
    assert jobs == {
        "$job",
        "$gateway",
        manifest("service.yaml")["metadata"]["labels"][label],
        manifest("service.yaml", GATEWAY)["metadata"]["labels"][of_the_gateway],
    }
    scraped = yaml.safe_load((promql.DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert {each["job_name"] for each in scraped} == jobs - {"$job", "$gateway"}


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
