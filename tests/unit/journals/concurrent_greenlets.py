"""Fifty greenlets that claim one name: `python -m tests.unit.journals.concurrent_greenlets URL`."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402  # gevent patches must be applied before these imports

import gevent  # noqa: E402
import psycopg  # noqa: E402
from gevent.event import Event  # noqa: E402

from gateway.journals import create_journal  # noqa: E402
from tests.unit.journals.records import make_claim  # noqa: E402


def main(url: str) -> None:
    """Print the number of claims written, of claims refused by the name, and of ticks of another greenlet meanwhile."""
    journal = create_journal(url)
    journal.counts()
    done = Event()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        while not done.wait(0.01):
            ticks += 1

    ticker = gevent.spawn(tick)
    with psycopg.connect(url) as locker:
        locker.execute("LOCK TABLE operations IN EXCLUSIVE MODE")
        claims = [gevent.spawn(journal.claim, make_claim(natural_key=("2", "same"))) for _ in range(50)]
        gevent.sleep(0.3)
    matches = [claim.get().match for claim in claims]
    done.set()
    ticker.join()
    journal.close()
    sys.stdout.write(f"{matches.count('claimed')} {matches.count('name')} {ticks}\n")


if __name__ == "__main__":
    main(sys.argv[1])
