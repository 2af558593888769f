"""Pairs on their way to the online store: their pace, their counts, and what reconciliation says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from featurestore.errors import ReconciliationFailed
from featurestore.intervals import from_micros, to_micros
from featurestore.ir.nodes import ViewNode
from featurestore.runtime.pairs import PairEncoder, pairs_of
from featurestore.runtime.reconcile import reconcile, reconcile_sample, without_keys
from featurestore.runtime.senders import LocalPairs, SendPlan, send_pairs
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.nodes import aggregate_view, plain_view
from tests.support.serving import NOW, Clock

DAY = timedelta(days=1)
VIEW = plain_view(version=2, storage_id=7)
PLAN = SendPlan(fields=VIEW.join_keys, rate_key=b"rate")


def batch_of(users: Sequence[int], *, view: ViewNode = VIEW, at: Any = NOW, value: int | None = 1) -> pa.RecordBatch:
    encoder = PairEncoder(project_id=1, view=view, now_ms=to_micros(NOW) // 1000)
    instants = pa.array([at] * len(users), pa.timestamp("us", "UTC"))
    return encoder.encode(
        pa.record_batch(
            {
                "user_id": pa.array(users, pa.int64()),
                "event_timestamp": instants,
                "created_timestamp": instants,
                "is_deleted": pa.array([False] * len(users)),
                view.features[0].name: pa.array([value] * len(users), pa.int64()),
            }
        )
    )


def memory() -> CountingStore:
    return CountingStore(MemoryOnlineStore(clock=Clock()))


def test_a_publication_counts_what_came_of_its_rows() -> None:
    view = replace(VIEW, ttl=DAY)
    store = memory()
    young, old = batch_of(range(5), view=view), batch_of(range(5, 8), view=view, at=NOW - 2 * DAY)
    result = LocalPairs(store, [young, old], PLAN).send()
    assert (result.sent, result.written, result.ignored, result.expired) == (8, 8, 0, 3)
    assert result.bytes_sent == sum(len(key) + len(value) for part in (young, old) for key, value in pairs_of(part))
    again = LocalPairs(store, [young], PLAN).send()
    assert (again.sent, again.written, again.ignored, again.expired) == (5, 0, 5, 0)


def test_an_aggregate_row_that_holds_never_counts_as_expired() -> None:
    view = aggregate_view(version=1, storage_id=1, ttl=DAY)
    parts = [batch_of([1], view=view, at=NOW - 9 * DAY), batch_of([2], view=view, at=NOW - 9 * DAY, value=None)]
    assert LocalPairs(memory(), parts, PLAN).send().expired == 1
    assert [part["expire_at_ms"].to_pylist()[0] > 0 for part in parts] == [False, True]


def test_senders_of_one_rate_share_it() -> None:
    store = MemoryOnlineStore()
    plan = replace(PLAN, rows_per_second=2_000)
    started = time.monotonic()
    lots = list(send_pairs(store, [batch_of(range(600))], plan))
    assert [lot["sent"] for lot in lots] == [100] * 6
    assert time.monotonic() - started >= 0.25
    assert replace(plan, rows_per_second=3).lot == 1


def test_without_a_rate_rows_go_in_few_round_trips() -> None:
    store = memory()
    LocalPairs(store, [batch_of(range(5_000))], PLAN).send()
    assert store.writes == 3


def test_a_lost_or_older_value_fails_the_publication_and_names_the_entities() -> None:
    store = memory()
    batch = batch_of([1, 2, 3, 4])
    keys = [key for key, _ in pairs_of(batch)]
    pairs = LocalPairs(store, [batch], PLAN)
    pairs.send()
    assert reconcile(VIEW, pairs) == 4
    store.write_if_newer(pairs_of(batch_of([4], at=NOW + DAY)))
    assert reconcile(VIEW, pairs) == 4
    store.delete(keys[:2])
    store.put_record(keys[2], pairs_of(batch_of([3], at=NOW - DAY))[0][1])
    with pytest.raises(ReconciliationFailed) as caught:
        reconcile(VIEW, pairs)
    text = str(caught.value)
    assert "plain v2: 3 keys of 4 do not hold in the online store what was published" in text
    assert f"user_id=1 (key {keys[0].hex()}): nothing is stored" in text
    assert f"user_id=3 (key {keys[2].hex()}): an older value is stored" in text
    assert caught.value.context["wrong"] == 3


def test_a_sample_leaves_out_what_was_just_sent_and_what_may_be_gone() -> None:
    view = replace(VIEW, ttl=DAY)
    store = memory()
    earliest = PairEncoder(project_id=1, view=view, now_ms=0)
    sent, others = batch_of([1], view=view), batch_of([1, 2, 3], view=view)
    assert [key for key, _ in pairs_of(without_keys(others, [sent]))] == [key for key, _ in pairs_of(others)][1:]
    assert len(without_keys(others, [])) == 3
    gone = batch_of([9], view=view, at=NOW - 5 * DAY)
    ends = from_micros(earliest.life_ms * 2 * 1000 + to_micros(NOW - 5 * DAY))
    assert ends < NOW
    lasting = gone.set_column(2, "expire_at_ms", pa.array([to_micros(ends) // 1000]))
    assert reconcile_sample(view, LocalPairs(store, [lasting], PLAN)) == 1
    with pytest.raises(ReconciliationFailed, match=r"1 of 1 sampled keys lost .* The next publication sends every row"):
        reconcile_sample(view, LocalPairs(store, [batch_of([9], view=view)], PLAN))


def test_a_longer_ttl_extends_the_expiry_of_rows_that_are_there() -> None:
    clock = Clock()
    store = MemoryOnlineStore(clock=clock)
    short, long = replace(VIEW, ttl=DAY), replace(VIEW, ttl=30 * DAY)
    LocalPairs(store, [batch_of([1], view=short)], PLAN).send()
    result = LocalPairs(store, [batch_of([1], view=long)], replace(PLAN, extends=True)).send()
    assert (result.written, result.ignored) == (0, 1)
    clock.now = NOW + 20 * DAY
    assert store.read([pairs_of(batch_of([1]))[0][0]])[0] is not None


def test_tombstones_expire_where_older_rows_would_have_too() -> None:
    ends = [
        PairEncoder(project_id=1, view=view, now_ms=to_micros(NOW) // 1000)
        .encode(
            pa.record_batch(
                {
                    "user_id": pa.array([1], pa.int64()),
                    "event_timestamp": pa.array([NOW], pa.timestamp("us", "UTC")),
                    "created_timestamp": pa.array([NOW], pa.timestamp("us", "UTC")),
                    "is_deleted": pa.array([True]),
                    "clicked": pa.nulls(1, pa.int64()),
                }
            )
        )["expire_at_ms"][0]
        .as_py()
        for view in (replace(VIEW, ttl=3 * DAY), VIEW)
    ]
    assert ends == [to_micros(NOW + 6 * DAY) // 1000, 0]
