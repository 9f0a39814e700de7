"""A pytest plugin that adds one folder to the backends, as if it stood under gateway/backends/."""

from __future__ import annotations

from pathlib import Path

from gateway import backends

backends.__path__.append(str(Path(__file__).parent / "plugged"))
