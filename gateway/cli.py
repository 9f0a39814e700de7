"""module-gateway: check a configuration, make a key, print the OpenAPI document, run a twin, or all of it."""

from __future__ import annotations

import json
import os
import secrets
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import click

from gateway import sandbox
from gateway.api import openapi
from gateway.app import load_settings
from gateway.settings import ConfigurationError
from gateway.twins import server


@click.group()
@click.version_option(package_name="module-gateway")
def main() -> None:
    """One REST API for modules in BlueKing CMDB and Huawei Cloud ProjectMan."""


@main.command()
@click.argument("config", type=click.Path(dir_okay=False))
def check(config: str) -> None:
    """Read a configuration as the service would, and name every mistake."""
    try:
        settings = load_settings(os.environ, config)
    except ConfigurationError as error:
        for line in error.errors:
            click.echo(line, err=True)
        raise SystemExit(1) from None
    for line in settings.warnings:
        click.echo(f"warning: {line}", err=True)
    for backend in settings.backends:
        click.echo(f"{backend.name}: {backend.type}")


@main.command(name="new-key")
def new_key() -> None:
    """Make an API key: give the first line to the caller, put the second into his [[callers]] table."""
    key = secrets.token_urlsafe(32)
    click.echo(f"key             {key}")
    click.echo(f'api_key_sha256 = "{sha256(key.encode()).hexdigest()}"')


@main.command(name="openapi")
def print_openapi() -> None:
    """Print the OpenAPI 3.1 document."""
    click.echo(json.dumps(openapi.build(), indent=2, ensure_ascii=False))


@main.command()
@click.argument("backend", type=click.Choice(["cmdb", "projectman"]))
@click.option("--bind", default="127.0.0.1:8001", show_default=True, help="HOST:PORT to listen on.")
@click.option("--seed", type=click.Path(exists=True, dir_okay=False), help="JSON: what stands in it at the start.")
def twin(backend: str, bind: str, seed: str | None) -> None:
    """Run a stateful stand-in for one backend, for development and for your own tests."""
    host, _, port = bind.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65536):  # noqa: PLR2004 - TCP's ports
        raise click.BadParameter("say HOST:PORT", param_hint="--bind")
    planted = None if seed is None else json.loads(Path(seed).read_text(encoding="utf-8"))
    server.serve(import_module(f"gateway.twins.{backend}").create_twin(planted), host.strip("[]"), int(port))


@main.command(name="sandbox")
@click.option("--config", default="config/sandbox.toml", show_default=True, type=click.Path(exists=True))
@click.option("--bind", default="127.0.0.1:8000", show_default=True, help="Where the gateway listens.")
def run_sandbox(config: str, bind: str) -> None:
    """Start both twins and the gateway in front of them, and say what to try."""
    raise SystemExit(sandbox.run(config, bind))


if __name__ == "__main__":
    main()
