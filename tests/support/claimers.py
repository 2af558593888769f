"""Processes of threads that ask one ledger for the same thing at the same moment."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

from featurestore.errors import FeatureStoreError, IntervalBusy
from featurestore.intervals import Interval
from featurestore.ir.manifest import Manifest
from featurestore.stores.database import create_database
from featurestore.stores.ledger import SqlLedger
from featurestore.stores.registry import SqlRegistry
from tests.support.nodes import manifest_of, plain_view

__all__ = ["INTERVAL", "LEASE", "NOW", "apply_own_view", "claim_once", "make_tables", "race", "work_through"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEASE = timedelta(minutes=5)
INTERVAL = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))

Entry: TypeAlias = Callable[[str, str, Callable[[], object]], str]
"""Takes the database's URL, the claimer's name and the starting gun; gives how it went."""


def race(entry: Entry, url: str, *, processes: int = 4, threads: int = 4) -> Counter[str]:
    """Run ``entry`` in processes x threads that start it together; count the answers."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(processes * threads, timeout=60), context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(entry, url, number, threads, barrier, answers))
        for number in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert [worker.exitcode for worker in workers] == [0] * processes
    return sum((answers.get() for _ in workers), Counter())


def _work(
    entry: Entry, url: str, process: int, threads: int, barrier: Barrier, answers: SimpleQueue[Counter[str]]
) -> None:
    def run(thread: int) -> str:
        try:
            return entry(url, f"{process}-{thread}", barrier.wait)
        except FeatureStoreError as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(threads) as pool:
        answers.put(Counter(pool.map(run, range(threads))))


def make_tables(url: str, name: str, start: Callable[[], object]) -> str:
    start()
    create_database(url).close()
    return "made"


def claim_once(url: str, name: str, start: Callable[[], object]) -> str:
    with create_database(url) as database:
        ledger = SqlLedger(database, "shop")
        start()
        try:
            ledger.claim("v", 1, INTERVAL, inputs={}, created=NOW, owner=name, now=NOW, lease=LEASE)
        except IntervalBusy:
            return "busy"
        return "won"


def work_through(url: str, name: str, start: Callable[[], object]) -> str:
    """Claim and fail own intervals in a row: many short write transactions beside each other."""
    with create_database(url) as database:
        ledger = SqlLedger(database, "shop")
        process, thread = (int(part) for part in name.split("-"))
        day = INTERVAL.start + timedelta(days=process * 100 + thread)
        start()
        for _ in range(10):
            own = Interval(day, day + timedelta(days=1))
            claim = ledger.claim("v", 1, own, inputs={}, created=NOW, owner=name, now=NOW, lease=LEASE)
            ledger.heartbeat(claim, now=NOW, lease=LEASE)
            ledger.fail(claim, {}, now=NOW)
            ledger.coverage("v", 1)
    return "done"


def apply_own_view(url: str, name: str, start: Callable[[], object]) -> str:
    manifest: Manifest = manifest_of(plain_view(name=f"view_{name.replace('-', '_')}"))
    with create_database(url) as database:
        start()
        stored = SqlRegistry(database, "shop").record(manifest, now=NOW)
    (view,) = stored.stored_views()
    return f"generation {stored.generation}, storage id {view.storage_id}"
