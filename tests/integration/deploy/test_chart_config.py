"""The configuration that the chart writes, read by the program that gets it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.app import load_settings
from gateway.settings import ConfigurationError
from tests.integration.deploy.charts import VALUES, changed, only, template

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


def document(name: str, **changes: Any) -> str:
    found: str = only(template(changed(name, **changes)), "ConfigMap")["data"]["gateway.toml"]
    return found


def mounted(text: str, folder: Path) -> str:
    """Lay the configuration and its secrets into a folder, and return where the configuration is."""
    for key, value in KEYS.items():
        (folder / key).write_text(value + "\n", encoding="utf-8")
    config = folder / "gateway.toml"
    config.write_text(text.replace(SECRETS, str(folder)), encoding="utf-8")
    return str(config)


@pytest.mark.parametrize("name", CONFIGURED)
def test_the_program_takes_it(name: str, tmp_path: Path) -> None:
    """With the secrets mounted the program starts on an open address, and has nothing to warn of."""
    settings = load_settings({"GATEWAY_BIND": "0.0.0.0:8000"}, mounted(document(name), tmp_path))
    assert {each.name for each in settings.backends} == {"cmdb", "projectman"}
    assert settings.auth.required
    assert settings.auth.callers[0].key_digests == tuple(DIGESTS.values())
    assert settings.warnings == ()


@pytest.mark.parametrize("name", CONFIGURED)
def test_nothing_is_lost_on_the_way(name: str) -> None:
    """What stands under `config` is what stands in the file, names and texts of any kind among them."""
    values = yaml.safe_load((Path(__file__).parents[3] / "deploy/chart/values.yaml").read_text(encoding="utf-8"))
    assert tomllib.loads(document(name)) == {**values["config"], **VALUES[name]["config"]}


def test_no_secret_is_in_any_manifest(tmp_path: Path) -> None:
    """Secrets are files of a secret that the chart does not make; its manifests hold their places alone."""
    for name in VALUES:
        documents = template(VALUES[name])
        assert "Secret" not in {each["kind"] for each in documents}
        assert "not-in-the-map" not in yaml.safe_dump(documents)
    mounted(document("everything configured"), tmp_path)  # what is looked for above is really what is read
    assert (tmp_path / "cmdb_app_secret").read_text(encoding="utf-8").strip() == "not-in-the-map"


def test_the_defaults_start_nothing(tmp_path: Path) -> None:
    """Values that nobody has filled in configure no backend and no caller, and the program says so."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"GATEWAY_BIND": "0.0.0.0:8000"}, mounted(document("defaults"), tmp_path))
    assert {line.partition(":")[0] for line in caught.value.errors} == {"auth.mode"}
