"""Send pairs to the online store and read them back: from the driver, or from Spark's Python workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from featurestore.codec.entity_values import show_entity
from featurestore.codec.value import is_newer
from featurestore.engines.spark.worker_errors import raised_in_worker
from featurestore.ir.nodes import FieldNode
from featurestore.runtime.pairs import PAIRS_SCHEMA, pairs_of
from featurestore.runtime.results import PublicationResult
from featurestore.stores.base import OnlineStore
from featurestore.stores.online import OnlineAddress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

__all__ = ["Comparison", "LocalPairs", "Pairs", "SendPlan", "SparkPairs", "client", "compare_pairs", "send_pairs"]

_BATCH_ROWS = 2_048
_SLICES_PER_SECOND = 20
"""Under a rate, rows go in lots of a twentieth of a second: readers see no bursts."""
_READ_BACK_ROWS = 256
"""At once: a lookup waits for the end of a command, and reading 2,048 keys takes a millisecond."""
_SAMPLE = 10
_COUNTS = ("sent", "ignored", "bytes", "expired")
_LAST = 256
"""So many of a task's last pairs are read back once more at the end: on a cluster they are of all its servers."""
_NUMBERS = (*_COUNTS, "checked", "wrong")
_REPORT = pa.schema(
    [
        *(pa.field(name, pa.int64()) for name in _NUMBERS),
        pa.field("sample", pa.list_(pa.string())),
        pa.field("last", pa.binary()),
    ]
)
_REPORT_DDL = ", ".join([*(f"{name} bigint" for name in _NUMBERS), "sample array<string>", "last binary"])

Encode: TypeAlias = Callable[[pa.RecordBatch], pa.RecordBatch]
Comparison: TypeAlias = tuple[int, list[str]]
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
    are_new: bool = False
    """Hardly any row is there already, as when a version is published for the first time."""

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
        """Say what was read back of all pairs: how many, how many are wrong, and the first of these in words."""
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
    """Rows that Spark's workers encode, send and read back; each executor process has one client.

    One pass over ``rows`` does it all. What is under way is bounded: a lot is encoded, sent and answered before the
    next one is taken from Spark, and what a task has sent waits in a file of its own to be read back when the task has
    sent all. A server that fails over after that loses what it was sent last: ``compare`` reads each task's last
    pairs again.
    """

    def __init__(self, address: OnlineAddress, rows: DataFrame, plan: SendPlan, encode: Encode) -> None:
        self._address = address
        self._rows = rows
        self._plan = plan
        self._encode = encode
        self._reports: list[Row] = []

    def send(self) -> PublicationResult:
        work = partial(_send_and_read_back, self._address, self._plan, self._encode)
        with raised_in_worker():
            self._reports = self._rows.mapInArrow(work, _REPORT_DDL).collect()
        return _total([report.asDict() for report in self._reports])

    def compare(self) -> tuple[int, int, list[str]]:
        last = [batch for report in self._reports for batch in pa.ipc.open_stream(report.last)]
        with closing(self._address.connect()) as store:
            again = [problem for _, some in compare_pairs(store, last, self._plan) for problem in some]
        problems = [problem for report in self._reports for problem in report.sample]
        checked = sum(report.checked for report in self._reports)
        wrong = sum(report.wrong for report in self._reports)
        return checked, wrong or len(again), (problems or again)[:_SAMPLE]


def send_pairs(store: OnlineStore, batches: Iterable[pa.RecordBatch], plan: SendPlan) -> Iterator[dict[str, int]]:
    """Write pairs lot by lot, each after its turn, and give the counts of each."""
    for part in _parts(batches, plan.lot):
        if plan.rows_per_second is not None:
            time.sleep(store.reserve(plan.rate_key, len(part), per_second=plan.rows_per_second))
        expiries = np.asarray(part["expire_at_ms"]).tolist()
        count = store.write_if_newer(pairs_of(part), expire_at_ms=expiries, are_new=plan.are_new)
        if plan.extends:
            store.extend_expiry([key for key, _ in pairs_of(part)], expiries)
        expired = int(np.asarray(part["is_expired"]).sum())
        yield {"sent": len(part), "ignored": count.ignored, "bytes": count.bytes_sent, "expired": expired}


def compare_pairs(store: OnlineStore, batches: Iterable[pa.RecordBatch], plan: SendPlan) -> Iterator[Comparison]:
    """Read pairs back in bounded batches; give for each how many there were and what is wrong.

    A stored value is right when its stamp is newer than the sent one's, or equal with equal bytes; one whose physical
    expiry is over may be gone.
    """
    for part in _parts(batches, min(plan.lot, _READ_BACK_ROWS)):
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


def _send_and_read_back(
    address: OnlineAddress,
    plan: SendPlan,
    encode: Encode,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Do one task: encode, send, and when all is sent compare all; give one report."""
    store = client(address)
    total = dict.fromkeys(_COUNTS, 0)
    checked, wrong, sample, last = 0, 0, list[str](), PAIRS_SCHEMA.empty_table().to_batches()
    with TemporaryFile() as spool:
        with pa.ipc.new_stream(spool, PAIRS_SCHEMA) as writer:
            for pairs in map(encode, batches):
                for counts in send_pairs(store, [pairs], plan):
                    total = {name: total[name] + counts[name] for name in _COUNTS}
                writer.write_batch(pairs)
                last = [pairs.slice(max(0, len(pairs) - _LAST))]
        spool.seek(0)
        for count, problems in compare_pairs(store, pa.ipc.open_stream(spool), plan):
            checked, wrong = checked + count, wrong + len(problems)
            sample = (sample + problems)[:_SAMPLE]
    report = {**total, "checked": checked, "wrong": wrong, "sample": sample, "last": _as_stream(last)}
    yield pa.RecordBatch.from_pylist([report], schema=_REPORT)


def _as_stream(batches: Sequence[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, PAIRS_SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


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
