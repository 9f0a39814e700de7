"""The client's commands: create, get, list, update, delete, operations and changes."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from gateway.cli.output import (
    FAILED,
    UNKNOWN,
    exit_code,
    print_error,
    print_json,
    print_json_array,
    print_members,
    print_table,
)
from gateway.client import ApiError, Client
from gateway.client.client import new_key
from gateway.client.models import Draft, IfExists, Patch

_Function = TypeVar("_Function", bound=Callable[..., Any])
_MODULE_COLUMNS: Final = ("id", "name", "parent", "owners", "depth", "built_in")
_OPERATION_COLUMNS: Final = ("id", "state", "outcome", "backend", "scope", "name", "module", "claimed_at")
_CHANGE_COLUMNS: Final = ("seq", "at", "action", "outcome", "module", "caller", "fields")
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
#: The options that every command has.
_OPTIONS: Final = (
    click.option("--url", envvar="GATEWAY_URL", required=True, help="The gateway's URL; or GATEWAY_URL."),
    click.option("--api-key-file", type=_FILE, help="A file with the API key; or GATEWAY_API_KEY, the key itself."),
    click.option("--token-file", type=_FILE, help="A file with a token; it is read for every request."),
    click.option("--ca-file", type=_FILE, help="A private certificate authority."),
    click.option("--timeout", type=click.FloatRange(min=0.1), help="Seconds for one call with all its repetitions."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)
#: The fields of a module that a create or update can set.
_FIELD_OPTIONS: Final = (
    click.option("--description"),
    click.option("--owner", "owners", multiple=True, help="The id of an owner; can be repeated."),
    click.option(
        "--attribute",
        "attributes",
        multiple=True,
        metavar="NAME=TEXT|NAME:=JSON",
        help="An attribute; can be repeated.",
    ),
)
_PLACE_OPTIONS: Final = (
    click.option("--backend", required=True, help="The name of the connection."),
    click.option("--scope", required=True, help="CMDB: the business. ProjectMan: the project."),
    click.option("--parent", help="CMDB: the set. ProjectMan: the parent module."),
)
_IF_MATCH: Final = click.option("--if-match", metavar="ETAG", help="Refuse if the module has another etag.")
IF_EXISTS: Final = click.option(
    "--if-exists", type=click.Choice(["error", "adopt"]), default="error", show_default=True
)
#: Results of a preview that are no success.
_WOULD_NOT: Final = frozenset({"conflict", "refuse"})
_FILTERS: Final = (click.option("--backend"), click.option("--scope"))


def with_options(*options: Callable[[Any], Any]) -> Callable[[_Function], _Function]:
    """Return a decorator that adds options to a command's function, in their order."""

    def decorate(function: _Function) -> _Function:
        return functools.reduce(lambda decorated, option: option(decorated), reversed(options), function)

    return decorate


common_options: Final = with_options(*_OPTIONS)


def open_client(options: dict[str, Any], **settings: Any) -> Client:
    """Take the common options out of `options` and return a client."""
    url, key_file, token_file = (options.pop(name) for name in ("url", "api_key_file", "token_file"))
    ca_file, timeout = options.pop("ca_file"), options.pop("timeout")
    if timeout is not None:
        settings["timeout"] = timeout
    if ca_file is not None:
        settings["verify"] = str(ca_file)
    if key_file is not None:
        settings["api_key"] = _read(key_file)
    elif token_file is not None:
        settings["token"] = functools.partial(_read, token_file)
    else:
        settings["api_key"] = os.environ.get("GATEWAY_API_KEY", "").strip() or None
    try:
        return Client(url, **settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def client_command(function: Callable[..., Any]) -> Callable[..., None]:
    """Return a command's function that opens a client, prints what `function` returns, and ends with an exit code.

    `function` returns a document, or documents with the columns of their table.
    """

    @functools.wraps(function)
    def command(*, as_json: bool, **options: Any) -> None:
        with open_client(options) as client:
            try:
                result = function(client, **options)
                _show(result, as_json=as_json)
            except ApiError as error:
                print_error(error, as_json=as_json)
                raise SystemExit(exit_code(error)) from None
            except ValueError as error:  # what cannot be sent at all
                raise click.UsageError(str(error)) from None
            except KeyboardInterrupt:
                click.echo("Interrupted: a write may have been applied.", err=True)
                if key := options.get("idempotency_key"):
                    click.echo(f"  Run it again with --idempotency-key {key}", err=True)
                raise SystemExit(UNKNOWN) from None
        if isinstance(result, dict) and result.get("would") in _WOULD_NOT:
            raise SystemExit(FAILED)

    return common_options(command)


def _show(result: Any, *, as_json: bool) -> None:
    documents, columns = result if isinstance(result, tuple) else ((result,), None)
    if columns is None:
        print_json(result) if as_json else print_members(result)
    elif as_json:
        print_json_array(documents)
    else:
        print_table(map(_to_row, documents), columns)


def _to_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with the values that people look for."""
    row = dict(document)
    if isinstance(row.get("owners"), list):
        row["owners"] = ", ".join(owner["id"] for owner in row["owners"])
    if "request" in row:
        row["name"] = row["request"].get("name")
        row["module"] = row["module"] and row["module"]["id"]
    return row


def _fields(owners: Sequence[str], attributes: Sequence[str], **values: str | None) -> dict[str, Any]:
    """Return the members of a draft or patch that were given; raises click.BadParameter."""
    members: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if owners:
        members["owners"] = list(owners)
    if attributes:
        members["attributes"] = dict(map(_parse_attribute, attributes))
    return members


def _parse_attribute(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.rstrip(":"):
        raise click.BadParameter(f"{text!r} must be NAME=TEXT or NAME:=JSON", param_hint="--attribute")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not JSON", param_hint="--attribute") from None


@click.command()
@click.argument("name")
@with_options(*_PLACE_OPTIONS, *_FIELD_OPTIONS)
@IF_EXISTS
@click.option("--validate-only", is_flag=True, help="Check everything and create nothing; exit code 1 if refused.")
@click.option("--idempotency-key", default=new_key, help="Continue the create that had this key.")
@client_command
def create(client: Client, *, if_exists: IfExists, validate_only: bool, idempotency_key: str, **options: Any) -> Any:
    """Create the module NAME and print it."""
    draft = cast("Draft", _fields(**options))
    if not validate_only:
        return client.create(draft, if_exists=if_exists, idempotency_key=idempotency_key)
    return client.preview(draft, if_exists=if_exists)


@click.command()
@click.argument("module_id")
@client_command
def get(client: Client, module_id: str) -> Any:
    """Print the module MODULE_ID."""
    return client.get(module_id)


@click.command("list")
@with_options(*_PLACE_OPTIONS)
@click.option("--name", help="Only the modules of this name.")
@click.option("--include-built-in", is_flag=True)
@client_command
def list_(client: Client, backend: str, scope: str, **options: Any) -> Any:
    """List the modules of a scope."""
    return client.list(backend, scope, **options), _MODULE_COLUMNS


@click.command()
@click.argument("module_id")
@click.option("--name")
@with_options(*_FIELD_OPTIONS)
@_IF_MATCH
@client_command
def update(client: Client, module_id: str, *, if_match: str | None, **options: Any) -> Any:
    """Change the module MODULE_ID and print it."""
    changes = cast("Patch", _fields(**options))
    if not changes:
        raise click.UsageError("nothing to change: give --name, --description, --owner or --attribute")
    return client.update(module_id, changes, if_match=if_match)


@click.command()
@click.argument("module_id")
@click.option("--cascade", is_flag=True, help="Delete its children too.")
@_IF_MATCH
@client_command
def delete(client: Client, module_id: str, *, cascade: bool, if_match: str | None) -> Any:
    """Delete the module MODULE_ID."""
    client.delete(module_id, cascade=cascade, if_match=if_match)
    return {"deleted": module_id}


@click.command()
@click.argument("operation_id", required=False)
@click.option("--state", help="One or more states, separated by commas.")
@with_options(*_FILTERS)
@click.option("--wait", is_flag=True, help="Wait until OPERATION_ID is settled.")
@client_command
def operations(client: Client, operation_id: str | None, *, wait: bool, **filters: Any) -> Any:
    """List your creates, newest first, or print the one of OPERATION_ID."""
    if operation_id is None:
        return client.operations(**filters), _OPERATION_COLUMNS
    return (client.wait if wait else client.operation)(operation_id)


@click.command()
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only entries after this `seq`.")
@with_options(*_FILTERS)
@click.option("--module", help="Only entries of this module.")
@click.option("--follow", is_flag=True, help="Go on with new entries as they come.")
@client_command
def changes(client: Client, **options: Any) -> Any:
    """List the writes that went through the gateway."""
    return client.changes(**options), _CHANGE_COLUMNS
