"""The pods of the chart: security, probes, start and shutdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask

from gateway.domain.backend import Backend
from tests.integration.deploy.charts import VALUES, find_manifest, template, values_with
from tests.integration.deploy.conftest import Settings

ALL_VALUES = pytest.mark.parametrize("name", VALUES)


def pod(name: str) -> dict[str, Any]:
    template_: dict[str, Any] = find_manifest(template(VALUES[name]), "Deployment")["spec"]["template"]
    return template_


def container(name: str) -> dict[str, Any]:
    (gateway,) = pod(name)["spec"]["containers"]
    assert isinstance(gateway, dict)
    return gateway


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
        {"/var/lib/module-gateway"} if name.startswith("SQLite") else set()
    )


@ALL_VALUES
def test_probes(name: str, build: Callable[[Mapping[str, Backend]], Flask]) -> None:
    """Startup and readiness probes use /readyz, liveness /livez; the gateway serves both on the container port."""
    gateway = container(name)
    paths = {kind: gateway[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}
    client = build({}).test_client()
    for path in paths.values():
        assert client.get(path).status_code == 200
    environment = {variable["name"]: variable.get("value") for variable in gateway["env"]}
    assert environment["GATEWAY_BIND"] == f"0.0.0.0:{gateway['ports'][0]['containerPort']}"


@ALL_VALUES
def test_grace_period(name: str, gunicorn_settings: Settings) -> None:
    """The pod is killed only after the preStop pause and all of gunicorn's graceful_timeout."""
    pause = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] > pause + gunicorn_settings["graceful_timeout"]


@ALL_VALUES
def test_update_strategy(name: str) -> None:
    """With a SQLite journal the old pod ends before the new one starts; else a new pod is ready first."""
    strategy = find_manifest(template(VALUES[name]), "Deployment")["spec"]["strategy"]
    if name.startswith("SQLite"):
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_replicas_with_autoscaling() -> None:
    """With an autoscaler the deployment has no replicas, since an upgrade would reset the autoscaler's number."""
    assert "replicas" not in find_manifest(template(VALUES["defaults"]), "Deployment")["spec"]
    assert find_manifest(template(VALUES["without autoscaling"]), "Deployment")["spec"]["replicas"] == 3


def test_configuration_checksum() -> None:
    """The checksum changes only with the configuration."""

    def checksum(**changes: Any) -> str:
        deployment = find_manifest(template(values_with("defaults", **changes)), "Deployment")
        annotation: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return annotation

    assert checksum() == checksum(workers=7)
    assert checksum() != checksum(config={"server": {"deadline_seconds": 9}})


def test_istio_annotations() -> None:
    """With Istio the proxy replaces X-Forwarded-Client-Cert, starts first and stops after the last connection."""
    metadata = pod("Istio")["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "true"
    config = metadata["annotations"]["proxy.istio.io/config"]
    assert "forwardedClientCert: SANITIZE_SET" in config
    assert "holdApplicationUntilProxyStarts: true" in config
    assert 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"' in config
    assert "proxy.istio.io/config" not in pod("defaults")["metadata"]["annotations"]
