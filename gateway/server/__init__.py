"""What gunicorn needs to run the gateway: the draining worker, the hooks, the settings and a custom application."""
