"""What publications leave online, in any order of their ends, is what the table answers, withdrawn rows included."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from featurestore.codec.keys import KeyCodec
from featurestore.codec.value import RowCodec
from featurestore.engines.spark.answers import standing_answers
from featurestore.intervals import from_micros
from featurestore.runtime.pairs import PairEncoder, pairs_of
from featurestore.stores.memory import MemoryOnlineStore
from tests.support.nodes import START, plain_view

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

VIEW = plain_view(version=1, storage_id=1)
SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("event_timestamp", pa.timestamp("us", "UTC")),
        ("created_timestamp", pa.timestamp("us", "UTC")),
        ("is_deleted", pa.bool_()),
        ("clicked", pa.int64()),
    ]
)
COMMITS = (
    # user, event, created, deleted, value: what each Delta version appended
    [(user, 1, 1, False, 10) for user in (1, 2, 3, 4, 5, 6)],
    [(user, 5, 5, False, 50) for user in (1, 2, 3, 4, 5, 6)],
    # 5 stays; 6 moves to an earlier time; the others lose their last row, 4 all rows
    [
        *((user, 5, 6, True, None) for user in (1, 2, 3, 4, 6)),
        (4, 1, 6, True, None),
        (6, 4, 6, False, 40),
    ],
    # a late row stated before the withdrawal; the withdrawn row again; a row after nothing; a plain correction
    [(2, 3, 3, False, 30), (3, 5, 7, False, 55), (4, 2, 2, False, 20), (5, 5, 7, False, 51)],
    # withdrawn once more; another late row; a later row ends it all
    [(3, 5, 8, True, None), (2, 4, 4, False, 45), (1, 9, 9, False, 90)],
)


def rows_of(commit: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [
        {
            "user_id": user,
            "event_timestamp": START + timedelta(days=event),
            "created_timestamp": START + timedelta(days=created),
            "is_deleted": deleted,
            "clicked": value,
        }
        for user, event, created, deleted, value in commit
    ]


def answer(user: int) -> tuple[int, int] | None:
    """Give event day and value of the newest row that stands, as a reader of the table finds it."""
    standing: dict[int, tuple[int, bool, int]] = {}
    for found, event, created, deleted, value in itertools.chain.from_iterable(COMMITS):
        if found == user and created >= standing.get(event, (0, False, 0))[0]:
            standing[event] = (created, deleted, value)
    left = {event: value for event, (_, deleted, value) in standing.items() if not deleted}
    return (max(left), left[max(left)]) if left else None


def test_the_last_answer_stands_whatever_the_order_of_publications(spark: SparkSession) -> None:
    encoder = PairEncoder(project_id=1, view=VIEW, now_ms=0)
    publications = []
    for version, commit in enumerate(COMMITS, 1):
        appended = spark.createDataFrame(pa.Table.from_pylist(rows_of(commit), SCHEMA))
        every = list(itertools.chain.from_iterable(COMMITS[:version]))
        table = spark.createDataFrame(pa.Table.from_pylist(rows_of(every), SCHEMA))
        found = standing_answers(appended, table, VIEW, delta_version=version).toArrow()
        publications.append([pair for batch in found.to_batches() for pair in pairs_of(encoder.encode(batch))])
    keys = KeyCodec(project_id=1, storage_id=1, fields=VIEW.join_keys).encode({"user_id": [1, 2, 3, 4, 5, 6]})
    expected = [answer(user) for user in (1, 2, 3, 4, 5, 6)]
    assert expected == [(9, 90), (4, 45), (1, 10), (2, 20), (5, 51), (4, 40)]
    for order in itertools.permutations(publications):
        store = MemoryOnlineStore()
        for pairs in order:
            store.write_if_newer(pairs)
        read = RowCodec(VIEW.features).decode(store.read([key for key in keys if key]))
        values = read.columns["clicked"].to_list()
        days = [(from_micros(micros) - START) // timedelta(days=1) for micros in read.event_us.tolist()]
        assert list(zip(days, values, strict=True)) == expected
