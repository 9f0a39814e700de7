"""Renders the chart as `helm template` does, for several sets of values."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

from tests.integration.deploy.template_engine import collect_definitions, render

ROOT: Final = Path(__file__).parents[3]
CHART: Final = ROOT / "deploy/chart"
RELEASE: Final = "module-gateway"

_SECRETS: Final = "file:/etc/module-gateway/secrets"
_VALID: Final[Mapping[str, Any]] = {
    "backends": {
        "cmdb": {
            "type": "cmdb",
            "base_url": "https://bkapi.example.com",
            "app_code": "gateway",
            "app_secret": f"{_SECRETS}/cmdb_app_secret",
            "username": "gateway",
            "attributes": ["team", "stage"],
            "probe_before_create": True,
            "settle_seconds": 130,
        },
        "projectman": {
            "type": "projectman",
            "region": "cn-north-4",
            "access_key": f"{_SECRETS}/projectman_access_key",
            "secret_key": f"{_SECRETS}/projectman_secret_key",
        },
    },
    "callers": [
        {
            "name": "portal",
            "api_key_sha256": [f"{_SECRETS}/portal_sha256", f"{_SECRETS}/portal_next_sha256"],
            "allow": ["create,read:cmdb:1", "*:projectman:*"],
        },
        {
            "name": "jobs",
            "jwt_claims": {"sub": "jobs", "https://claims.example.com/team": "<七>&\"'"},
            "allow": ["*:*:*"],
        },
        {"name": "mesh", "spiffe": "spiffe://cluster.local/ns/portal/sa/portal", "allow": ["read:*:*"]},
    ],
}
_SQLITE: Final = {"journal": {"url": "sqlite:////var/lib/module-gateway/journal.db"}}

#: The values of several installations, by name.
VALUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "defaults": {},
    "everything configured": {
        "config": {
            **_VALID,
            "cors": {"origins": ["https://portal.example.com"]},
            "limits": {"storage": "redis://cache:6379/0"},
            "auth": {"mode": "required", "mesh": {"trusted_hops": ["127.0.0.0/8"]}},
        },
        "image": {"repository": "registry.example.com/module-gateway", "digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "extraEnv": {"OTEL_SERVICE_NAME": "module-gateway", "NUMBER": "1"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "podAnnotations": {"example.com/team": "modules"},
        "networkPolicy": {
            "allowedNamespaces": ["portal", "jobs"],
            "egress": [
                {
                    "to": [{"podSelector": {"matchLabels": {"app": "postgresql"}}}],
                    "ports": [{"port": 5432, "protocol": "TCP"}],
                },
                {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]},
            ],
        },
    },
    "without autoscaling": {"config": _VALID, "autoscaling": {"enabled": False}, "replicas": 3},
    "SQLite": {"config": {**_VALID, **_SQLITE}, "autoscaling": {"enabled": False}, "replicas": 1},
    "SQLite with an existing claim": {
        "config": {**_VALID, **_SQLITE},
        "autoscaling": {"enabled": False},
        "replicas": 1,
        "persistence": {"existingClaim": "existing", "storageClass": "fast"},
    },
    "Istio": {"config": _VALID, "istio": {"enabled": True}, "networkPolicy": {"allowedNamespaces": ["portal"]}},
    "ServiceMonitor": {"config": _VALID, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "no network policy": {"config": _VALID, "networkPolicy": {"enabled": False}},
}


def values_with(name: str, **changes: Any) -> dict[str, Any]:
    """Return a set of values with changes."""
    return _merge(VALUES[name], changes)


def template(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the manifests; raise jsonschema.ValidationError or TemplateError if the values are refused."""
    merged = _merge(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), values)
    jsonschema.validate(merged, json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    data = {
        "Values": merged,
        "Release": {"Name": RELEASE, "Namespace": RELEASE, "Service": "Helm"},
        "Chart": {"Name": chart["name"], "Version": chart["version"], "AppVersion": chart["appVersion"]},
    }
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted((CHART / "templates").iterdir())}
    definitions = collect_definitions(sources.values())
    texts = {name: render(source, data, definitions) for name, source in sources.items()}
    return parse_manifests({name: text for name, text in texts.items() if name.endswith(".yaml")})


def parse_manifests(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Parse rendered files; a file without a manifest is left out."""
    return [document for name in sorted(texts) for document in yaml.safe_load_all(texts[name]) if document]


def find_manifest(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the only manifest of a kind."""
    (manifest,) = [document for document in documents if document["kind"] == kind]
    return manifest


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested values into a copy of the base; a list replaces a list."""
    merged = copy.deepcopy(dict(base))
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if nested else copy.deepcopy(value)
    return merged
