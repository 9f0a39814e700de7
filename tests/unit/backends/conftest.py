"""Canned upstream exchanges: every one that a test registers must happen, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest
import responses
from requests.adapters import HTTPAdapter

from gateway.transport.connection_pool import PooledAdapter

#: `responses` replaces this method; by default it replaces requests' own adapter.
ADAPTER = "gateway.transport.connection_pool.PooledAdapter.send"


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    """A mock of the adapter; `responses` needs two more public members of requests' HTTPAdapter."""
    published = HTTPAdapter()
    with (
        mock.patch.object(PooledAdapter, "build_response", published.build_response, create=True),
        mock.patch.object(PooledAdapter, "max_retries", published.max_retries, create=True),
        responses.RequestsMock(assert_all_requests_are_fired=True, target=ADAPTER) as requests_mock,
    ):
        yield requests_mock
