from collections.abc import Iterator

import pytest
import responses


@pytest.fixture
def wire(adapter: str) -> Iterator[responses.RequestsMock]:
    """A mock of the adapter: every exchange that a test registers must happen, and no other."""
    with responses.RequestsMock(assert_all_requests_are_fired=True, target=adapter) as requests_mock:
        yield requests_mock
