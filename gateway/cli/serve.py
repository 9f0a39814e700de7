"""`module-gateway serve`: the service in gunicorn, without a checkout of the repository."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gateway.server.application import GatewayApplication

if TYPE_CHECKING:
    from gateway.api import WsgiApp


@click.command()
@click.option("--config", "config_path", metavar="FILE", help="The configuration file; default: GATEWAY_CONFIG.")
@click.option("--bind", metavar="HOST:PORT", help="The address to listen on; default: GATEWAY_BIND or 127.0.0.1:8000.")
@click.option("--workers", metavar="N", help="The number of worker processes; default: GATEWAY_WORKERS or 1.")
def serve(config_path: str | None, bind: str | None, workers: str | None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    # Options are passed on as variables, because the workers read these to load and check the configuration.
    options = {"GATEWAY_CONFIG": config_path, "GATEWAY_BIND": bind, "GATEWAY_WORKERS": workers}
    os.environ.update({name: value for name, value in options.items() if value is not None})
    GatewayApplication(_load_app).run()


def _load_app() -> WsgiApp:
    from gateway.app import create_app, load_settings_or_exit  # noqa: PLC0415 - only after gevent's patches

    return create_app(load_settings_or_exit(os.environ))
