"""The guard over the whole suite: a test that logs a secret fails, one that does not passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

#: In words, values, fields, a trace, or base64; and not at all.
STATEMENTS: Final = {
    "words": "warning('it is canary-app-secret')",
    "values": "warning('it is %s', 'canary-app-secret')",
    "fields": "warning('m', extra={'fields': {'a': ['canary-app-secret']}})",
    "trace": "warning('m', exc_info=RuntimeError('canary-app-secret'))",
    "base64": "warning('Basic eDpjYW5hcnktYXBwLXNlY3JldA==')",
    "nothing": "warning('canary, but no secret')",
    "unheard": "debug('canary-app-secret')",
}


def test_guard(tmp_path: Path) -> None:
    """Each test that logs a secret is the one that is blamed, its neighbours are not; and the session fails."""
    tests = (f"def test_{name}():\n    logging.getLogger('gateway.x').{said}\n" for name, said in STATEMENTS.items())
    (tmp_path / "test_it.py").write_text("import logging\n" + "".join(tests))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.integration.secret_leaks.plugin",
        "-p",
        "no:cacheprovider",
        "--rootdir",
    ]
    root = Path(__file__).parents[3]
    run = subprocess.run(
        [*command, str(tmp_path), str(tmp_path)], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 1
    blamed = {line.split("::test_")[1].split(" ")[0] for line in run.stdout.splitlines() if line.startswith("ERROR ")}
    assert blamed == {"words", "values", "fields", "trace", "base64"}, run.stdout
    assert "a secret was logged: gateway.x: " in run.stdout
