"""One fsync that takes five seconds: only what writes waits for it, and no longer than until its deadline."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from gateway.journals import create_journal
from tests.integration.chaos.caller import CreateSpec
from tests.integration.chaos.testbed import GatewayTestbed, Topology, eventually, run_testbed
from tests.integration.http_client import send

pytestmark = [pytest.mark.loopback, pytest.mark.timeout(180)]

_FSYNC_SECONDS: Final = 5
#: Preloaded into the gateway: the first fsync after the file SLOW_FSYNC was created deletes it and takes its time.
_LIBRARY: Final = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static int delayed(const char *name, int file) {{
    const char *flag = getenv("SLOW_FSYNC");
    if (flag && unlink(flag) == 0) sleep({_FSYNC_SECONDS});
    return ((int (*)(int)) dlsym(RTLD_NEXT, name))(file);
}}
int fsync(int file) {{ return delayed("fsync", file); }}
int fdatasync(int file) {{ return delayed("fdatasync", file); }}
"""


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    return tmp_path / "slow"


@pytest.fixture
def testbed(tmp_path: Path, flag: Path) -> Iterator[GatewayTestbed]:
    """One worker whose next fsync is slow if the flag exists, with a deadline of two seconds."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, library = tmp_path / "fsync.c", tmp_path / "fsync.so"
    source.write_text(_LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    environ = {"LD_PRELOAD": str(library), "SLOW_FSYNC": str(flag)}
    with run_testbed(tmp_path / "testbed", Topology(workers=1, deadline=2.0, environ=environ)) as testbed:
        assert CreateSpec("cmdb", "before").send(testbed.addresses[0]).status == 201
        yield testbed


def test_only_writes_wait_for_the_disk(testbed: GatewayTestbed, flag: Path) -> None:
    """While one fsync takes 5 s, probes, metrics and reads are answered; creates get 503 at their deadline of 2 s.

    Nothing was sent for them, and as soon as the disk answers their names are free again.
    """
    address, names = testbed.addresses[0], ("first", "second")
    paths = ["/livez", "/readyz", "/metrics", "/modules?backend=cmdb&scope=1&parent=10"]
    module = send(address, "GET", paths[-1]).body["modules"][0]["id"]
    flag.touch()
    started = monotonic()
    with ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(CreateSpec("cmdb", name).send, address) for name in names}
        assert eventually(lambda: not flag.exists(), 2.0)
        for path in [*paths, f"/modules/{module}"]:
            assert send(address, "GET", path).status == 200, path
        assert not any(future.done() for future in futures.values())
        for future in futures.values():
            response = future.result()
            assert (response.status, response.code, response.outcome) == (503, "journal_unavailable", "not_applied")
        assert monotonic() - started < _FSYNC_SECONDS - 1
        assert send(address, "GET", "/livez").status == 200
        assert monotonic() - started < _FSYNC_SECONDS
    assert eventually(lambda: CreateSpec("cmdb", "third").send(address).status == 201, 10.0)
    assert [testbed.sent("cmdb", name) for name in names] == [0, 0]
    for name in names:  # a claim that was committed late is settled without a lookup
        assert eventually(lambda name=name: CreateSpec("cmdb", name).send(address).status == 201, 10.0)  # type: ignore[misc]
        assert testbed.sent("cmdb", name) == 1
    with closing(create_journal(testbed.journal_url)) as journal:
        assert journal.counts()["reconciling"] == 0
