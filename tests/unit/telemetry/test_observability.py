"""The dashboard and the alerts query metrics and labels that exist, and the alerts fire when they should.

`promtool` comes with Debian's package `prometheus`; where it is not on the PATH its part is skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.metrics import METHODS, RESULTS, Metrics

FOLDER: Final = Path(__file__).parents[3] / "deploy" / "observability"
#: Labels that Prometheus adds to every series.
TARGET_LABELS: Final = {"job", "instance"}
_SERIES: Final = re.compile(r"\b(gateway_[a-z_]+)(?:\{([^}]*)\})?")
_MATCHER: Final = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
_GROUPING: Final = re.compile(r"\b(?:by|on|without)\s*\(([^)]*)\)")
_LEGEND: Final = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


def _rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    panels = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def _queries() -> Iterator[tuple[str, str, str]]:
    """Yield the alert or panel of each query, the query, and its legend."""
    for rule in _rules():
        yield rule["alert"], rule["expr"], rule["annotations"]["summary"]
    for panel in _panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


QUERIES: Final = list(_queries())


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """The names of all series of a service that has recorded one of everything, with their labels."""
    metrics = Metrics(lambda: {"succeeded": 1}, lambda: 1.0, backends=["cmdb"])
    fields = {"route": "/modules", "method": "POST", "status": 201, "code": None, "backend": "cmdb", "outcome": None}
    metrics.record_request(fields, 0.1)
    metrics.record_exchange("cmdb", "2xx", 0.1)
    metrics.record_lookup("cmdb", "succeeded")
    metrics.record_ended("succeeded")
    metrics.record_unmapped_code("cmdb", "1")
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


@pytest.mark.parametrize(("where", "expression", "legend"), QUERIES, ids=[query[0] for query in QUERIES])
def test_every_metric_exists(exposed: dict[str, set[str]], where: str, expression: str, legend: str) -> None:
    """A query names series that /metrics has, and their labels: in matchers, groupings and legends."""
    series = _SERIES.findall(expression)
    assert series
    labels = set(TARGET_LABELS)
    for name, matchers in series:
        assert name in exposed, where
        labels |= exposed[name]
        matched = {label for label, _, _ in _MATCHER.findall(matchers)}
        assert matched <= exposed[name] | TARGET_LABELS, where
    grouped = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")} - {""}
    assert grouped | set(_LEGEND.findall(legend)) <= labels, where


@pytest.mark.parametrize(("where", "expression", "_legend"), QUERIES, ids=[query[0] for query in QUERIES])
def test_every_value_exists(where: str, expression: str, _legend: str) -> None:
    """A matcher names codes, states, methods and results that exist."""
    values = {"code": _codes(), "state": _states(), "method": METHODS, "result": RESULTS}
    for label, _operator, value in _MATCHER.findall(expression):
        assert label not in values or set(filter(None, value.split("|"))) <= values[label], where


def _codes() -> frozenset[str]:
    from gateway.domain.errors import REGISTRY  # noqa: PLC0415

    return frozenset(REGISTRY)


def _states() -> frozenset[str]:
    from gateway.domain.operation import State  # noqa: PLC0415

    return frozenset(state.value for state in State)


def test_every_metric_is_documented(exposed: dict[str, set[str]]) -> None:
    """The README beside them has one line for every metric, and for no other."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = {re.split(r"[{`]", line)[1] for line in page.splitlines() if line.startswith("| `gateway_")}
    suffixes = ("_bucket", "_sum", "_count", "_created")
    assert table == {name for name in exposed if not name.endswith(suffixes)} | {
        name.removesuffix("_bucket") for name in exposed if name.endswith("_bucket")
    }


def test_every_alert_has_a_runbook_section() -> None:
    """Each alert links to a heading of the runbook, and each heading belongs to an alert."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    alerts = [rule["alert"] for rule in _rules()]
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == alerts
    for rule in _rules():
        assert rule["annotations"]["runbook"] == f"deploy/observability/README.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_panels_do_not_overlap() -> None:
    """Every panel has its own position and title, and a description."""
    occupied: set[tuple[int, int]] = set()
    panels = _panels()
    for panel in panels:
        position = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        assert not occupied & cells
        assert position["x"] + position["w"] <= 24
        assert panel["description"]
        occupied |= cells
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)


@pytest.fixture
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return path


def test_promtool_accepts_the_rules(promtool: str) -> None:
    """`promtool check rules` accepts the rules."""
    run = subprocess.run(
        [promtool, "check", "rules", FOLDER / "alerts.yaml"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_alerts_fire(promtool: str, tmp_path: Path) -> None:
    """Each alert fires on its condition, and none fires in normal operation (`promtool test rules`)."""
    cases = Path(__file__).with_name("alerts_fire.yaml").read_text(encoding="utf-8")
    (path := tmp_path / "cases.yaml").write_text(cases.replace("RULES", str(FOLDER / "alerts.yaml")))
    run = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_has_a_case() -> None:
    """Every alert is in those cases, firing and not firing."""
    cases = yaml.safe_load(Path(__file__).with_name("alerts_fire.yaml").read_text(encoding="utf-8"))["tests"]
    firing = set(re.findall(r'alertname="(\w+)"', json.dumps(cases).replace('\\"', '"')))
    silent = {alert["alertname"] for case in cases for alert in case.get("alert_rule_test", [])}
    assert firing == silent == {rule["alert"] for rule in _rules()}
