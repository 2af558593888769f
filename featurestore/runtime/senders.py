"""Send pairs to the online store and read them back: from the driver, or from Spark's Python workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from featurestore.codec.value import is_newer
from featurestore.engines.spark.worker_errors import raised_in_worker
from featurestore.runtime.pairs import pairs_of
from featurestore.runtime.results import PublicationResult
from featurestore.stores.base import OnlineStore, WriteCount
from featurestore.stores.online import OnlineAddress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Comparison", "LocalPairs", "Pairs", "SparkPairs", "client", "compare_pairs", "send_pairs"]

_BATCH_ROWS = 2_048
_SAMPLE = 10
_SENT = pa.schema([("written", pa.int64()), ("ignored", pa.int64()), ("bytes", pa.int64())])
_COMPARED = pa.schema([("checked", pa.int64()), ("wrong", pa.int64()), ("sample", pa.list_(pa.string()))])

Comparison = tuple[int, list[str]]
"""How many pairs were compared, and what is wrong with each that does not stand as sent (all counted, some told)."""


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

    def __init__(self, store: OnlineStore, batches: Sequence[pa.RecordBatch]) -> None:
        self._store = store
        self._batches = batches

    def send(self) -> PublicationResult:
        count = sum(send_pairs(self._store, self._batches), WriteCount())
        return _result(count.written, count.ignored, count.bytes_sent)

    def compare(self) -> tuple[int, int, list[str]]:
        found = list(compare_pairs(self._store, self._batches))
        problems = [problem for _, some in found for problem in some]
        return sum(checked for checked, _ in found), len(problems), problems[:_SAMPLE]


class SparkPairs:
    """Pairs in a persisted frame; each executor process has one client."""

    def __init__(self, address: OnlineAddress, frame: DataFrame) -> None:
        self._address = address
        self._frame = frame

    def send(self) -> PublicationResult:
        rows = self._frame.mapInArrow(partial(_send, self._address), "written bigint, ignored bigint, bytes bigint")
        with raised_in_worker():
            found = rows.collect()
        return _result(*(sum(row[name] for row in found) for name in ("written", "ignored", "bytes")))

    def compare(self) -> tuple[int, int, list[str]]:
        rows = self._frame.mapInArrow(
            partial(_compare, self._address), "checked bigint, wrong bigint, sample array<string>"
        )
        with raised_in_worker():
            found = rows.collect()
        sample = [problem for row in found for problem in row.sample]
        return sum(row.checked for row in found), sum(row.wrong for row in found), sample[:_SAMPLE]


def send_pairs(store: OnlineStore, batches: Iterable[pa.RecordBatch]) -> Iterator[WriteCount]:
    """Write pairs in bounded batches, and give the counts of each."""
    for part in _parts(batches):
        yield store.write_if_newer(pairs_of(part), expire_at_ms=np.asarray(part["expire_at_ms"]).tolist())


def compare_pairs(store: OnlineStore, batches: Iterable[pa.RecordBatch]) -> Iterator[Comparison]:
    """Read pairs back in bounded batches; give for each how many there were and what is wrong.

    A stored value is right when its stamp is newer than the sent one's, or equal with equal bytes.
    """
    for part in _parts(batches):
        pairs = pairs_of(part)
        found = store.read([key for key, _ in pairs])
        problems = [
            problem
            for (key, sent), stored in zip(pairs, found, strict=True)
            if (problem := _mismatch(key, sent, stored))
        ]
        yield len(pairs), problems


@cache
def client(address: OnlineAddress) -> OnlineStore:
    """Give this process's one client for an address."""
    return address.connect()


def _send(address: OnlineAddress, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for count in send_pairs(client(address), batches):
        row = {"written": count.written, "ignored": count.ignored, "bytes": count.bytes_sent}
        yield pa.RecordBatch.from_pylist([row], schema=_SENT)


def _compare(address: OnlineAddress, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for checked, problems in compare_pairs(client(address), batches):
        row = {"checked": checked, "wrong": len(problems), "sample": problems[:_SAMPLE]}
        yield pa.RecordBatch.from_pylist([row], schema=_COMPARED)


def _parts(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, len(batch), _BATCH_ROWS):
            yield batch.slice(start, _BATCH_ROWS)


def _mismatch(key: bytes, sent: bytes, stored: bytes | None) -> str | None:
    if stored == sent:
        return None
    if stored is None:
        return f"key {key.hex()}: nothing is stored"
    return None if is_newer(stored, sent) else f"key {key.hex()}: an older value is stored"


def _result(written: int, ignored: int, size: int) -> PublicationResult:
    return PublicationResult(sent=written + ignored, ignored=ignored, bytes_sent=size)
