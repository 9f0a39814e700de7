"""Readers that wait for changes, beside a publisher that reads for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway.app import SystemRuntime
from gateway.domain.change import ChangeFilter, ChangePage
from gateway.domain.errors import Outcome
from gateway.domain.journal import Journal
from gateway.provisioning.change_feed import ChangeFeed
from tests.unit.journals.records import make_change

ALL = ChangeFilter()


@pytest.fixture
def feed(journal: Journal) -> ChangeFeed:
    return ChangeFeed(journal, SystemRuntime(), 90 * 86_400.0)


def publish(journal: Journal, count: int) -> None:
    for _ in range(count):
        change = make_change("m")
        journal.begin_change(change)
        journal.end_change(change.id, Outcome.APPLIED, at=1.0)
    journal.publish_changes(count)


def start(feed: ChangeFeed, after: int, pages: list[ChangePage]) -> threading.Thread:
    """Start a reader that waits at most five seconds."""

    def read() -> None:
        pages.append(feed.read(ALL, after=after, limit=100, wait_until=feed.runtime.monotonic() + 5.0))

    thread = threading.Thread(target=read)
    thread.start()
    while not feed._waiting and not pages:
        feed.runtime.sleep(0.001)
    return thread


def run_during(journal: Journal, monkeypatch: pytest.MonkeyPatch, after: int, action: Callable[[], None]) -> None:
    """Run an action once, when the entries after a number have been read and before they are returned."""
    list_changes, actions = journal.list_changes, [action]

    def delayed(change_filter: ChangeFilter, **values: Any) -> ChangePage:
        page = list_changes(change_filter, **values)
        if values["after"] == after and actions:
            actions.pop()()
        return page

    monkeypatch.setattr(journal, "list_changes", delayed)


def test_a_reader_that_comes_during_a_read_misses_nothing(
    journal: Journal, feed: ChangeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last reader leaves and another one, whose own read is older, comes while the publisher reads."""
    publish(journal, 8)
    old = journal.list_changes(ALL, after=8, limit=1)
    publish(journal, 2)
    first: list[ChangePage] = []
    second: list[ChangePage] = []
    reader = start(feed, 10, first)
    publish(journal, 1)

    def replace_reader() -> None:
        feed.is_draining = lambda: True
        reader.join()
        feed.is_draining = lambda: False
        with monkeypatch.context() as patched:
            patched.setattr(journal, "list_changes", lambda *_args, **_values: old)
            threads.append(start(feed, 8, second))

    threads: list[threading.Thread] = []
    run_during(journal, monkeypatch, 10, replace_reader)
    feed.run_once()
    feed.run_once()
    threads[0].join()
    assert [entry.seq for entry in second[0].entries] == [9, 10, 11]


def test_a_number_of_the_future_disturbs_no_other_reader(journal: Journal, feed: ChangeFeed) -> None:
    """A reader that brings a number from another journal waits for the next entry, and so do the others."""
    publish(journal, 3)
    far: list[ChangePage] = []
    near: list[ChangePage] = []
    threads = [start(feed, 1_000_000, far), start(feed, 3, near)]
    feed.runtime.sleep(0.05)
    assert not near, "it did not wait"
    publish(journal, 1)
    feed.run_once()
    for thread in threads:
        thread.join()
    assert [[entry.seq for entry in page.entries] for page in (*far, *near)] == [[4], [4]]
