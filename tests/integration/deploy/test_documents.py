"""The numbers in upgrade.md and capacity.md agree with the program."""

from __future__ import annotations

import re

import pytest

from gateway.journals import pg_pool, queries
from gateway.provisioning import reconciler
from tests.integration.deploy import growth
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.conftest import GunicornSettings


def document(name: str) -> str:
    return " ".join((ROOT / "deploy" / name).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("upgrade.md", "There is one so far, version 1"),
        ("capacity.md", f"at most **{pg_pool._MAX_SIZE} for each worker**"),
        ("capacity.md", f"(replicas + 1) × workers × {pg_pool._MAX_SIZE} "),
        ("capacity.md", f"deletes at most {reconciler._EXPIRY_BATCH:,} rows in one step"),
        ("capacity.md", f"is deleted after {reconciler._RETENTION / 3600:.0f} hours"),
    ],
)
def test_constants(name: str, sentence: str) -> None:
    """The document has the sentence with the present value."""
    assert sentence in document(name)
    assert (len(queries.MIGRATIONS), reconciler._EXPIRY_INTERVAL) == (1, 60.0)


def test_graceful_timeout(gunicorn_settings: GunicornSettings) -> None:
    """upgrade.md has gunicorn's graceful_timeout."""
    assert f"{gunicorn_settings['graceful_timeout']} s (`graceful_timeout`)" in document("upgrade.md")


def test_size_of_an_operation() -> None:
    """The measured bytes of an operation in SQLite are within 25 % of those in capacity.md."""
    match = re.search(r"bytes an operation, indexes included, measured \| ([\d,]+) \|", document("capacity.md"))
    assert match is not None
    with growth.sqlite() as journal:
        result = growth.measure(journal, 300)
    assert float(result["bytes per operation"]) == pytest.approx(float(match[1].replace(",", "")), rel=0.25)
