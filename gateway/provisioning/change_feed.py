"""The change log of a process: publishes entries, deletes old ones, and wakes the readers that wait for new ones.

However many readers wait, the journal is read once a second: what is new is kept in memory for all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.domain.change import ChangeEntry, ChangeFilter, ChangePage
from gateway.domain.errors import JournalUnavailable
from gateway.domain.journal import ChangeJournal
from gateway.domain.runtime import Event, Runtime

_log: Final = logging.getLogger("gateway.changes")
_INTERVAL: Final = 1.0  # seconds
_PUBLISH_BATCH: Final = 500
_EXPIRE_BATCH: Final = 1000
_READ_LIMIT: Final = 500
#: How many entries are kept for readers that have not come back yet.
_MAX_KEPT: Final = 5000


@dataclass(slots=True)
class ChangeFeed:
    """Each process has one."""

    journal: ChangeJournal
    runtime: Runtime
    retention_seconds: float
    is_draining: Callable[[], bool] = lambda: False
    _waiting: int = 0  # the number of readers
    _news: Event | None = None  # set when there are new entries; then another one follows
    #: The entries after `_kept_after`, up to `_kept_to`; read while readers wait.
    _kept: list[ChangeEntry] = field(default_factory=list)
    _kept_after: int = 0
    _kept_to: int = 0

    def run(self) -> None:
        """Publish once a second; no failure ends the loop."""
        while True:
            try:
                has_more = self.run_once()
            except JournalUnavailable:  # tried again after the pause
                has_more = False
            except Exception:
                _log.exception("publishing changes failed")
                has_more = False
            if not has_more:
                self.runtime.sleep(_INTERVAL)

    def run_once(self) -> bool:
        """Publish what has ended, delete a few old entries, and wake the readers; return whether there is more."""
        published = self.journal.publish_changes(_PUBLISH_BATCH)
        if published:
            before = self.runtime.now() - self.retention_seconds
            self.journal.expire_changes(published_before=before, limit=_EXPIRE_BATCH)
        if self._waiting:
            self._read_news()
        return published == _PUBLISH_BATCH

    def read(self, change_filter: ChangeFilter, *, after: int, limit: int, wait_until: float | None) -> ChangePage:
        """Return entries after a `seq`. If there are none, wait for some until a monotonic time, or until a drain."""
        page = self.journal.list_changes(change_filter, after=after, limit=limit)
        if page.entries or wait_until is None:
            return page
        if not self._waiting:
            self._kept, self._kept_after, self._kept_to = [], page.next_after, page.next_after
        news = self._news = self._news or self.runtime.event()
        self._waiting += 1
        try:
            while page.next_after >= self._kept_after and not self.is_draining():
                kept_to = max(page.next_after, self._kept_to)
                entries = [e for e in self._kept if e.seq > page.next_after and change_filter.matches(e)][:limit]
                page = ChangePage(entries, entries[-1].seq if len(entries) == limit else kept_to)
                remaining = wait_until - self.runtime.monotonic()
                if entries or remaining <= 0:
                    break
                news.wait(min(remaining, _INTERVAL))  # not longer, to notice a drain
                news = self._news
        finally:
            self._waiting -= 1
        return page

    def _read_news(self) -> None:
        after = self._kept_to
        page = self.journal.list_changes(ChangeFilter(), after=after, limit=_READ_LIMIT)
        if self._kept_to != after:  # a reader came meanwhile, for which there are entries before these
            return
        self._kept_to = page.next_after
        if page.entries:
            kept = [*self._kept, *page.entries]
            dropped, self._kept = kept[:-_MAX_KEPT], kept[-_MAX_KEPT:]
            self._kept_after = dropped[-1].seq if dropped else self._kept_after
            news, self._news = self._news, self.runtime.event()
            if news is not None:
                news.set()
