"""What upgrade.md and capacity.md say in numbers is what the program does."""

from __future__ import annotations

import re

import pytest

from gateway.journals import pg_pool, queries
from gateway.provisioning import reconciler
from tests.integration.deploy import growth
from tests.integration.deploy.charts import ROOT
from tests.integration.deploy.conftest import Settings


def document(name: str) -> str:
    return " ".join((ROOT / "deploy" / name).read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("upgrade.md", "There is one so far, version 1"),
        ("capacity.md", f"at most **{pg_pool._MAX_SIZE} for each worker**"),
        ("capacity.md", f"(replicas + 1) × workers × {pg_pool._MAX_SIZE} "),
        ("capacity.md", f"deletes at most {reconciler._EXPIRY_BATCH:,} rows a minute"),
        ("capacity.md", f"is deleted after {reconciler._KEPT / 3600:.0f} hours"),
    ],
)
def test_the_numbers_are_the_programs(name: str, sentence: str) -> None:
    """The sentence stands in the document, with the number that the program has at this moment."""
    assert sentence in document(name)
    assert (len(queries.MIGRATIONS), reconciler._EXPIRY_EVERY) == (1, 60.0)


def test_the_end_is_as_long_as_it_says(gunicorn_settings: Settings) -> None:
    """upgrade.md names gunicorn's graceful_timeout."""
    assert f"{gunicorn_settings['graceful_timeout']} s (`graceful_timeout`)" in document("upgrade.md")


def test_a_journal_weighs_what_it_says() -> None:
    """The bytes of an operation in SQLite, measured anew, are within a quarter of those in capacity.md."""
    match = re.search(r"bytes an operation, indexes included, measured \| ([\d,]+) \|", document("capacity.md"))
    assert match is not None
    with growth.sqlite() as stand:
        found = growth.measure(stand, 300)
    assert float(found["bytes an operation"]) == pytest.approx(float(match[1].replace(",", "")), rel=0.25)
