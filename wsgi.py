"""What a WSGI server runs."""

import os

from gateway.app import create_app, load_settings_or_exit

app = create_app(load_settings_or_exit(os.environ))
