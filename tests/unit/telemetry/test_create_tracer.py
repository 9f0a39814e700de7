"""Spans need the configuration and OpenTelemetry; otherwise OpenTelemetry is not imported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from gateway.telemetry import tracing
from gateway.telemetry.tracing import create_tracer


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_TRACES_EXPORTER": "unknown"},
    ],
)
def test_turned_off(environ: dict[str, str]) -> None:
    """Without a variable, or with one that disables tracing or is invalid, there is no tracer."""
    assert create_tracer(environ) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "console"},
    ],
)
def test_turned_on(environ: dict[str, str]) -> None:
    """A collector's address or the name of an exporter turns tracing on."""
    tracer = create_tracer(environ)
    assert tracer
    tracer.close()


def test_not_installed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Without the extra the service runs without tracing, and logs that."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(tracing, "import_module", missing)
    assert create_tracer({"OTEL_TRACES_EXPORTER": "otlp"}) is None
    assert "not installed" in caplog.text


def test_not_imported() -> None:
    """Without the configuration OpenTelemetry is not imported."""
    script = "import sys, gateway.app, gateway.telemetry.request_log; print([m for m in sys.modules if 'opentel' in m])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
