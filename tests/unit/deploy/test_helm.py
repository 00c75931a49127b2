"""The Helm chart: it renders what the kustomizations hold, so that neither can drift from the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.harness.kubernetes_tools import (
    BUILD_TIMEOUT_S,
    HELM,
    RUN_TIMEOUT_S,
    Manifests,
    by_kind,
    kustomize,
    output,
    tool,
)

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy/helm/digitstream"
KUBERNETES = ROOT / "deploy/kubernetes"
OLDEST = "1.30"
OPERATORS = ("--set", "keda.enabled=true,prometheusOperator.enabled=true")
STORE = ("--set", "modelStore.enabled=true")
GATEWAY = ("--set", "gateway.enabled=true", "--show-only", "templates/gateway/*.yaml")
OF_OPERATORS = {"PrometheusRule", "ScaledObject", "ServiceMonitor"}
ONLY_HELMS = re.compile(
    r"helm\.sh/chart|checksum/settings|app\.kubernetes\.io/(instance|managed-by|name|part-of|version)"
)

# Where helm is not installed, the first of these tests builds it: minutes of CPU.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(BUILD_TIMEOUT_S + 60)]


@pytest.fixture(scope="module")
def helm() -> str:
    return tool("helm", HELM)


def rendered(helm: str, *options: str, release: str = "digitstream", version: str = OLDEST) -> Manifests:
    return by_kind(output(helm, "template", release, str(CHART), "--kube-version", version, *options))


def without_labels(value: Any) -> Any:
    """Leave out labels, annotations and selectors' labels that the chart adds, and what is empty without them."""
    if isinstance(value, dict):
        kept = {key: without_labels(each) for key, each in value.items() if not ONLY_HELMS.fullmatch(key)}
        return {key: each for key, each in kept.items() if each != {} or value[key] == {}}
    return [without_labels(each) for each in value] if isinstance(value, list) else value


def test_helm_finds_nothing_to_complain_about(helm: str) -> None:
    assert "[WARNING]" not in output(helm, "lint", "--strict", str(CHART), *OPERATORS, *STORE)


def test_with_its_default_values_the_chart_is_the_base(helm: str) -> None:
    assert without_labels(rendered(helm)) == without_labels(kustomize(KUBERNETES / "base"))


def test_with_operators_and_store_on_the_chart_is_the_base_with_its_components(helm: str, tmp_path: Path) -> None:
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(KUBERNETES / "base", tmp_path)],
        "components": [os.path.relpath(path, tmp_path) for path in sorted((KUBERNETES / "components").iterdir())],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    expected = kustomize(tmp_path)
    assert expected.keys() >= OF_OPERATORS
    assert without_labels(rendered(helm, *OPERATORS, *STORE)) == without_labels(expected)


def test_with_the_gateway_on_the_chart_adds_what_its_kustomization_has(helm: str) -> None:
    assert without_labels(rendered(helm, *GATEWAY)) == without_labels(kustomize(KUBERNETES / "gateway"))


def test_with_the_gateway_and_the_prometheus_operator_both_have_its_monitor(helm: str, tmp_path: Path) -> None:
    overlay = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(KUBERNETES / "gateway", tmp_path)],
        "components": [os.path.relpath(KUBERNETES / "gateway/prometheus-operator", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay), encoding="utf-8")
    expected = kustomize(tmp_path)
    assert "ServiceMonitor" in expected
    options = ("--set", "prometheusOperator.enabled=true,prometheusOperator.labels.release=mine")
    ours = rendered(helm, *GATEWAY, *options)
    assert ours["ServiceMonitor"]["metadata"]["labels"].pop("release") == "mine"
    assert without_labels(ours) == without_labels(expected)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_what_the_chart_renders_of_the_gateway_is_valid_for_old_and_new_clusters(helm: str, version: str) -> None:
    for manifest in rendered(helm, *GATEWAY, version=version).values():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_gateway_of_a_release_with_another_name_selects_its_own_pods(helm: str) -> None:
    manifests = rendered(helm, *GATEWAY, "--set", "prometheusOperator.enabled=true", release="second")
    assert {manifest["metadata"]["name"] for manifest in manifests.values()} == {"second-gateway"}
    pod = manifests["Deployment"]["spec"]["template"]
    selectors = [
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["ServiceMonitor"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(each["app.kubernetes.io/instance"] == "second" for each in selectors)
    assert all(each.items() <= pod["metadata"]["labels"].items() for each in selectors)
    assert selectors[-1].items() <= manifests["Service"]["metadata"]["labels"].items()
    services = rendered(helm, release="second")["Service"]["spec"]["selector"]
    assert not services.items() <= pod["metadata"]["labels"].items()


def test_the_gateway_has_the_brokers_of_the_service_unless_it_names_its_own(helm: str) -> None:
    brokers, own = "DIGITS_KAFKA__BOOTSTRAP_SERVERS", "DIGITS_KAFKA__SASL_USERNAME"
    options = ("--set", f"settings.{brokers}=kafka.example:9093,settings.{own}=service,gateway.settings.{own}=gateway")
    data = rendered(helm, *GATEWAY, *options)["ConfigMap"]["data"]
    assert (data[brokers], data[own]) == ("kafka.example:9093", "gateway")
    assert "DIGITS_WORKERS" not in data


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_what_the_chart_renders_is_valid_for_old_and_new_clusters(helm: str, version: str) -> None:
    for kind, manifest in rendered(helm, *OPERATORS, *STORE, version=version).items():
        if kind not in OF_OPERATORS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_release_with_another_name_selects_its_pods_and_keeps_its_metrics_job(helm: str) -> None:
    manifests = rendered(helm, *OPERATORS, release="second")
    assert {manifest["metadata"]["name"] for manifest in manifests.values()} == {"second"}
    spec = {kind: manifest["spec"] for kind, manifest in manifests.items() if "spec" in manifest}
    pod = spec["Deployment"]["template"]
    (container,) = pod["spec"]["containers"]
    selectors = [
        spec["Deployment"]["selector"]["matchLabels"],
        spec["PodDisruptionBudget"]["selector"]["matchLabels"],
        spec["NetworkPolicy"]["podSelector"]["matchLabels"],
        spec["Service"]["selector"],
        spec["ServiceMonitor"]["selector"]["matchLabels"],
    ]
    assert all(each["app.kubernetes.io/instance"] == "second" for each in selectors)
    assert all(each.items() <= pod["metadata"]["labels"].items() for each in selectors)
    assert selectors[-1].items() <= manifests["Service"]["metadata"]["labels"].items()
    assert pod["spec"]["serviceAccountName"] == "second"
    assert container["envFrom"] == [{"configMapRef": {"name": "second"}}]
    assert spec["ScaledObject"]["scaleTargetRef"] == {"name": "second"}
    assert manifests["Service"]["metadata"]["labels"][spec["ServiceMonitor"]["jobLabel"]] == "digitstream"


def test_a_release_with_another_name_has_a_volume_for_models_of_its_own(helm: str) -> None:
    manifests = rendered(helm, *STORE, release="second")
    claim = manifests["PersistentVolumeClaim"]["metadata"]["name"]
    volumes = manifests["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert claim == "second-models"
    assert {"name": "models", "persistentVolumeClaim": {"claimName": claim}} in volumes


def test_the_values_of_the_documents_give_what_the_example_of_kustomize_gives(helm: str, tmp_path: Path) -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n# values of an installation\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    values = tmp_path / "values.yaml"
    values.write_text(block, encoding="utf-8")
    ours = without_labels(rendered(helm, "--values", str(values)))
    expected = without_labels(kustomize(KUBERNETES / "overlays/example"))
    del expected["TriggerAuthentication"]  # the chart leaves it to the user
    for manifest in expected.values():
        del manifest["metadata"]["namespace"]  # helm gives it when it installs
    assert ours == expected


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("settings.LOG_LEVEL=debug", "LOG_LEVEL"),
        ("keda.max=3", "max"),
        ("gateway.port=8000", "port"),
        ("replicas=two", "replicas"),
        ("settings.DIGITS_WORKERS=2", "DIGITS_WORKERS"),
    ],
)
def test_a_value_that_the_chart_does_not_know_is_refused_by_name(helm: str, option: str, named: str) -> None:
    command = [helm, "template", "digitstream", str(CHART), "--kube-version", OLDEST, "--set", option]
    refused = subprocess.run(command, check=False, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    assert refused.returncode != 0
    assert "values don't meet the specifications of the schema" in refused.stderr
    assert named in refused.stderr.partition("schema")[2]


def test_every_value_is_described_in_the_schema() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert values.keys() == schema["properties"].keys() - {"global"}
    for name, value in values.items():
        described = schema["properties"][name]
        if "properties" in described:
            assert value.keys() == described["properties"].keys(), name
