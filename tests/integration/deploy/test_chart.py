"""The chart's manifests: valid for Kubernetes, secure pods, and a configuration that the gateway loads."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest
import yaml
from flask import Flask

from gateway.app import load_settings
from gateway.domain.backend import Backend
from gateway.settings import ConfigurationError, Settings
from tests.integration.deploy.charts import CHART, NAMES, RENDERED, manifest, manifests
from tests.integration.deploy.conftest import GunicornSettings

ALL_VALUES = pytest.mark.parametrize("name", NAMES)
CONFIGURED = pytest.mark.parametrize("name", ["postgresql", "sqlite"])
#: Custom resources, which have no schema in Kubernetes.
CUSTOM = {"ServiceMonitor"}
#: The oldest version that Chart.yaml allows and the newest with a schema.
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())
DIGESTS = {"portal_sha256": "a" * 64, "portal_next_sha256": "b" * 64}


def pod(name: str) -> dict[str, Any]:
    template: dict[str, Any] = manifest(name, "Deployment")["spec"]["template"]
    return template


def container(name: str) -> dict[str, Any]:
    (gateway,) = pod(name)["spec"]["containers"]
    assert isinstance(gateway, dict)
    return gateway


def configuration(name: str) -> str:
    text: str = manifest(name, "ConfigMap")["data"]["gateway.toml"]
    return text


@pytest.mark.parametrize("version", VERSIONS)
@ALL_VALUES
def test_every_manifest_is_valid(name: str, version: str) -> None:
    """Every manifest is valid and has no field that Kubernetes would drop."""
    documents = [document for document in manifests(name) if document["kind"] not in CUSTOM]
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


def test_invalid_manifest_raises() -> None:
    """The validation is strict: an unknown field is refused."""
    deployment = manifest("defaults", "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("defaults", {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"}),
        ("postgresql", {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor"}),
        ("sqlite", {"NetworkPolicy", "PersistentVolumeClaim"}),
        ("sqlite with an existing claim", {"NetworkPolicy"}),
        ("without autoscaling", {"NetworkPolicy", "PodDisruptionBudget"}),
        ("without network policy", {"HorizontalPodAutoscaler", "PodDisruptionBudget"}),
    ],
)
def test_optional_manifests(name: str, kinds: set[str]) -> None:
    """Besides the common manifests there are exactly those that the values enable, one of each kind."""
    rendered = [document["kind"] for document in manifests(name)]
    assert sorted(rendered) == sorted(kinds | {"ConfigMap", "Deployment", "Service", "ServiceAccount"})


@ALL_VALUES
def test_security_context(name: str) -> None:
    """Not root, no privilege escalation, a read-only root file system, the default seccomp profile, no token."""
    spec, gateway = pod(name)["spec"], container(name)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert gateway["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@ALL_VALUES
def test_writable_mounts(name: str) -> None:
    """Only /tmp and the folder of a SQLite journal are writable."""
    writable = {mount["mountPath"] for mount in container(name)["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp"} | (  # noqa: S108 - in the pod
        {"/var/lib/module-gateway"} if name.startswith("sqlite") else set()
    )


@ALL_VALUES
def test_probes(name: str, build: Callable[[Mapping[str, Backend]], Flask]) -> None:
    """Startup and readiness probes use /readyz, liveness /livez; the gateway serves both at the admin address."""
    gateway = container(name)
    paths = {kind: gateway[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}
    client = build({}).test_client()
    for path in paths.values():
        assert client.get(path).status_code == 200
    environment = {variable["name"]: variable.get("value") for variable in gateway["env"]}
    ports = {port["name"]: port["containerPort"] for port in gateway["ports"]}
    assert environment["GATEWAY_BIND"] == f"0.0.0.0:{ports['http']}"
    assert environment["GATEWAY_ADMIN_BIND"] == f"0.0.0.0:{ports['admin']}"
    assert {gateway[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"admin"}


@ALL_VALUES
def test_grace_period(name: str, gunicorn_settings: GunicornSettings) -> None:
    """The pod is killed only after the preStop pause and all of gunicorn's graceful_timeout."""
    pause = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] > pause + gunicorn_settings["graceful_timeout"]


@ALL_VALUES
def test_update_strategy(name: str) -> None:
    """With a SQLite journal the old pod ends before the new one starts; else a new pod is ready first."""
    strategy = manifest(name, "Deployment")["spec"]["strategy"]
    if name.startswith("sqlite"):
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_replicas_with_autoscaling() -> None:
    """With an autoscaler the deployment has no replicas, since an upgrade would reset the autoscaler's number."""
    assert "replicas" not in manifest("defaults", "Deployment")["spec"]
    assert manifest("without autoscaling", "Deployment")["spec"]["replicas"] == 3


def test_istio_annotations() -> None:
    """With Istio the proxy replaces X-Forwarded-Client-Cert, starts first and stops after the last connection."""
    metadata = pod("postgresql")["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "true"
    config = metadata["annotations"]["proxy.istio.io/config"]
    assert "forwardedClientCert: SANITIZE_SET" in config
    assert "holdApplicationUntilProxyStarts: true" in config
    assert 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"' in config
    for name in ("defaults", "sqlite"):
        assert "proxy.istio.io/config" not in pod(name)["metadata"]["annotations"]


def load(name: str, folder: Path) -> Settings:
    """Load the configuration with its secrets mounted in a folder, for a public address."""
    keys = {"journal_url": "postgresql://gateway:secret@db/gateway", **DIGESTS}
    for key in (*keys, "cmdb_app_secret", "projectman_access_key", "projectman_secret_key"):
        (folder / key).write_text(keys.get(key, "secret") + "\n", encoding="utf-8")
    config = folder / "gateway.toml"
    config.write_text(configuration(name).replace("/etc/module-gateway/secrets", str(folder)), encoding="utf-8")
    return load_settings({"GATEWAY_BIND": "0.0.0.0:8000"}, str(config))


@CONFIGURED
def test_gateway_loads_the_configuration(name: str, tmp_path: Path) -> None:
    """With the secrets mounted the gateway loads the configuration for a public address without warnings."""
    settings = load(name, tmp_path)
    backends = {"cmdb"} if name == "sqlite" else {"cmdb", "projectman"}
    assert {backend.name for backend in settings.backends} == backends
    assert settings.auth.required
    assert settings.auth.callers[0].key_digests == tuple(DIGESTS.values())
    assert settings.warnings == ()


@CONFIGURED
def test_configuration_is_complete(name: str) -> None:
    """The file has all values under `config`, including special characters."""
    files = (CHART / "values.yaml", RENDERED[name])
    defaults, changes = (yaml.safe_load(file.read_text(encoding="utf-8"))["config"] for file in files if file)
    assert tomllib.loads(configuration(name)) == {**defaults, **changes}


@ALL_VALUES
def test_no_secret_is_in_any_manifest(name: str) -> None:
    """Secrets are files of a Secret that the chart does not create; the manifests only have their paths."""
    assert "Secret" not in {document["kind"] for document in manifests(name)}
    secrets = re.findall(r'^(?:url|app_secret|access_key|secret_key) = "(.*)"$', configuration(name), re.MULTILINE)
    assert secrets
    for secret in secrets:
        assert secret.startswith(("file:/etc/module-gateway/secrets/", "sqlite:"))


def test_defaults_are_refused(tmp_path: Path) -> None:
    """The default values have no backend and no caller, and the gateway does not start."""
    with pytest.raises(ConfigurationError) as raised:
        load("defaults", tmp_path)
    assert {line.partition(":")[0] for line in raised.value.errors} == {"auth.mode"}
