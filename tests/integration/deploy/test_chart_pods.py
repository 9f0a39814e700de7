"""The pods of the chart: what they may do, how they begin and how they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask

from gateway.domain.backend import Backend
from tests.integration.deploy.charts import VALUES, changed, only, template
from tests.integration.deploy.conftest import Settings

EVERY = pytest.mark.parametrize("name", VALUES)


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = only(template(VALUES[name]), "Deployment")["spec"]["template"]
    return found


def container(name: str) -> dict[str, Any]:
    (found,) = pod(name)["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@EVERY
def test_a_pod_may_do_nothing_it_need_not(name: str) -> None:
    """Never root, nothing gained, a root file system that is read-only, the default seccomp profile, no token."""
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


@EVERY
def test_only_what_must_be_is_writable(name: str) -> None:
    """Writable are /tmp, and the journal's folder where the journal is a file; configuration and secrets are not."""
    writable = {mount["mountPath"] for mount in container(name)["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp"} | (  # noqa: S108 - the pod's
        {"/var/lib/module-gateway"} if name.startswith("SQLite") else set()
    )


@EVERY
def test_the_probes_ask_what_there_is(name: str, build: Callable[[Mapping[str, Backend]], Flask]) -> None:
    """Start and readiness ask /readyz, liveness /livez; the service answers both, and the port is its own."""
    gateway = container(name)
    paths = {kind: gateway[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}
    client = build({}).test_client()
    for path in paths.values():
        assert client.get(path).status_code == 200
    environment = {each["name"]: each.get("value") for each in gateway["env"]}
    assert environment["GATEWAY_BIND"] == f"0.0.0.0:{gateway['ports'][0]['containerPort']}"


@EVERY
def test_a_pod_ends_after_its_requests(name: str, gunicorn_settings: Settings) -> None:
    """The pod is killed only after the endpoints were withdrawn and gunicorn had all of its graceful_timeout."""
    pause = container(name)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] > pause + gunicorn_settings["graceful_timeout"]


@EVERY
def test_two_pods_never_have_one_disk(name: str) -> None:
    """A journal in a file: the old pod ends before the new one begins. Else: no pod goes before another is ready."""
    strategy = only(template(VALUES[name]), "Deployment")["spec"]["strategy"]
    if name.startswith("SQLite"):
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_the_autoscaler_has_the_number_of_pods_to_itself() -> None:
    """With an autoscaler the deployment names no number, else an upgrade would throw away what it chose."""
    assert "replicas" not in only(template(VALUES["defaults"]), "Deployment")["spec"]
    assert only(template(VALUES["without autoscaling"]), "Deployment")["spec"]["replicas"] == 3


def test_another_configuration_takes_other_pods() -> None:
    """The checksum changes with the configuration and with nothing else."""

    def checksum(**changes: Any) -> str:
        deployment = only(template(changed("defaults", **changes)), "Deployment")
        found: str = deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum() == checksum(workers=7)
    assert checksum() != checksum(config={"server": {"deadline_seconds": 9}})


def test_in_a_mesh_only_the_pods_own_proxy_tells_who_calls() -> None:
    """With Istio the proxy replaces X-Forwarded-Client-Cert, starts first and ends after the last connection."""
    metadata = pod("Istio")["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "true"
    config = metadata["annotations"]["proxy.istio.io/config"]
    assert "forwardedClientCert: SANITIZE_SET" in config
    assert "holdApplicationUntilProxyStarts: true" in config
    assert 'EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true"' in config
    assert "proxy.istio.io/config" not in pod("defaults")["metadata"]["annotations"]
