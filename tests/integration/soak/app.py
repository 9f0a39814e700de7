"""The real service, whose workers write down now and then how many greenlets they have: `gunicorn tests.integration.soak.app:app`.

Greenlets are the one thing that grows inside a worker and that nobody sees from outside.
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
from tests.integration.soak.samples import VARIABLE

_EVERY: Final = 3.0


def _count() -> None:
    """Write for ever; the file of a worker bears its process's id."""
    file = Path(os.environ[VARIABLE]) / str(os.getpid())
    while True:
        file.write_text(str(sum(isinstance(each, greenlet) and not each.dead for each in gc.get_objects())))
        time.sleep(_EVERY)


app = create_app(load_settings_or_exit(os.environ))
threading.Thread(target=_count, daemon=True).start()
