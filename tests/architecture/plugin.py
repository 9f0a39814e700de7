"""A pytest plugin that adds a folder to the backends, as if it were in gateway/backends/."""

from __future__ import annotations

from pathlib import Path

from gateway import backends

backends.__path__.append(str(Path(__file__).parent / "plugins"))
