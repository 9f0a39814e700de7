"""Changes that wait to be written, so that whoever is first to get his turn can write for all of them."""

from __future__ import annotations

from gateway.domain.errors import JournalUnavailable
from gateway.journals.sql import Parameters


class Change:
    """One statement that waits to be written, and what came of it."""

    __slots__ = ("count", "error", "parameters", "statement")

    def __init__(self, statement: str, parameters: Parameters) -> None:
        self.statement = statement
        self.parameters = parameters
        self.count: int | None = None
        self.error: Exception | None = None

    @property
    def done(self) -> bool:
        """Tell whether somebody has written it, or tried to."""
        return self.count is not None or self.error is not None

    def result(self) -> int:
        """Return how many rows it changed, or raise why it could not be written."""
        if self.error is not None:
            raise self.error
        if self.count is None:
            raise JournalUnavailable("Whoever wrote for all was interrupted.")
        return self.count
