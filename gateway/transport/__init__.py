"""HTTP to a backend; the only package that imports requests."""

from gateway.transport.fetching import fetcher
from gateway.transport.http import Reply, Request, Transport
from gateway.transport.limits import Limits

__all__ = ["Limits", "Reply", "Request", "Transport", "fetcher"]
