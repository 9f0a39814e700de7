"""What config/gunicorn.conf.py does to a worker's memory and start, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.integration.deploy.charts import ROOT

_SETUP: Final = """
import gc, runpy
from types import SimpleNamespace
settings = runpy.run_path("config/gunicorn.conf.py")
worker = SimpleNamespace(age=2, wsgi=SimpleNamespace(extensions={}))
"""
_GARBAGE: Final = """
settings["post_fork"](None, worker)
assert not gc.isenabled()
before = gc.get_freeze_count()
settings["post_worker_init"](worker)
assert gc.isenabled() and gc.get_freeze_count() > before + 10_000
class Cycle: pass
collected = []
gc.callbacks.append(lambda phase, info: collected.append(info["collected"]))
for _ in range(50_000):
    cycle = Cycle()
    cycle.self = cycle
assert sum(collected) > 20_000, collected
"""


def test_garbage_is_collected_after_the_start(tmp_path: Path) -> None:
    """A worker collects no garbage while it starts, and then only what was created since."""
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    line = [sys.executable, "-W", "ignore", "-c", _SETUP + _GARBAGE]
    run = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
