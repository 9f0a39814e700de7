"""The application that a WSGI server loads, as `wsgi:app`."""

import os

from gateway.app import create_app, load_settings_or_exit

app = create_app(load_settings_or_exit(os.environ))
