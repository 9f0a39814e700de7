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
    """A mock of the adapter; `responses` builds its answers with HTTPAdapter's public `build_response`."""
    build_response = HTTPAdapter().build_response
    with (
        mock.patch.object(PooledAdapter, "build_response", build_response, create=True),
        responses.RequestsMock(assert_all_requests_are_fired=True, target=ADAPTER) as requests_mock,
    ):
        yield requests_mock
