"""`module-gateway batch`: creates the modules of a file, each once, however often it is interrupted."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, cast

import click

from gateway.cli.batch_rows import HELD, InvalidFile, ResultFile, Row, read_rows, scan
from gateway.cli.client_commands import IF_EXISTS, common_options, open_client
from gateway.cli.output import FAILED, UNKNOWN, console, describe, is_terminal, print_json
from gateway.client import ApiError, Client
from gateway.client.client import item_state
from gateway.client.models import BatchItem, BatchItemResult, IfExists

if TYPE_CHECKING:
    from rich.progress import Progress

_MAX_ITEMS: Final = 100  # of one request
_MAX_BYTES: Final = 200_000  # of one request; the gateway takes 256 KiB
#: How many rows wait for another attempt before no further ones are read.
_MAX_PENDING: Final = 1000
#: How long a row waits between two attempts, in seconds; the last one holds for all further attempts.
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
_INTERRUPTED: Final = b"\nFinishing the rows on their way. Press Ctrl-C again to stop at once.\n"
#: Answers that refuse every row alike: going on is useless.
_FATAL_CODES: Final = frozenset({"unauthenticated", "not_found", "method_not_allowed", "not_acceptable"})


class _Stopped(Exception):
    """The run was interrupted between two attempts."""


@dataclass(slots=True)
class _Pending:
    """A row that is to be sent, for the first time or again."""

    row: Row
    due: float = 0.0  # on time.monotonic()
    attempts: int = 0
    give_up_at: float | None = None
    entry: Mapping[str, Any] | None = None  # what is known of it by now


class _Run:
    """One run over a file."""

    def __init__(
        self,
        client: Client,
        rows: Iterator[Row],
        results: ResultFile,
        *,
        if_exists: IfExists,
        give_up_after: float,
        stop: threading.Event,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.abort_reason: ApiError | None = None
        self._client = client
        self._results = results
        self._rows = rows
        self._if_exists = if_exists
        self._give_up_after = give_up_after
        self._stop = stop
        self._pending: deque[_Pending] = deque()
        self._in_flight: list[_Pending] = []
        self._is_exhausted = False

    def unknown(self) -> int:
        """Return how many rows have an unknown outcome, those that are still followed included."""
        followed = [pending for pending in self._pending if pending.entry and pending.entry["state"] == "unknown"]
        return self.counts["unknown"] + len(followed)

    def steps(self) -> Iterator[None]:
        """Send batch after batch; yields after each, until all rows are done or the run is stopped."""
        try:
            while not self._stop.is_set() and self.abort_reason is None:
                batch = self._next_batch()
                if batch:
                    self._send(batch)
                elif self._pending:
                    self._stop.wait(max(min(pending.due for pending in self._pending) - time.monotonic(), 0.0))
                else:
                    break
                yield
        except _Stopped:
            return
        finally:
            self._record_unfinished()

    def _next_batch(self) -> list[_Pending]:
        """Return the rows of the next request: those that are due again, then new ones."""
        now, batch, size = time.monotonic(), list[_Pending](), 0
        for _ in range(len(self._pending)):
            pending = self._pending.popleft()
            fits = len(batch) < _MAX_ITEMS and size < _MAX_BYTES
            if pending.due <= now and fits:
                batch.append(pending)
                size += _size(pending.row)
            else:
                self._pending.append(pending)
        while len(batch) < _MAX_ITEMS and size < _MAX_BYTES and len(self._pending) < _MAX_PENDING:
            row = next(self._rows, None)
            if row is None:
                break
            if row not in self._results:
                batch.append(_Pending(row))
                size += _size(row)
        return batch

    def _send(self, batch: Sequence[_Pending]) -> None:
        """Send rows as one request and record what became of them."""
        items, senders = self._build_items(batch)
        if not items:
            return
        self._in_flight = senders
        try:
            document = self._client.batch(
                items, if_exists=self._if_exists, idempotency_key=self._results.run, resume=False
            )
        except ApiError as error:
            self._in_flight = []
            self._handle_refusal(error, senders)
            return
        self._in_flight = []
        answers = {result["ref"]: result for result in document["items"]}
        self._handle_results([(pending, answers[pending.row.identity]) for pending in senders])

    def _build_items(self, batch: Sequence[_Pending]) -> tuple[list[BatchItem], list[_Pending]]:
        """Return the items to send and their rows; rows whose parent does not exist are put back or recorded."""
        identities: dict[str | None, str] = {}  # of the rows before, by ref
        awaited = {pending.row.ref for pending in self._pending}
        items: list[BatchItem] = []
        senders: list[_Pending] = []
        orphans: list[Mapping[str, Any]] = []
        for pending in batch:
            parent_ref = pending.row.parent_ref
            parent = None if parent_ref is None else self._results.parents.get(parent_ref)
            if parent_ref is None or parent is not None or parent_ref in identities:
                identity = None if parent_ref is None else identities.get(parent_ref)
                items.append(pending.row.item(parent=parent, parent_ref=identity))
                senders.append(pending)
                identities[pending.row.ref] = pending.row.identity
            elif parent_ref in awaited:
                self._put_back(pending, pause=_PAUSES[0])
                awaited.add(pending.row.ref)
            else:
                orphans.append(_entry(pending.row, "not_started", not_started="parent"))
        self._record(orphans)
        return items, senders

    def _handle_refusal(self, error: ApiError, senders: list[_Pending]) -> None:
        """Record the rows that made the gateway refuse the request, and send the others again."""
        is_refused = error.outcome == "not_applied" and error.code not in _FATAL_CODES
        if not is_refused or error.problem["retryable"]:  # repeated by the client until its timeout
            state = "unknown" if error.outcome == "unknown" else "failed"
            for pending in senders:
                pending.entry = _entry(pending.row, state, problem=error.problem)
            self._pending.extend(senders)
            self.abort_reason = error
            return
        refused = _refused_rows(error)
        if refused:
            entries = [
                _entry(pending.row, "failed", problem={**error.problem, "errors": refused[index]})
                for index, pending in enumerate(senders)
                if index in refused
            ]
            self._record(entries)
            self._pending.extendleft(
                pending for index, pending in reversed([*enumerate(senders)]) if index not in refused
            )
        elif len(senders) == 1:
            self._record([_entry(senders[0].row, "failed", problem=error.problem)])
        else:
            middle = len(senders) // 2
            self._send(senders[:middle])
            if self.abort_reason is None and not self._stop.is_set():
                self._send(senders[middle:])
            else:
                self._pending.extend(senders[middle:])

    def _handle_results(self, answers: Sequence[tuple[_Pending, BatchItemResult]]) -> None:
        """Record the rows that are done, and put back those that another attempt can complete."""
        now = time.monotonic()
        entries: list[Mapping[str, Any]] = []
        waiting: set[str] = set()
        children: list[tuple[_Pending, Mapping[str, Any]]] = []
        for pending, result in answers:
            entry, problem = _to_entry(pending.row, result), result["problem"]
            if pending.give_up_at is None:
                pending.give_up_at = now + self._give_up_after
            pending.entry = entry
            if result.get("not_started") == "parent":
                children.append((pending, entry))
            elif "not_started" in result:
                self._put_back(pending, pause=0.0)
                waiting.add(pending.row.ref or "")
            elif problem is not None and problem["retryable"] and now < pending.give_up_at:
                self._put_back(pending, pause=_PAUSES[min(pending.attempts, len(_PAUSES) - 1)])
                pending.attempts += 1
                waiting.add(pending.row.ref or "")
            else:
                entries.append(entry)
        for pending, entry in children:
            if pending.row.parent_ref in waiting:
                self._put_back(pending, pause=_PAUSES[0])
                waiting.add(pending.row.ref or "")
            else:
                entries.append(entry)
        self._record(entries)

    def _put_back(self, pending: _Pending, *, pause: float) -> None:
        pending.due = time.monotonic() + pause
        self._pending.append(pending)

    def _record(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if entries:
            self.counts.update(entry["state"] for entry in entries)
            self._results.write(entries)

    def _record_unfinished(self) -> None:
        """Record the rows that were sent and are not done."""
        in_flight = [_entry(pending.row, "unknown") for pending in self._in_flight]
        self._record([*in_flight, *(pending.entry for pending in self._pending if pending.entry is not None)])
        self._pending.clear()
        self._in_flight = []


def _size(row: Row) -> int:
    return len(str(row.values)) * 2


def _refused_rows(error: ApiError) -> dict[int, list[Any]]:
    """Return the errors of the items that a refusal names, by the index of the item."""
    refused: dict[int, list[Any]] = {}
    for field_error in error.problem.get("errors", ()):
        parts = field_error.get("pointer", "").split("/")
        if parts[:2] == ["", "items"] and len(parts) > 2 and parts[2].isdigit():  # noqa: PLR2004
            refused.setdefault(int(parts[2]), []).append({**field_error, "pointer": "/" + "/".join(parts[3:])})
    return refused


def _to_entry(row: Row, result: BatchItemResult) -> Mapping[str, Any]:
    members = {name: value for name, value in result.items() if name in {"module", "problem", "operation"}}
    if "not_started" in result:
        members["not_started"] = result["not_started"]
    return _entry(row, item_state(result), **members)


def _entry(row: Row, state: str, *, module: Any = None, problem: Any = None, **members: Any) -> Mapping[str, Any]:
    """Return the line of the result file for a row."""
    return {
        "row": row.number,
        "ref": row.ref,
        "name": row.values.get("name"),
        "state": state,
        "module": module and module["id"],
        "native_id": module and module["native_id"],
        "problem": problem,
        **members,
        "identity": row.identity,
    }


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--backend", help="The connection of rows that name none. --scope, --parent and --owner hold for it.")
@click.option("--scope", help="The scope of rows that name none.")
@click.option("--parent", help="The parent of rows that name none.")
@click.option("--owner", "owners", multiple=True, help="The owner of rows that name none; can be repeated.")
@IF_EXISTS
@click.option(
    "--result", "result_path", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE.result.jsonl."
)
@click.option(
    "--give-up-after",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    help="Seconds for which a row whose outcome is unknown, or which can be repeated, is repeated.",
)
@common_options
def batch(
    *, file: Path, if_exists: IfExists, result_path: Path | None, give_up_after: float, as_json: bool, **options: Any
) -> None:
    """Create the modules of FILE: CSV with a header if its name ends in .csv, else JSON Lines.

    Run the same command again to resume: rows that are complete in the result file are left out, the others continue.
    """
    defaults = {name: value for name in ("backend", "scope", "parent", "owners") if (value := options.pop(name))}
    if "owners" in defaults:
        defaults["owners"] = list(defaults["owners"])
    stop = threading.Event()

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise _Stopped

    started = time.monotonic()
    path = result_path or file.with_name(f"{file.name}.result.jsonl")
    try:
        scanned = scan(file, defaults)
        with open_client(options, sleep=pause) as client, ResultFile(path, scanned.parent_refs) as results:
            run = _Run(
                client,
                read_rows(file, defaults),
                results,
                if_exists=if_exists,
                give_up_after=give_up_after,
                stop=stop,
            )
            _drive(run, stop, total=scanned.rows, complete=results.complete)
    except InvalidFile as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or path}: {error.strerror}") from None
    summary = _summarize(run, rows=scanned.rows, complete=results.complete)
    summary |= {"seconds": round(time.monotonic() - started, 1), "result": str(path), "interrupted": stop.is_set()}
    raise SystemExit(_report(summary, run.abort_reason, as_json=as_json))


def _drive(run: _Run, stop: threading.Event, *, total: int, complete: int) -> None:
    """Run to the end, with a progress bar on a terminal; the first Ctrl-C or SIGTERM lets the request end."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        os.write(2, _INTERRUPTED)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    progress = _create_progress() if is_terminal(sys.stderr) else None
    try:
        with cast("AbstractContextManager[object]", progress or nullcontext()):
            task = None if progress is None else progress.add_task("", total=total, failed=0, unknown=0)
            steps = run.steps()
            while True:
                if progress is not None and task is not None:
                    counts = run.counts
                    done = complete + sum(counts[state] for state in HELD)
                    handled = complete + counts.total()
                    progress.update(
                        task,
                        completed=handled,
                        description=f"{done} done",
                        failed=counts["failed"] + counts["not_started"],
                        unknown=run.unknown(),
                    )
                try:
                    next(steps)
                except StopIteration:
                    break
    except KeyboardInterrupt:
        return  # the second one; the rows on their way are recorded as unknown
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _create_progress() -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class RateColumn(ProgressColumn):
        """Rows a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed or 0:.0f}/s")

    columns = (
        BarColumn(bar_width=None),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[failed]} failed"),
        TextColumn("{task.fields[unknown]} unknown"),
        RateColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console(sys.stderr))


def _summarize(run: _Run, *, rows: int, complete: int) -> dict[str, Any]:
    counts = {state: run.counts[state] for state in ("created", "adopted", "failed", "unknown", "not_started")}
    remaining = rows - complete - sum(counts.values())
    counts["not_started"] += max(remaining, 0)
    return {"rows": rows, "complete_before": complete, **counts}


def _report(summary: Mapping[str, Any], abort_reason: ApiError | None, *, as_json: bool) -> int:
    """Print the summary and return the exit code."""
    is_complete = not summary["failed"] + summary["unknown"] + summary["not_started"]
    if abort_reason is not None:
        click.echo(f"Error: {describe(abort_reason.problem)}", err=True)
    if as_json:
        print_json(summary)
    else:
        counts = [
            f"{summary[name]} {text}"
            for name, text in (
                ("complete_before", "complete before"),
                ("created", "created"),
                ("adopted", "adopted"),
                ("failed", "failed"),
                ("unknown", "unknown"),
                ("not_started", "not started"),
            )
        ]
        click.echo(f"{summary['rows']} rows in {summary['seconds']} s: {', '.join(counts)}")
        click.echo(f"Result of each row: {summary['result']}")
        if not is_complete:
            click.echo("Run the same command again to resume.")
    if is_complete:
        return 0
    return UNKNOWN if summary["unknown"] else FAILED
