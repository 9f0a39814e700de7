"""HTTP to a backend; the only package that imports requests."""

from gateway.transport.fetching import fetcher
from gateway.transport.http import Limits, Reply, Request, Transport

__all__ = ["Limits", "Reply", "Request", "Transport", "fetcher"]
