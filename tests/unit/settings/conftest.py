"""Configurations as operators write them, loaded by the schemas of the real backends."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest

from gateway.backends import discover
from gateway.settings import ConfigurationError, Settings, parse_settings

Read = Callable[..., Settings]
Errors = Callable[..., list[str]]
#: A connection that is valid if the environment has a SECRET.
CMDB = """
[backends.cmdb]
type = "cmdb"
base_url = "https://bkapi.example.com"
app_code = "gateway"
app_secret = "env:SECRET"
username = "gateway"
"""


@pytest.fixture
def read() -> Read:
    """Load a configuration in TOML; the environment is given by keywords."""

    def read(text: str, **environ: str) -> Settings:
        schemas = {name: plugin.OptionsSchema for name, plugin in discover().items()}
        return parse_settings(tomllib.loads(text), environ, schemas)

    return read


@pytest.fixture
def errors(read: Read) -> Errors:
    """Load a configuration that is invalid; return the lines of its error."""

    def errors(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(text, **environ)
        lines = list(caught.value.errors)
        assert str(caught.value).splitlines() == lines
        return lines

    return errors
