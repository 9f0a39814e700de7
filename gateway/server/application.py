"""gunicorn's settings, shared by config/gunicorn.conf.py and `module-gateway serve`, and the latter's application."""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from gunicorn.app.base import BaseApplication

from gateway.server import hooks
from gateway.server.environment import InvalidEnvironment, ServerEnvironment, read_environment
from gateway.server.worker import DrainingGeventWorker
from gateway.telemetry.logging_config import GUNICORN_LOGGING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: How long requests in flight may take after the worker has started to drain, in seconds: more than a call to a backend
#: may take (`hard_timeout_seconds`, 35 by default).
_GRACEFUL_SECONDS: Final = 40
_MAX_CONNECTIONS: Final = 2000
_FILE_LIMIT: Final = 8192


def gunicorn_settings(environment: ServerEnvironment) -> dict[str, Any]:
    """Return gunicorn's settings and hooks by name."""
    return {
        "bind": environment.bind,
        "workers": environment.workers,
        "worker_class": DrainingGeventWorker,
        "worker_connections": _max_connections(),
        "http_parser": "fast",  # gunicorn_h1c
        "timeout": 60,
        # gunicorn's time starts at SIGTERM, when the worker deregisters; it drains after that.
        "graceful_timeout": _GRACEFUL_SECONDS + math.ceil(environment.deregister_seconds),
        # Must exceed the idle timeout of the proxy in front, so that the proxy closes idle connections: a request that
        # it sends on a connection that is being closed is lost.
        "keepalive": environment.keepalive_seconds,
        "limit_request_field_size": 65536,  # one header may carry a token of 32 KiB
        "limit_request_line": 8190,
        # No request header changes the mount point, path or user: by default, gunicorn takes SCRIPT_NAME from local
        # peers. Nothing depends on the scheme, and contradictory headers about it would be refused with 400.
        "forwarder_headers": "",
        "header_map": "drop",
        "secure_scheme_headers": {},
        "control_socket_disable": True,  # all installations of one user would share its path
        "accesslog": None,
        "errorlog": "-",
        "loglevel": "warning",
        "logger_class": hooks.SilentAccessLogger,
        "logconfig_dict": GUNICORN_LOGGING,  # gunicorn's lines are JSON without secrets, like the gateway's
        "on_starting": hooks.on_starting,
        "when_ready": hooks.when_ready,
        "pre_fork": hooks.pre_fork,
        "nworkers_changed": hooks.nworkers_changed,
        "post_fork": hooks.post_fork,
        "post_worker_init": hooks.post_worker_init,
        "worker_exit": hooks.worker_exit,
        "child_exit": hooks.child_exit,
    }


def _max_connections() -> int:
    """Return how many connections one listening socket of a worker may have; raise the limit of open files for them.

    Half of the descriptors remain for connections to backends, the journal and the other listening socket.
    """
    limit, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY:
        wanted = _FILE_LIMIT if maximum == resource.RLIM_INFINITY else min(_FILE_LIMIT, maximum)
        limit = max(limit, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, maximum))
    return _MAX_CONNECTIONS if limit == resource.RLIM_INFINITY else min(_MAX_CONNECTIONS, limit // 2)


def load_gunicorn_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return gunicorn's settings for a server; if a variable is invalid, print one line per error and exit with 3."""
    try:
        environment = read_environment(environ)
    except InvalidEnvironment as error:
        sys.stderr.writelines(f"configuration: {line}\n" for line in error.errors)
        sys.exit(3)
    return gunicorn_settings(environment)


class GatewayApplication(BaseApplication):  # type: ignore[misc] # gunicorn has no type hints
    """gunicorn's custom application: runs the service with the settings above, without gunicorn's configuration file.

    `load_app` is called in each worker, after gevent's patches; nothing of the service may be imported before.
    """

    def __init__(self, load_app: Callable[[], WSGIApplication]) -> None:
        self._load_app = load_app
        super().__init__(prog="module-gateway serve")

    def load_config(self) -> None:
        """Apply the settings."""
        for name, value in load_gunicorn_settings(os.environ).items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        """Return the service."""
        return self._load_app()
