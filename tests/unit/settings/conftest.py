"""Configurations as operators write them, read by the real backends' readers."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest

from gateway.backends import discover
from gateway.settings import ConfigurationError, Settings, parse_settings

Read = Callable[..., Settings]
Mistakes = Callable[..., list[str]]
#: A connection, sound where the environment has a SECRET.
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
    """Read a configuration in TOML, in an environment given by keywords."""

    def read(text: str, **environ: str) -> Settings:
        readers = {name: type_.parse_options for name, type_ in discover().items()}
        return parse_settings(tomllib.loads(text), environ, readers)

    return read


@pytest.fixture
def mistakes(read: Read) -> Mistakes:
    """Read a configuration that is wrong; return what was said about it."""

    def mistakes(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(text, **environ)
        told = list(caught.value.mistakes)
        assert str(caught.value).splitlines() == told
        return told

    return mistakes
