"""The gateway whose workers write their number of greenlets: `gunicorn tests.integration.soak.app:app`.

Greenlets are the one sampled resource of a worker that /proc does not show.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Final

from greenlet import greenlet

from gateway.app import create_app, load_settings_or_exit

_INTERVAL: Final = 3.0


def _write_counts() -> None:
    """Write the count at an interval; the file of a worker is named by its process id."""
    file = Path(os.environ["SOAK_COUNTS"]) / str(os.getpid())
    while True:
        file.write_text(str(sum(isinstance(value, greenlet) and not value.dead for value in gc.get_objects())))
        time.sleep(_INTERVAL)


app = create_app(load_settings_or_exit(os.environ))
threading.Thread(target=_write_counts, daemon=True).start()
