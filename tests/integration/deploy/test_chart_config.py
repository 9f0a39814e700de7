"""The configuration that the chart writes, loaded by the gateway."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.app import load_settings
from gateway.settings import ConfigurationError
from tests.integration.deploy.charts import VALUES, find_manifest, template, values_with

SECRETS = "/etc/module-gateway/secrets"
DIGESTS = {"portal_sha256": "a" * 64, "portal_next_sha256": "b" * 64}
KEYS = {
    "journal_url": "postgresql://gateway:not-in-the-map@db/gateway",
    "cmdb_app_secret": "not-in-the-map",
    "projectman_access_key": "not-in-the-map",
    "projectman_secret_key": "not-in-the-map",
    **DIGESTS,
}
CONFIGURED = [name for name, values in VALUES.items() if "config" in values]


def configuration(name: str, **changes: Any) -> str:
    text: str = find_manifest(template(values_with(name, **changes)), "ConfigMap")["data"]["gateway.toml"]
    return text


def mount(text: str, folder: Path) -> str:
    """Write the configuration and its secrets into a folder and return the path of the configuration."""
    for key, value in KEYS.items():
        (folder / key).write_text(value + "\n", encoding="utf-8")
    config = folder / "gateway.toml"
    config.write_text(text.replace(SECRETS, str(folder)), encoding="utf-8")
    return str(config)


@pytest.mark.parametrize("name", CONFIGURED)
def test_gateway_loads_it(name: str, tmp_path: Path) -> None:
    """With the secrets mounted the gateway loads the configuration for a public address without warnings."""
    settings = load_settings({"GATEWAY_BIND": "0.0.0.0:8000"}, mount(configuration(name), tmp_path))
    assert {backend.name for backend in settings.backends} == {"cmdb", "projectman"}
    assert settings.auth.required
    assert settings.auth.callers[0].key_digests == tuple(DIGESTS.values())
    assert settings.warnings == ()


@pytest.mark.parametrize("name", CONFIGURED)
def test_configuration_is_complete(name: str) -> None:
    """The file has all values under `config`, including special characters."""
    values = yaml.safe_load((Path(__file__).parents[3] / "deploy/chart/values.yaml").read_text(encoding="utf-8"))
    assert tomllib.loads(configuration(name)) == {**values["config"], **VALUES[name]["config"]}


def test_no_secret_is_in_any_manifest(tmp_path: Path) -> None:
    """Secrets are files of a Secret that the chart does not create; the manifests only have their paths."""
    for name in VALUES:
        documents = template(VALUES[name])
        assert "Secret" not in {document["kind"] for document in documents}
        assert "not-in-the-map" not in yaml.safe_dump(documents)
    mount(
        configuration("everything configured"), tmp_path
    )  # the value that is searched for above is the value of the secret
    assert (tmp_path / "cmdb_app_secret").read_text(encoding="utf-8").strip() == "not-in-the-map"


def test_defaults_are_refused(tmp_path: Path) -> None:
    """The default values have no backend and no caller, and the gateway does not start."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings({"GATEWAY_BIND": "0.0.0.0:8000"}, mount(configuration("defaults"), tmp_path))
    assert {line.partition(":")[0] for line in raised.value.errors} == {"auth.mode"}
