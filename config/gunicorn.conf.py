"""How gunicorn serves the gateway; every setting that an installation may want to change has a variable."""

import os

bind = os.environ.get("GATEWAY_BIND", "127.0.0.1:8000")
workers = int(os.environ.get("GATEWAY_WORKERS", "1"))
worker_class = "gevent"
worker_connections = 2000
http_parser = "fast"  # gunicorn_h1c

# A request in flight may wait for a backend as long as its connection allows (hard_timeout_seconds, 35 by default).
timeout = 60
graceful_timeout = 40

# Longer than the idle time of the proxies in front: whoever closes first must not be us.
keepalive = 75

# One header may carry a token of 32 KiB.
limit_request_field_size = 65536
limit_request_line = 8190

accesslog = None  # the gateway writes its own access line
errorlog = "-"
loglevel = "warning"
