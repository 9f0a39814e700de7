"""A third backend is one folder: no existing line changes, and the contract suite discovers it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SERVE = """
import json, tests.architecture.plugin
from gateway.app import create_app
from gateway.backends import discover
from gateway.settings import parse_settings
from tests.conftest import serve_locally
document = {"backends": {"box": {"type": "toy", "shelf": "shelf"}}}
settings = parse_settings(document, {}, {name: type_.OptionsSchema for name, type_ in discover().items()})
client = serve_locally(create_app(settings)).test_client()
created = client.post("/modules", json={"backend": "box", "scope": "shelf", "name": "bear"})
backend = client.get("/backends/box")
refused = client.post("/modules", json={"backend": "box", "scope": "SHELF", "name": "bear"})
pointer = refused.json["errors"][0]["pointer"]
print(json.dumps([created.status_code, created.json["id"], backend.json["title"], pointer]))
"""


def test_the_contract_suite_finds_and_passes_it() -> None:
    """The suite passes for the toy; only the test of children is skipped."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.architecture.plugin", "tests/contract/test_suite.py"]
    run = _run([*command, "-q", "-k", "toy", "-p", "no:cacheprovider", "-p", "no:cov"])
    assert run.returncode == 0, run.stdout + run.stderr
    summary = re.search(r"(\d+) passed, (\d+) skipped", run.stdout)
    assert summary is not None, run.stdout
    assert int(summary[1]) >= 17
    assert summary[2] == "1"


def test_the_service_serves_it() -> None:
    """/modules and /backends serve a configured toy."""
    run = _run([sys.executable, "-c", _SERVE])
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [201, "box.1", "A box of toys", "/scope"]


def test_nothing_above_names_a_backend() -> None:
    """No line outside the backends and the twins (and the sandbox, which is about these two) knows one by name."""
    allowed = {"backends", "twins", "cli", "fields.py", "schemas.py", "replies.py", "openapi.py"}
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        if path.relative_to(ROOT / "gateway").parts[0] in allowed or path.name in allowed:
            continue
        code = "\n".join(line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines())
        assert not re.search(r"['\"](cmdb|projectman)['\"]|\bbk_|PM\.\d|APIGW", code), path


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
