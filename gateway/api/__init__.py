"""HTTP to the caller; the only package besides the twins that imports Flask."""

from gateway.api.service import Gateway, Service, build_api

__all__ = ["Gateway", "Service", "build_api"]
