"""The runbook's searches match lines of the log."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.telemetry.logging_config import JsonFormatter
from tests.integration.deploy.charts import ROOT

RUNBOOK: Final = (ROOT / "deploy" / "observability" / "README.md").read_text(encoding="utf-8")
#: Parts of a line, such as "message":"exchange failed".
FRAGMENTS: Final = sorted(set(re.findall(r'"[a-z_]+":"[^"\n]+"', RUNBOOK)))
COMMANDS: Final = re.findall(r"^((?:grep|jq) .+) gateway\.log", RUNBOOK, re.MULTILINE)


def line(**fields: Any) -> str:
    """Return a line as the service writes it."""
    message = fields.pop("message", "request")
    record = logging.LogRecord("gateway.access", logging.INFO, "", 0, message, None, None)
    record.__dict__["fields"] = fields
    return JsonFormatter().format(record)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_fragment_has_the_format_of_the_log(fragment: str) -> None:
    """A line with the field contains the text as the runbook writes it, and the service logs such a message."""
    fields = json.loads(f"{{{fragment}}}")
    assert fragment in line(**fields)
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "gateway").rglob("*.py"))
    assert all(f'"{value}"' in source for name, value in fields.items() if name != "request_id")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_finds_its_lines(command: str, tmp_path: Path) -> None:
    """Each search of the runbook finds a line of a log that has it, and not the others."""
    if shutil.which(command.split(maxsplit=1)[0]) is None:
        pytest.skip(f"needs {command.split(maxsplit=1)[0]}")
    lines = [
        line(request_id="6cee6174", status=503, code="backend_unavailable", caller="portal", operation="op-1"),
        line(message="exchange failed", request_id="6cee6174", backend="cmdb", operation="op-1"),
        line(message="credential refused", request_id="other", refused="aud", value="x"),
        line(message="other", request_id="none"),
    ]
    (tmp_path / "gateway.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    run = subprocess.run(
        ["bash", "-c", f"{command} gateway.log"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert 0 < len(run.stdout.splitlines()) < len(lines)


def test_the_runbook_has_searches() -> None:
    assert len(COMMANDS) >= 3
    assert len(FRAGMENTS) >= 6
