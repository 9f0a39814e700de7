"""Whether the journal answers, as the background work of this process sees it."""

from __future__ import annotations

import logging
from typing import Final

from gateway.domain.errors import JournalUnavailable
from gateway.domain.messages import message

_log: Final = logging.getLogger("gateway.journal")


class JournalHealth:
    """Whether the journal has answered since the start; a change of its state is one line in the log.

    Once it has answered, a process is ready: while the journal is down, reads go on.
    """

    def __init__(self) -> None:
        #: None once the journal has answered; the first iteration of the reconciler uses it first.
        self.error: JournalUnavailable | None = JournalUnavailable(message("journal_not_reached"))
        self._logged: str | None = None

    def record(self, error: JournalUnavailable | None) -> None:
        """Record that the journal answered, and could be written, or why not."""
        if error is None or self.error is not None:
            self.error = error
        reason = "" if error is None else error.detail
        if reason == self._logged:
            return
        self._logged = reason
        if error is None:
            _log.info("journal available")
        else:
            _log.warning("journal unavailable", extra={"fields": {"reason": reason, "cause": describe_cause(error)}})


def describe_cause(error: JournalUnavailable) -> str:
    """Return the database's own words for an error, in one line."""
    return " ".join(str(error.__cause__ or "").split())
