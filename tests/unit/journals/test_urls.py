from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journals import check_url, create_journal
from tests.unit.journals.records import a_claim

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///var/journal.db",
        "sqlite:////var/lib/gateway/journal.db",
        "sqlite:///:memory:",
        "postgresql://gateway@db/gateway",
        "postgresql://gateway:secret@db:5433,db2/gateway?sslmode=verify-full",
    ],
)
def test_a_good_url_has_nothing_against_it(url: str) -> None:
    """Paths, memory and whatever PostgreSQL itself takes are good."""
    assert check_url(url) is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite:///", "sqlite:/// wants a path behind it, or :memory:"),
        ("sqlite:///var/", "sqlite:/// wants a path behind it, or :memory:"),
        ("sqlite://journal.db", "must begin with sqlite:/// or postgresql://"),
        ("mysql://secret@db/gateway", "must begin with sqlite:/// or postgresql://"),
        ("", "must begin with sqlite:/// or postgresql://"),
        ("postgresql://secret@[::1/gateway", "is not a URL that PostgreSQL understands"),
        ("postgresql://db/gateway?secret=1", "is not a URL that PostgreSQL understands"),
    ],
)
def test_a_problem_is_named_without_the_url(url: str, problem: str) -> None:
    """What is wrong is said without repeating the URL, and such a URL is not opened."""
    assert check_url(url) == problem
    with pytest.raises(ValueError, match=problem):
        create_journal(url)


def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes start where the process was started, four at the root; missing folders are made."""
    monkeypatch.chdir(tmp_path)
    relative = create_journal("sqlite:///new/folder/journal.db")
    monkeypatch.chdir("/")
    claim = a_claim()
    relative.claim(claim)
    absolute = create_journal(f"sqlite:///{tmp_path}/new/folder/journal.db")
    assert absolute.get(claim.id) is not None
    relative.close()
    absolute.close()


def test_memory_is_nobody_elses() -> None:
    """Two journals in memory share nothing."""
    first, second = create_journal("sqlite:///:memory:"), create_journal("sqlite:///:memory:")
    claim = a_claim()
    first.claim(claim)
    assert second.get(claim.id) is None
    first.close()
    second.close()


def test_postgresql_is_imported_when_asked_for() -> None:
    """A gateway with an embedded journal runs without psycopg."""
    program = (
        "import sys; sys.modules['psycopg'] = None; from gateway.journals import create_journal;"
        "journal = create_journal('sqlite:///:memory:'); print(sum(journal.counts().values())); journal.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
