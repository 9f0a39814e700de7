"""Spans are made where they are asked for and OpenTelemetry is installed; elsewhere they cost nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gateway.telemetry import tracing as module
from gateway.telemetry.tracing import create_tracer


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_TRACES_EXPORTER": "carrier-pigeon"},
    ],
)
def test_not_asked_for(environ: dict[str, str]) -> None:
    """Without the variable, or with one that says no or makes no sense, there are no tracer."""
    assert create_tracer(environ) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "console"},
    ],
)
def test_asked_for(environ: dict[str, str]) -> None:
    """With an address of a collector, or an exporter by name, there are."""
    tracer = create_tracer(environ)
    assert tracer
    tracer.close()


def test_not_installed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where the extra is missing the service runs without, and says so."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(module, "import_module", missing)
    assert create_tracer({"OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert "not installed" in caplog.text


def test_not_imported() -> None:
    """Who does not ask for tracer does not load OpenTelemetry."""
    script = "import sys, gateway.app, gateway.telemetry.request_log; print([m for m in sys.modules if 'opentel' in m])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
