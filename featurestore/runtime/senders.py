"""Send pairs to the online store and read them back: from the driver, or from Spark's Python workers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from featurestore.codec.entity_values import show_entity
from featurestore.codec.value import is_newer
from featurestore.engines.spark.worker_errors import raised_in_worker
from featurestore.ir.nodes import FieldNode
from featurestore.runtime.pairs import pairs_of
from featurestore.runtime.results import PublicationResult
from featurestore.stores.base import OnlineStore
from featurestore.stores.online import OnlineAddress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Comparison", "LocalPairs", "Pairs", "SendPlan", "SparkPairs", "client", "compare_pairs", "send_pairs"]

_BATCH_ROWS = 2_048
_SLICES_PER_SECOND = 20
"""Under a rate, rows go in lots of a twentieth of a second: readers see no bursts."""
_SAMPLE = 10
_COUNTS = ("sent", "ignored", "bytes", "expired")
_SENT = pa.schema([(name, pa.int64()) for name in _COUNTS])
_SENT_DDL = ", ".join(f"{name} bigint" for name in _COUNTS)
_COMPARED = pa.schema([("checked", pa.int64()), ("wrong", pa.int64()), ("sample", pa.list_(pa.string()))])

Comparison = tuple[int, list[str]]
"""How many pairs were compared, and what is wrong with each that does not stand as sent (all counted, some told)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPlan:
    """How one view's pairs are sent: ``fields`` are those of its keys, for messages.

    ``rows_per_second`` is shared by all senders that name ``rate_key``, whatever process they are in: each takes its
    turn for the next lot from one record in the online store, in the order in which they ask.
    """

    fields: tuple[FieldNode, ...]
    rate_key: bytes
    rows_per_second: int | None = None
    extends: bool = False
    """Rows that are there already get the expiry of the sent ones, where it is later."""

    @property
    def lot(self) -> int:
        """How many rows go at once."""
        if self.rows_per_second is None:
            return _BATCH_ROWS
        return max(1, min(_BATCH_ROWS, self.rows_per_second // _SLICES_PER_SECOND))


class Pairs(Protocol):
    """Encoded rows of one publication."""

    def send(self) -> PublicationResult:
        """Write all pairs by compare-and-set."""
        ...

    def compare(self) -> tuple[int, int, list[str]]:
        """Read all pairs back; give how many were compared, how many are wrong, and the first of these in words."""
        ...


class LocalPairs:
    """Pairs held by the driver."""

    def __init__(self, store: OnlineStore, batches: Sequence[pa.RecordBatch], plan: SendPlan) -> None:
        self._store = store
        self._batches = batches
        self._plan = plan

    def send(self) -> PublicationResult:
        return _total(list(send_pairs(self._store, self._batches, self._plan)))

    def compare(self) -> tuple[int, int, list[str]]:
        found = list(compare_pairs(self._store, self._batches, self._plan))
        problems = [problem for _, some in found for problem in some]
        return sum(checked for checked, _ in found), len(problems), problems[:_SAMPLE]


class SparkPairs:
    """Pairs in a persisted frame; each executor process has one client, which sends one lot after the other.

    That bounds what is under way: a lot is encoded, sent and answered before the next one is taken from Spark.
    """

    def __init__(self, address: OnlineAddress, frame: DataFrame, plan: SendPlan) -> None:
        self._address = address
        self._frame = frame
        self._plan = plan

    def send(self) -> PublicationResult:
        rows = self._frame.mapInArrow(partial(_send, self._address, self._plan), _SENT_DDL)
        with raised_in_worker():
            found = rows.collect()
        return _total([row.asDict() for row in found])

    def compare(self) -> tuple[int, int, list[str]]:
        rows = self._frame.mapInArrow(
            partial(_compare, self._address, self._plan), "checked bigint, wrong bigint, sample array<string>"
        )
        with raised_in_worker():
            found = rows.collect()
        sample = [problem for row in found for problem in row.sample]
        return sum(row.checked for row in found), sum(row.wrong for row in found), sample[:_SAMPLE]


def send_pairs(store: OnlineStore, batches: Iterable[pa.RecordBatch], plan: SendPlan) -> Iterator[dict[str, int]]:
    """Write pairs lot by lot, each after its turn, and give the counts of each."""
    for part in _parts(batches, plan.lot):
        if plan.rows_per_second is not None:
            time.sleep(store.reserve(plan.rate_key, len(part), per_second=plan.rows_per_second))
        expiries = np.asarray(part["expire_at_ms"]).tolist()
        count = store.write_if_newer(pairs_of(part), expire_at_ms=expiries)
        if plan.extends:
            store.extend_expiry([key for key, _ in pairs_of(part)], expiries)
        expired = int(np.asarray(part["is_expired"]).sum())
        yield {"sent": len(part), "ignored": count.ignored, "bytes": count.bytes_sent, "expired": expired}


def compare_pairs(store: OnlineStore, batches: Iterable[pa.RecordBatch], plan: SendPlan) -> Iterator[Comparison]:
    """Read pairs back in bounded batches; give for each how many there were and what is wrong.

    A stored value is right when its stamp is newer than the sent one's, or equal with equal bytes; one whose physical
    expiry is over may be gone.
    """
    for part in _parts(batches, plan.lot):
        pairs = pairs_of(part)
        found = store.read([key for key, _ in pairs])
        gone = np.asarray(part["expire_at_ms"])
        now_ms = store.time_micros() // 1000 if (gone > 0).any() and None in found else 0
        may_be_gone = ((gone > 0) & (gone <= now_ms)).tolist()
        problems = [
            f"{show_entity(key, plan.fields)}: {problem}"
            for (key, sent), stored, ended in zip(pairs, found, may_be_gone, strict=True)
            if (problem := _mismatch(sent, stored)) and not (stored is None and ended)
        ]
        yield len(pairs), problems


@cache
def client(address: OnlineAddress) -> OnlineStore:
    """Give this process's one client for an address."""
    return address.connect()


def _send(address: OnlineAddress, plan: SendPlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for counts in send_pairs(client(address), batches, plan):
        yield pa.RecordBatch.from_pylist([counts], schema=_SENT)


def _compare(address: OnlineAddress, plan: SendPlan, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for checked, problems in compare_pairs(client(address), batches, plan):
        row = {"checked": checked, "wrong": len(problems), "sample": problems[:_SAMPLE]}
        yield pa.RecordBatch.from_pylist([row], schema=_COMPARED)


def _parts(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), rows):
            yield batch.slice(start, rows)


def _mismatch(sent: bytes, stored: bytes | None) -> str | None:
    if stored == sent:
        return None
    if stored is None:
        return "nothing is stored"
    return None if is_newer(stored, sent) else "an older value is stored"


def _total(counts: Sequence[dict[str, int]]) -> PublicationResult:
    sent, ignored, size, expired = (sum(count[name] for count in counts) for name in _COUNTS)
    return PublicationResult(sent=sent, ignored=ignored, bytes_sent=size, expired=expired)
