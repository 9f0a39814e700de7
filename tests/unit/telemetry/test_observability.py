"""The dashboard and the alerts: they ask for figures and labels that exist, and the alerts are heard when they should.

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
#: Given by Prometheus to every series.
TARGET: Final = {"job", "instance"}
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


def _questions() -> Iterator[tuple[str, str, str]]:
    """Yield where each question stands, the question, and what its answer is called."""
    for rule in _rules():
        yield rule["alert"], rule["expr"], rule["annotations"]["summary"]
    for panel in _panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


QUESTIONS: Final = list(_questions())


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """The names of all series of a service that has seen something of everything, with their labels."""
    metrics = Metrics(lambda: {"succeeded": 1}, lambda: 1.0, backends=["cmdb"])
    facts = {"route": "/modules", "method": "POST", "status": 201, "code": None, "backend": "cmdb", "outcome": None}
    metrics.requested(facts, 0.1)
    metrics.record_exchange("cmdb", "2xx", 0.1)
    metrics.look("cmdb", "succeeded")
    metrics._unmapped.labels("cmdb", "1").inc()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize(("where", "expression", "legend"), QUESTIONS, ids=[each[0] for each in QUESTIONS])
def test_every_figure_exists(exposed: dict[str, set[str]], where: str, expression: str, legend: str) -> None:
    """A question names series that /metrics has, and labels that those have: in matchers, groupings and legends."""
    series = _SERIES.findall(expression)
    assert series
    known = set(TARGET)
    for name, matchers in series:
        assert name in exposed, where
        known |= exposed[name]
        asked = {label for label, _, _ in _MATCHER.findall(matchers)}
        assert asked <= exposed[name] | TARGET, where
    grouped = {label.strip() for labels in _GROUPING.findall(expression) for label in labels.split(",")} - {""}
    assert grouped | set(_LEGEND.findall(legend)) <= known, where


@pytest.mark.parametrize(("where", "expression", "_legend"), QUESTIONS, ids=[each[0] for each in QUESTIONS])
def test_every_value_exists(where: str, expression: str, _legend: str) -> None:
    """A matcher asks for codes, states, methods and results that there are."""
    words = {"code": _codes(), "state": _states(), "method": METHODS, "result": RESULTS}
    for label, _operator, value in _MATCHER.findall(expression):
        assert label not in words or set(filter(None, value.split("|"))) <= words[label], where


def _codes() -> frozenset[str]:
    from gateway.domain.errors import REGISTRY  # noqa: PLC0415

    return frozenset(REGISTRY)


def _states() -> frozenset[str]:
    from gateway.domain.operation import State  # noqa: PLC0415

    return frozenset(state.value for state in State)


def test_every_figure_is_explained(exposed: dict[str, set[str]]) -> None:
    """The page beside them has a line for every figure, and for no other."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = {re.split(r"[{`]", line)[1] for line in page.splitlines() if line.startswith("| `gateway_")}
    suffixes = ("_bucket", "_sum", "_count", "_created")
    assert table == {name for name in exposed if not name.endswith(suffixes)} | {
        name.removesuffix("_bucket") for name in exposed if name.endswith("_bucket")
    }


def test_every_alert_has_its_page() -> None:
    """Each alert leads to a heading of the runbook, and each heading belongs to an alert."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    alerts = [rule["alert"] for rule in _rules()]
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == alerts
    for rule in _rules():
        assert rule["annotations"]["runbook"] == f"deploy/observability/README.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_panels_do_not_overlap() -> None:
    """Every panel has a place of its own, a title of its own, and says what it shows."""
    places: set[tuple[int, int]] = set()
    panels = _panels()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & cells
        assert at["x"] + at["w"] <= 24
        assert panel["description"]
        places |= cells
    assert len({panel["title"] for panel in panels}) == len({panel["id"] for panel in panels}) == len(panels)


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


def test_rules_are_sound(promtool: str) -> None:
    """Prometheus' own checker takes the rules."""
    run = subprocess.run(
        [promtool, "check", "rules", FOLDER / "alerts.yaml"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_alerts_fire(promtool: str, tmp_path: Path) -> None:
    """Prometheus' own tester hears each alert when its reason is there, and none of them when all is well."""
    cases = Path(__file__).with_name("alerts_fire.yaml").read_text(encoding="utf-8")
    (written := tmp_path / "cases.yaml").write_text(cases.replace("RULES", str(FOLDER / "alerts.yaml")))
    run = subprocess.run([promtool, "test", "rules", written], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_is_tried() -> None:
    """No alert is left out of those cases."""
    cases = yaml.safe_load(Path(__file__).with_name("alerts_fire.yaml").read_text(encoding="utf-8"))["tests"]
    heard = set(re.findall(r'alertname="(\w+)"', json.dumps(cases).replace('\\"', '"')))
    quiet = {each["alertname"] for case in cases for each in case.get("alert_rule_test", [])}
    assert heard == quiet == {rule["alert"] for rule in _rules()}
