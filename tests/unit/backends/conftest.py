"""The wire, mocked: every exchange that was canned must happen, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

#: What `responses` stands in for; it looks for requests' own adapter where it is told nothing.
ADAPTER = "gateway.transport.connection_pool.PooledAdapter.send"


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=True, target=ADAPTER) as mock:
        yield mock
