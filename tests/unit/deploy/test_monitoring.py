"""Dashboard and alerts as files: complete, and explained in the documentation."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import yaml

from tests.harness import promql
from tests.harness.markdown import anchors

OPERATIONS = Path(__file__).parents[3] / "docs/operations.md"


def test_panels_have_their_own_ids_and_places() -> None:
    panels = promql.dashboard()["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells), "two panels overlap"
    assert max(x for x, _ in cells) < 24


def test_every_panel_has_a_title_a_meaning_and_a_query_of_the_chosen_source() -> None:
    panels = [panel for panel in promql.dashboard()["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    for panel in panels:
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["targets"], panel["title"]
        for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert source == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_panels_and_units_are_such_as_grafana_has() -> None:
    # Grafana shows an unknown panel as an empty one, and an unknown unit as a word after the number.
    panels = promql.dashboard()["panels"]
    assert {panel["type"] for panel in panels} <= {"bargauge", "row", "stat", "table", "timeseries"}
    units = {
        panel["fieldConfig"]["defaults"]["unit"]
        for panel in panels
        if panel["type"] in {"bargauge", "stat", "timeseries"}
    }
    assert units <= {"Bps", "bytes", "percentunit", "s", "short"}


def test_every_series_is_that_of_the_chosen_namespace_and_job() -> None:
    variables = {variable["name"]: variable for variable in promql.dashboard()["templating"]["list"]}
    # Where there is only one, series may have no such label: that is what ".*" matches, and ".+" does not.
    assert (variables["namespace"]["includeAll"], variables["namespace"]["allValue"]) == (True, ".*")
    for panel in promql.dashboard()["panels"]:
        for target in panel.get("targets", []):
            for selector in promql.selectors(target["expr"].replace("$__rate_interval", "1m")):
                of_http = selector.name.startswith(("digits_gateway_", "digits_http_"))
                jobs = {"$gateway"} if of_http else {"$job", "$gateway"}
                assert ("namespace", "$namespace") in selector.labels, target["expr"]
                assert jobs & {value for label, value in selector.labels if label == "job"}, target["expr"]
                assert len({each for each in selector.labels if each[0] == "job"}) == 1


def test_every_query_is_promql() -> None:
    asked = list(promql.queries())
    assert len(asked) > 40
    assert all(promql.selectors(query) for query in asked)


@pytest.mark.parametrize("alert", promql.alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_has_a_description_and_a_runbook_link(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    document, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert document == "docs/operations.md"
    assert anchor in anchors(OPERATIONS.read_text(encoding="utf-8"))


def test_every_alert_is_seen_to_fire_by_the_rules_tests() -> None:
    tests = yaml.safe_load((promql.DEPLOY / "prometheus/rules_test.yml").read_text(encoding="utf-8"))["tests"]
    samples = [sample for test in tests for case in test.get("promql_expr_test", []) for sample in case["exp_samples"]]
    fired = {name for sample in samples for name in re.findall(r'alertname="(\w+)"', sample["labels"])}
    fired |= {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert fired == {alert["alert"] for alert in promql.alerts()}
