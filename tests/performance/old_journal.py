"""Fills a journal with the operations of half a day: copies of a create that the gateway has made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

#: Settled operations are kept for a day; these span half a day, so that none expires during the run.
_SPAN_SECONDS: Final = 12 * 3600.0
_DIGEST: Final = "lower(hex(randomblob(32)))"
#: The columns with an own value in each copy, and that value in copy n; all indexed columns are among them.
_VALUES: Final = {
    "id": "printf('%016x', n) || substr(id, 17)",
    "number": "number + n",
    "request_id": "'old-' || n",
    "module_id": "'cmdb.1.10.' || n",
    "fingerprint": _DIGEST,
    "holds_memory": _DIGEST,
    **{name: f"replace({name}, :name, 'old-' || n)" for name in ("natural_key", "draft", "module")},
    **{
        name: f"{name} - :span * (:count - n) / :count"
        for name in ("claimed_at", "lease_until", "memory_until", "updated_at")
    },
}


def copy_operation(journal: Path, count: int) -> None:
    """Copy the one operation in a journal `count` times."""
    with closing(sqlite3.connect(journal)) as connection, connection:
        ((natural_key,),) = connection.execute("SELECT natural_key FROM operations")
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(operations)")]
        connection.execute(
            f"""
            WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
            INSERT INTO operations ({", ".join(columns)})
            SELECT {", ".join(_VALUES.get(column, column) for column in columns)} FROM operations, numbers
            """,  # noqa: S608 - names of columns
            {"count": count, "span": _SPAN_SECONDS, "name": natural_key.split('"')[-2]},
        )
