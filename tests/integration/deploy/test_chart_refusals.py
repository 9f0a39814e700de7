"""Values that the chart does not take."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from tests.integration.deploy.charts import VALUES, changed, template
from tests.integration.deploy.template_tree import TemplateError


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"replicas": 2}, "set replicas=1"),
        ({"autoscaling": {"enabled": True}}, "autoscaling.enabled=false"),
        ({"autoscaling": {"enabled": True, "maxReplicas": 1}}, "autoscaling.enabled=false"),
        ({"config": {"journal": {"url": "sqlite:///var/journal.db"}}}, "on the persistent volume"),
        ({"config": {"journal": {"url": "sqlite:////tmp/journal.db"}}}, "on the persistent volume"),
        ({"shutdown": {"gracePeriodSeconds": 50}}, "longer than"),
        ({"shutdown": {"preStopSeconds": 20}}, "longer than"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(changes: dict[str, Any], why: str) -> None:
    """A file is no journal for several pods, and none at all where it is not kept; a pod must have time to end."""
    template(VALUES["SQLite"])
    with pytest.raises(TemplateError, match=why):
        template(changed("SQLite", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"replicaCount": 3},
        {"replicas": 0},
        {"replicas": "2"},
        {"image": {"version": "1"}},
        {"image": {"digest": "sha256:short"}},
        {"existingSecret": ""},
        {"config": {"auth": {"mode": "none"}}},
        {"config": {"journal": {"path": "x"}}},
        {"config": {"journal": {"url": "postgresql://gateway:written-out@db/gateway"}}},
        {"config": {"limits": {"storage": "redis://:written-out@cache"}}},
        {"config": {"backends": {"cmdb": {"app_secret": "written out"}}}},
        {"config": {"backends": {"projectman": {"secret_key": "written out"}}}},
        {"config": {"backends": {"projectman": {"access_key": "written out"}}}},
        {"config": {"backends": {"projectman": {"password": "written out"}}}},
        {"config": {"backends": {"projectman": {"security_token": "written out"}}}},
        {"config": {"backends": {"Bad Name": {"type": "cmdb"}}}},
        {"autoscaling": {"targetCPUUtilizationPercentage": 0}},
        {"extraEnv": {"A": 1}},
    ],
)
def test_the_schema_refuses(changes: dict[str, Any]) -> None:
    """A value that is unknown, ill-typed, unsafe, or a secret written out where everybody can read it."""
    name = "everything configured"
    template(VALUES[name])
    with pytest.raises(jsonschema.ValidationError):
        template(changed(name, **changes))
