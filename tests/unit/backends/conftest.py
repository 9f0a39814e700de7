"""A mock of the transport's adapter: every registered exchange must happen, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

#: The method that `responses` replaces; its default is requests' own adapter.
ADAPTER = "gateway.transport.connection_pool.PooledAdapter.send"


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=True, target=ADAPTER) as mock:
        yield mock
