"""The command `module-gateway`.

Each command is imported when it runs: `serve` must import nothing of the service before gevent has patched the standard
library, and a client command should start without the server's modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

#: Command -> the module with its function, which has the command's name, with underscores for hyphens; a name that
#: Python's own functions have ends with an underscore.
_MODULES: Final = {
    "batch": "batch_command",
    "changes": "client_commands",
    "check": "server_commands",
    "create": "client_commands",
    "delete": "client_commands",
    "get": "client_commands",
    "list": "client_commands",
    "new-key": "server_commands",
    "openapi": "server_commands",
    "operations": "client_commands",
    "sandbox": "sandbox",
    "serve": "serve",
    "twin": "server_commands",
    "update": "client_commands",
}


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used, as click's documentation describes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command by its name, None if it is unknown."""
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f"gateway.cli.{module}"), _function_name(cmd_name))
        return command


def _function_name(command: str) -> str:
    return "list_" if command == "list" else command.replace("-", "_")


@click.group(cls=LazyGroup)
@click.version_option(package_name="module-gateway")
def main() -> None:
    """One REST API for modules in BlueKing CMDB and Huawei Cloud ProjectMan."""
