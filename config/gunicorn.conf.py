"""gunicorn's configuration: the settings and hooks of gateway.server, which `module-gateway serve` uses too.

To change a setting, assign it below by gunicorn's name for it. Most have a GATEWAY_* variable; see README.md.
"""

import os

from gateway.server.application import load_gunicorn_settings

globals().update(load_gunicorn_settings(os.environ))
