"""Runs Helm, if available: the program on the PATH, or its engine in the package helm-python-sdk."""

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

from tests.integration.deploy.charts import CHART, RELEASE, parse_manifests

_PROGRAM: Final = shutil.which("helm")
_PACKAGE: Final = "helm_python"
AVAILABLE: Final = bool(_PROGRAM or find_spec(_PACKAGE))
_INFORMATION: Final = 1  # the lowest severity; higher ones are warnings and errors


class RefusedError(Exception):
    """Helm refused to render the chart."""


def template(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the manifests that Helm renders; no cluster is needed."""
    if _PROGRAM:
        process = _run(values, "template", RELEASE, str(CHART))
        if process.returncode:
            raise RefusedError(process.stderr)
        return [document for document in yaml.safe_load_all(process.stdout) if document]
    engine = import_module(_PACKAGE)
    with engine.Chart.load(str(CHART)) as chart:
        try:
            chart.validate_schema(chart.merge_values(dict(values)))
            texts = chart.render(dict(values), name=RELEASE, namespace=RELEASE)
        except engine.HelmError as error:
            raise RefusedError(str(error)) from error
    return parse_manifests({name: text for name, text in texts.items() if name.endswith(".yaml")})


def lint(values: Mapping[str, Any]) -> Sequence[str]:
    """Return the warnings and errors of `helm lint`."""
    if _PROGRAM:
        process = _run(values, "lint", "--strict", str(CHART))
        return [process.stdout + process.stderr] if process.returncode else []
    result = import_module(_PACKAGE).lint(str(CHART), dict(values), strict=True, namespace=RELEASE)
    return [*result["errors"], *(entry["error"] for entry in result["messages"] if entry["severity"] > _INFORMATION)]


def _run(values: Mapping[str, Any], *command: str) -> subprocess.CompletedProcess[str]:
    assert _PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="helm-") as folder:
        file = Path(folder, "values.json")
        file.write_text(json.dumps(values), encoding="utf-8")
        arguments = [_PROGRAM, *command, "--values", str(file), "--namespace", RELEASE]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)
