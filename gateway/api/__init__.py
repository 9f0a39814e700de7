"""HTTP to the caller; the only package besides the twins that imports Flask."""

from gateway.api.application import AppDependencies, WsgiApp, create_api

__all__ = ["AppDependencies", "WsgiApp", "create_api"]
