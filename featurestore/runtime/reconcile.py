"""Reconciliation: after a publication the online store holds what was sent, or something newer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from featurestore.codec.value import is_newer
from featurestore.errors import ReconciliationFailed
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.pairs import client, pairs_of
from featurestore.stores.online import OnlineAddress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["check_pairs", "reconcile"]

_CHECKED_DDL = "checked bigint, wrong bigint, sample array<string>"
_CHECKED_SCHEMA = pa.schema(
    [("checked", pa.int64()), ("wrong", pa.int64()), ("sample", pa.list_(pa.string()))]
)
_READ_KEYS = 2_048
_SAMPLE = 10


def reconcile(context: RuntimeContext, view: StoredViewNode, pairs: DataFrame) -> int:
    """Compare every sent pair with the store; give how many were compared.

    A stored value is right when its stamp is newer than the sent one's, or equal with equal bytes. Anything else
    raises ReconciliationFailed with how many keys are wrong and what was found for the first of them.
    """
    rows = pairs.mapInArrow(partial(check_pairs, OnlineAddress.of(context.settings)), _CHECKED_DDL).collect()
    wrong = sum(row.wrong for row in rows)
    if wrong:
        sample = [text for row in rows for text in row.sample][:_SAMPLE]
        raise ReconciliationFailed(
            f"{view.name} v{view.version}: {wrong} keys of {sum(row.checked for row in rows)} do not hold in the online "
            f"store what was published: {'; '.join(sample)}. Publish again; if it fails again, look at who else writes "
            "there, and at the store's maxmemory-policy",
            view=view.name,
            version=view.version,
            wrong=wrong,
            sample=sample,
        )
    return sum(row.checked for row in rows)


def check_pairs(address: OnlineAddress, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the keys back, in bounded batches, and give counts and the first mismatches."""
    store = client(address)
    for batch in batches:
        for start in range(0, len(batch), _READ_KEYS):
            pairs = pairs_of(batch.slice(start, _READ_KEYS))
            found = store.read([key for key, _ in pairs])
            problems = [
                problem
                for (key, sent), stored in zip(pairs, found, strict=True)
                if (problem := _mismatch(key, sent, stored))
            ]
            yield pa.RecordBatch.from_pylist(
                [{"checked": len(pairs), "wrong": len(problems), "sample": problems[:_SAMPLE]}], schema=_CHECKED_SCHEMA
            )


def _mismatch(key: bytes, sent: bytes, stored: bytes | None) -> str | None:
    if stored == sent:
        return None
    if stored is None:
        return f"key {key.hex()}: nothing is stored"
    if is_newer(stored, sent):
        return None
    return f"key {key.hex()}: an older value is stored"
