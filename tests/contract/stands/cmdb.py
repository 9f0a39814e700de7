"""CMDB's stands: its twin over both routes and both spellings of the envelope."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from gateway.app import SystemClock
from gateway.backends.cmdb import create_backend
from gateway.backends.cmdb.options import Options
from gateway.settings import Secret
from gateway.transport import TransportSettings
from gateway.twins.cmdb import create_twin
from gateway.twins.server import running
from tests.contract.stand import Stand
from tests.contract.stands.ledger import effective_writes


def options(base_url: str, route: str = "esb", attributes: tuple[str, ...] = ()) -> Options:
    """Connect as an application that the twin knows."""
    return Options(
        base_url=base_url,
        route=route,  # type: ignore[arg-type] # a literal in a table
        app_code="gateway",
        app_secret=Secret("secret"),
        username="admin",
        tenant_id="",
        attributes=attributes,
        settle_seconds=130.0,
        limits=TransportSettings(),
    )


@contextmanager
def _open(route: str, dialect: str) -> Iterator[Stand]:
    with running(create_twin({"apigw_dialect": dialect})) as url:
        yield Stand(
            backend=create_backend("cmdb", options(url, route), SystemClock()),
            scope="1",
            parent="10",
            owner="admin",
            unknown_scope="999",
            unknown_parent="998",
            malformed_refs=(
                "",
                "1",
                "1.10",
                "1.10.x",
                "1.10.0",
                "1.10.1.1",
                "٣.10.1",
                "1.10.9223372036854775808",
                "a/b",
            ),
            writes=partial(effective_writes, url),
        )


STANDS: Mapping[str, Callable[[], AbstractContextManager[Stand]]] = {
    "cmdb-esb": partial(_open, "esb", "renamed"),
    "cmdb-apigw": partial(_open, "apigw", "renamed"),
    "cmdb-apigw-raw": partial(_open, "apigw", "raw"),
}
