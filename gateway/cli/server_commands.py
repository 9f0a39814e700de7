"""The server's commands: check a configuration, make a key, print the OpenAPI document, run a twin."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sized
from hashlib import sha256
from importlib import import_module

import click

from gateway.api import openapi as openapi_document
from gateway.app import describe_journal, load_settings
from gateway.cli.connection_check import check_connections
from gateway.cli.sandbox import parse_address
from gateway.journals import check_url
from gateway.settings import ConfigurationError
from gateway.twins import server
from gateway.twins.seed_file import InvalidSeedFile, read_seed_file


@click.command()
@click.argument("config_path", metavar="CONFIG", type=click.Path(dir_okay=False))
@click.option("--connect", is_flag=True, help="Also ask the journal, the issuer of tokens and the backends.")
def check(config_path: str, *, connect: bool) -> None:
    """Read a configuration as the service does, and report every error."""
    try:
        settings = load_settings(os.environ, config_path)
    except ConfigurationError as error:
        for line in error.errors:
            click.echo(line, err=True)
        raise SystemExit(1) from None
    workers = os.environ.get("GATEWAY_WORKERS", "1").strip()  # the server refuses what is not a number
    if error_text := check_url(settings.journal_url.value, processes=int(workers) if workers.isdecimal() else 1):
        click.echo(f"journal.url: {error_text}", err=True)
        raise SystemExit(1)
    for line in settings.warnings:
        click.echo(f"warning: {line}", err=True)
    connections, callers = (_count(settings.backends, "connection"), _count(settings.auth.callers, "caller"))
    click.echo(f"{connections}, {callers}, journal {describe_journal(settings)}")
    if connect:
        has_failed = False
        for result in check_connections(settings):
            click.echo(result)
            has_failed |= not result.ok
        raise SystemExit(int(has_failed))


def _count(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


@click.command()
def new_key() -> None:
    """Create an API key: the first line is for the caller, the second for its [[callers]] table."""
    key = secrets.token_urlsafe(32)
    click.echo(f"key             {key}")
    click.echo(f'api_key_sha256 = "{sha256(key.encode()).hexdigest()}"')


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document."""
    click.echo(json.dumps(openapi_document.build(), indent=2, ensure_ascii=False))


@click.command()
@click.argument("backend", type=click.Choice(["cmdb", "projectman"]))
@click.option("--bind", default="127.0.0.1:8001", show_default=True, help="HOST:PORT to listen on.")
@click.option("--seed", "seed_path", type=click.Path(), help="JSON file with the initial state.")
def twin(backend: str, bind: str, seed_path: str | None) -> None:
    """Run a stateful stand-in for one backend, for development and for tests of clients.

    The file of --seed is a JSON object; config/twin-seed.example.json of the repository is an example.
    """
    host, port = parse_address(bind)
    try:
        seed = None if seed_path is None else read_seed_file(seed_path, backend)
        app = import_module(f"gateway.twins.{backend}").create_twin(seed)
    except InvalidSeedFile as error:
        errors = error.errors
    except (ValueError, KeyError, TypeError) as error:  # of a value, such as a version, that the twin does not have
        errors = [f"{seed_path}: {error.args[0] if error.args else error}"]
    else:
        server.serve(app, host, port)  # Werkzeug ends the process if the address cannot be bound
        return
    for line in errors:
        click.echo(line, err=True)
    raise SystemExit(2)
