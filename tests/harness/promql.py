"""The queries that we hand to operators: in the dashboard, the rules and the manifests; and what they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
DASHBOARD: Final = DEPLOY / "grafana/dashboards/digitstream.json"
RULES: Final = DEPLOY / "prometheus/rules.yml"

_VARIABLE = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Selector:
    """What a query asks for: series of a name whose labels have, or match, these values."""

    name: str
    labels: tuple[tuple[str, str], ...]


def dashboard() -> dict[str, Any]:
    """Read the dashboard."""
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def rules() -> list[dict[str, Any]]:
    """Read all rules, recording and alerting."""
    return [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Read the alerting rules."""
    return [rule for rule in rules() if "alert" in rule]


def queries() -> Iterator[str]:
    """Yield every query of dashboard and rules; of a dashboard's variable its selector with its label."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "1m")
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            asked = _VARIABLE.fullmatch(variable["definition"])
            assert asked, variable["definition"]
            yield f"count by ({asked['label']}) ({asked['selector']})"
    for rule in rules():
        yield rule["expr"]


def selectors(query: str) -> list[Selector]:
    """Parse a query and return what it asks for.

    Raises
    ------
    ValueError
        It is no PromQL.
    """
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name, query
            found.append(Selector(node.name, tuple((each.name, each.value) for each in node.matchers.matchers)))

    promql_parser.walk(promql_parser.parse(query), pre_visit=visit)
    return found


def grouped(query: str) -> set[str]:
    """Return the labels by which a query groups."""
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)

    promql_parser.walk(promql_parser.parse(query), pre_visit=visit)
    return found
