"""The pytest plugin fails a test that logs a secret, and no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

#: Log statements with a secret in message, arguments, fields, traceback or base64; and without a record of one.
STATEMENTS: Final = {
    "message": "warning('it is canary-app-secret')",
    "arguments": "warning('it is %s', 'canary-app-secret')",
    "fields": "warning('m', extra={'fields': {'a': ['canary-app-secret']}})",
    "trace": "warning('m', exc_info=RuntimeError('canary-app-secret'))",
    "base64": "warning('Basic eDpjYW5hcnktYXBwLXNlY3JldA==')",
    "nothing": "warning('canary, but no secret')",
    "disabled_level": "debug('canary-app-secret')",
}


def test_plugin(tmp_path: Path) -> None:
    """Only the tests that log a secret fail, and so does the session."""
    tests = (
        f"def test_{name}():\n    logging.getLogger('gateway.x').{statement}\n"
        for name, statement in STATEMENTS.items()
    )
    (tmp_path / "test_it.py").write_text("import logging\n" + "".join(tests))
    plugin = "tests.integration.secret_leaks.plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", plugin, "-p", "no:cacheprovider", "--rootdir"]
    root, environ = Path(__file__).parents[3], {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    process = subprocess.run(
        [*command, str(tmp_path), str(tmp_path)],
        cwd=root, env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert process.returncode == 1
    failed = {
        line.split("::test_")[1].split(" ")[0] for line in process.stdout.splitlines() if line.startswith("ERROR ")
    }
    assert failed == {"message", "arguments", "fields", "trace", "base64"}, process.stdout
    assert "a secret was logged: gateway.x: " in process.stdout
