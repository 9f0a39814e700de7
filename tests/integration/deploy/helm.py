"""Helm itself, where it is to be had: the program on the PATH, or its engine in the package helm-python-sdk."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import yaml

from tests.integration.deploy.charts import CHART, RELEASE, manifests

_PROGRAM: Final = shutil.which("helm")
_PACKAGE: Final = "helm_python"
THERE: Final = bool(_PROGRAM or find_spec(_PACKAGE))
_INFORMATION: Final = 1  # the least severity; what is above it is a complaint


class RefusedError(Exception):
    """Helm would not render."""


def template(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the manifests as Helm makes them; no cluster is asked."""
    if _PROGRAM:
        done = _run(values, "template", RELEASE, str(CHART))
        if done.returncode:
            raise RefusedError(done.stderr)
        return [document for document in yaml.safe_load_all(done.stdout) if document]
    engine = import_module(_PACKAGE)
    with engine.Chart.load(str(CHART)) as chart:
        try:
            chart.validate_schema(chart.merge_values(dict(values)))
            texts = chart.render(dict(values), name=RELEASE, namespace=RELEASE)
        except engine.HelmError as error:
            raise RefusedError(str(error)) from error
    return manifests({name: text for name, text in texts.items() if name.endswith(".yaml")})


def lint(values: Mapping[str, Any]) -> Sequence[str]:
    """Return what Helm complains of."""
    if _PROGRAM:
        done = _run(values, "lint", "--strict", str(CHART))
        return [done.stdout + done.stderr] if done.returncode else []
    found = import_module(_PACKAGE).lint(str(CHART), dict(values), strict=True, namespace=RELEASE)
    return [*found["errors"], *(each["error"] for each in found["messages"] if each["severity"] > _INFORMATION)]


def _run(values: Mapping[str, Any], *command: str) -> subprocess.CompletedProcess[str]:
    assert _PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="helm-") as folder:
        file = Path(folder, "values.json")
        file.write_text(json.dumps(values), encoding="utf-8")
        line = [_PROGRAM, *command, "--values", str(file), "--namespace", RELEASE]
        return subprocess.run(line, capture_output=True, text=True, check=False)
