"""The HTTP API; besides the twins the only package that imports Flask."""

from gateway.api.application import WsgiApp, create_api
from gateway.api.context import AppDependencies

__all__ = ["AppDependencies", "WsgiApp", "create_api"]
