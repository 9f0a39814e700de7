"""HTTP to a backend; the only package of the server that imports requests."""

from gateway.transport.client import UpstreamClient, UpstreamRequest, UpstreamResponse, create_json_fetcher
from gateway.transport.settings import TransportSettings

__all__ = ["TransportSettings", "UpstreamClient", "UpstreamRequest", "UpstreamResponse", "create_json_fetcher"]
