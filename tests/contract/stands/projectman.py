"""ProjectMan's stands: its twin with signed requests and with tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from gateway.app import SystemClock
from gateway.backends.projectman import create_backend
from gateway.backends.projectman.options import AccessKey, IamPassword, Options
from gateway.settings import Secret
from gateway.transport import TransportSettings
from gateway.twins.projectman import create_twin
from gateway.twins.projectman.default_seed import DEFAULT_SEED
from gateway.twins.server import running
from tests.contract.stand import Stand
from tests.contract.stands.ledger import effective_writes

PROJECT = "0792b7d26cb74bd799cbae80063dc74a"
OWNER = "09d75cde5180d4481f91c018e89cb8e2"
_KEY = AccessKey(access_key="AKTEST", secret_key=Secret("SKTEST"), security_token=None, iam_project_id="")


def options(base_url: str, identity: AccessKey | IamPassword = _KEY, **changed: Any) -> Options:
    """Connect as somebody whom the twin knows."""
    given: dict[str, Any] = {
        "base_url": base_url,
        "auth": identity,
        "default_owner": "",
        "keeps_omitted_description": False,
        "settle_seconds": 130.0,
        "limits": TransportSettings(),
    }
    return Options(**{**given, **changed})


def password(base_url: str) -> IamPassword:
    """Log in as the seed's first IAM user."""
    return IamPassword(
        iam_url=base_url,
        domain="demo-account",
        user="demo_user_name_06",
        password=Secret("demo-password"),
        project="cn-north-4",
    )


@contextmanager
def _open(by: str, shape: str) -> Iterator[Stand]:
    with running(create_twin({**DEFAULT_SEED, "options": {"children": shape}})) as url:
        identity = password(url) if by == "token" else _KEY
        yield Stand(
            backend=create_backend("projectman", options(url, identity), SystemClock()),
            scope=PROJECT,
            parent=None,
            owner=OWNER,
            unknown_scope="f" * 32,
            unknown_parent="999999",
            malformed_refs=(
                "",
                PROJECT,
                f"{PROJECT}.",
                f"{PROJECT}.0",
                f"{PROJECT}.x",
                f"{PROJECT[:-1]}.1",
                f"{PROJECT}.1.2",
            ),
            writes=partial(effective_writes, url),
            description="of the suite",
            makes_children=True,
            names_are_unique_in="scope",
        )


STANDS: Mapping[str, Callable[[], AbstractContextManager[Stand]]] = {
    "projectman-aksk": partial(_open, "aksk", "nested"),
    "projectman-token": partial(_open, "token", "flat"),
}
