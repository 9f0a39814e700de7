from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journals import check_url, create_journal
from tests.unit.journals.records import make_claim

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
def test_valid_url(url: str) -> None:
    """Paths, `:memory:` and every URL that libpq accepts are valid."""
    assert check_url(url) is None


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("sqlite:///", "sqlite:/// must be followed by the path of a file, or by :memory:"),
        ("sqlite:///var/", "sqlite:/// must be followed by the path of a file, or by :memory:"),
        ("sqlite://journal.db", "must begin with sqlite:/// or postgresql://"),
        ("mysql://secret@db/gateway", "must begin with sqlite:/// or postgresql://"),
        ("", "must begin with sqlite:/// or postgresql://"),
        ("postgresql://secret@[::1/gateway", "is not a URL that PostgreSQL understands"),
        ("postgresql://db/gateway?secret=1", "is not a URL that PostgreSQL understands"),
    ],
)
def test_error_does_not_contain_the_url(url: str, error: str) -> None:
    """The error describes the problem without the URL, and the journal is not created."""
    assert check_url(url) == error
    with pytest.raises(ValueError, match=error):
        create_journal(url)


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///var/journal.db", "postgresql://db/gateway"])
def test_journal_in_memory_serves_one_process(url: str) -> None:
    """Each process would have a journal of its own in memory; a file and PostgreSQL serve any number."""
    error = "sqlite:///:memory: serves one worker process, not 2; use the path of a file"
    assert check_url(url, processes=1) is None
    assert check_url(url, processes=2) == (error if ":memory:" in url else None)


def test_relative_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes are relative to the working directory, four are absolute; missing directories are created."""
    monkeypatch.chdir(tmp_path)
    relative = create_journal("sqlite:///new/folder/journal.db")
    monkeypatch.chdir("/")
    claim = make_claim()
    relative.claim(claim)
    absolute = create_journal(f"sqlite:///{tmp_path}/new/folder/journal.db")
    assert absolute.get(claim.id) is not None
    relative.close()
    absolute.close()


def test_journals_in_memory_are_separate() -> None:
    """Two journals in memory share no data."""
    first, second = create_journal("sqlite:///:memory:"), create_journal("sqlite:///:memory:")
    claim = make_claim()
    first.claim(claim)
    assert second.get(claim.id) is None
    first.close()
    second.close()


def test_psycopg_is_imported_only_for_postgresql() -> None:
    """A gateway with an embedded journal runs without psycopg."""
    program = (
        "import sys; sys.modules['psycopg'] = None; from gateway.journals import create_journal;"
        "journal = create_journal('sqlite:///:memory:'); print(sum(journal.counts().values())); journal.close()"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "0\n"
