"""Spark's workers publish to a cluster whose slots move, and through a failover."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from featurestore.runtime.senders import SendPlan, SparkPairs
from featurestore.stores.online import OnlineAddress
from featurestore.stores.redis.slots import slot_of
from tests.conformance.test_online_store import KEYS, new_keys, value
from tests.support.redis_cluster import running_cluster
from tests.support.redis_nodes import running_sentinels

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.redis]

COUNT = 20_000


def pairs_frame(spark: SparkSession, keys: list[bytes]) -> DataFrame:
    rows = [(key, value(1), 0, False) for key in keys]
    return spark.createDataFrame(rows, "key binary, value binary, expire_at_ms bigint, is_expired boolean").repartition(
        4
    )


def publish(address: OnlineAddress, frame: DataFrame, disturb: Callable[[], object]) -> tuple[int, int]:
    """Send while something happens, then compare and send until all is there; give rows sent first and rows lost."""
    pairs = SparkPairs(address, frame, SendPlan(fields=KEYS.fields, rate_key=b"rate"), encode=lambda batch: batch)
    thread = threading.Thread(target=lambda: (time.sleep(0.3), disturb()))
    thread.start()
    sent = pairs.send().sent
    thread.join()
    _, lost, _ = pairs.compare()
    if lost:
        pairs.send()
        assert pairs.compare() == (COUNT, 0, [])
    return sent, lost


def test_slots_move_under_a_publication(spark: SparkSession, tmp_path: Path) -> None:
    keys = new_keys(COUNT)
    frame = pairs_frame(spark, keys)
    with running_cluster(tmp_path) as cluster:
        address = OnlineAddress(kind="redis", url=cluster.url, deadline_seconds=5.0, options=(("client_name", "jobs"),))

        def move() -> None:
            for key in keys[:20]:
                slot = slot_of(key)
                target = next(node for node in cluster.primaries if node is not cluster.owner(slot))
                cluster.move(slot, target)

        assert publish(address, frame, move) == (COUNT, 0)
        with closing(address.connect()) as store:
            assert store.read(keys) == [value(1)] * COUNT
            assert store.delete(keys) == COUNT


def test_a_failover_during_a_publication_loses_nothing_in_the_end(spark: SparkSession, tmp_path: Path) -> None:
    keys = new_keys(COUNT)
    frame = pairs_frame(spark, keys)
    with running_sentinels(tmp_path) as servers:
        address = OnlineAddress(kind="redis", url=servers.url, deadline_seconds=5.0)
        sent, _ = publish(address, frame, servers.primary().kill)
        assert sent == COUNT
        with closing(address.connect()) as store:
            assert store.read(keys) == [value(1)] * COUNT
