"""What config/gunicorn.conf.py does with a worker's memory and with its start; in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.integration.deploy.charts import ROOT

_BEGIN: Final = """
import gc, importlib.metadata, runpy, signal
from types import SimpleNamespace
settings = runpy.run_path("config/gunicorn.conf.py")
worker = SimpleNamespace(wsgi=SimpleNamespace(extensions={}, view_functions={}), leaving=False)
"""
_GARBAGE: Final = """
settings["post_fork"](None, worker)
assert not gc.isenabled()
before = gc.get_freeze_count()
settings["post_worker_init"](worker)
assert gc.isenabled() and gc.get_freeze_count() > before + 10_000
class Knot: pass
seen = []
gc.callbacks.append(lambda phase, info: seen.append(info["collected"]))
for _ in range(50_000):
    knot = Knot()
    knot.self = knot
assert sum(seen) > 20_000, seen
"""
_PLUGINS: Final = """
looks = []
importlib.metadata.entry_points = lambda **wanted: looks.append(wanted) or ()
from gevent import config, monkey
monkey.patch_all()
assert not looks, looks
assert not config.track_greenlet_tree
import socket
assert socket.socket.__module__.startswith("gevent")
"""


@pytest.mark.parametrize("what", [_GARBAGE, _PLUGINS], ids=["garbage", "plugins"])
def test_a_worker_starts(what: str, tmp_path: Path) -> None:
    """Garbage is left alone while it starts and collected from then on; nobody looks for gevent's plugins."""
    environment = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    line = [sys.executable, "-W", "ignore", "-c", _BEGIN + what]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
