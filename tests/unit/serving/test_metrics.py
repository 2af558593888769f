"""What metrics say of lookups, read back through the OpenTelemetry SDK; and that none are loaded unless asked for."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from featurestore.errors import FeatureNotFound, OnlineStoreUnavailable, SettingsError
from featurestore.runtime.metrics import PublicationMetrics
from featurestore.runtime.results import PublicationResult
from featurestore.serving.aio import AsyncOnlineClient
from featurestore.serving.client import OnlineClient
from featurestore.serving.connect import lookup_observer
from featurestore.serving.manifests import FixedManifests
from featurestore.serving.metrics import LookupMetrics
from featurestore.settings import parse_settings
from featurestore.stores.memory import MemoryOnlineStore
from featurestore.stores.memory_aio import AsyncMemoryOnlineStore
from featurestore.stores.redis.store import RedisOnlineStore
from tests.support.counting_store import CountingStore
from tests.support.serving import NOW, PROJECT, Clock, World, flags, scores, user_data

Attributes = frozenset[tuple[str, Any]]


class Readings:
    """An in-memory reader with a meter of its own."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider(metric_readers=[self._reader])
        self.meter = self._provider.get_meter("test")

    def of(self, name: str) -> dict[Attributes, Any]:
        """Give a metric's points by attributes: values of counters, (count, sum) of histograms."""
        data = self._reader.get_metrics_data()
        metrics = [] if data is None else data.resource_metrics[0].scope_metrics[0].metrics
        return {
            frozenset((point.attributes or {}).items()): point.value
            if hasattr(point, "value")
            else (point.count, point.sum)
            for metric in metrics
            if metric.name == name
            for point in metric.data.data_points
        }


def named(**attributes: Any) -> Attributes:
    return frozenset(attributes.items())


def with_metrics(world: World) -> tuple[OnlineClient, Readings]:
    readings = Readings()
    client = OnlineClient(
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=world.clock,
        metrics=LookupMetrics(readings.meter),
    )
    return client, readings


def test_calls_rows_round_trips_keys_and_bytes_are_those_of_the_store() -> None:
    view = user_data()
    world = World(view)
    world.put(view, 1, {"click_through_rate": 0.5})
    client, readings = with_metrics(world)
    client.get_online_features(["user_data:click_through_rate"], [{"user_id": 1}, {"user_id": 2}])
    first = len(world.store.reads)
    client.get_online_features(["user_data:click_through_rate"], [{"user_id": 1}, {"user_id": 2}])
    assert len(world.store.reads) == first + 1
    everything = named()
    assert readings.of("featurestore.lookup.calls") == {everything: 2}
    assert readings.of("featurestore.lookup.rows") == {everything: 4}
    assert readings.of("featurestore.lookup.round_trips") == {everything: len(world.store.reads)}
    assert readings.of("featurestore.lookup.keys") == {everything: sum(world.store.reads)}
    stored = len(world.rows[0][1]) + len(world.pointer.to_bytes())
    assert readings.of("featurestore.lookup.bytes")[everything] == 2 * stored + (first - 1) * len(
        world.pointer.to_bytes()
    )
    for duration in ("lookup.duration", "lookup.decode.duration"):
        count, seconds = readings.of(f"featurestore.{duration}")[everything]
        assert count == 2 and seconds >= 0
    assert readings.of("featurestore.lookup.read.duration")[everything][0] == len(world.store.reads)


def test_asyncio_lookups_are_counted_alike() -> None:
    view = user_data()
    memory = MemoryOnlineStore(clock=Clock())
    world = World(view, store=CountingStore(memory))
    world.put(view, 1, {"click_through_rate": 0.5})
    readings = Readings()
    client = AsyncOnlineClient(
        AsyncMemoryOnlineStore(memory),
        world.store,
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=world.clock,
        metrics=LookupMetrics(readings.meter),
    )

    async def look() -> None:
        asked = [client.get_online_features(["user_data:click_through_rate"], [{"user_id": n}]) for n in (1, 2, 1)]
        await asyncio.gather(*asked)
        with pytest.raises(FeatureNotFound):
            await client.get_online_features(["user_data:nothing"], [{"user_id": 1}])
        await client.close()

    asyncio.run(look())
    failed = frozenset({("error.type", "FeatureNotFound")})
    assert readings.of("featurestore.lookup.calls") == {named(): 3, failed: 1}
    assert readings.of("featurestore.lookup.values") == {
        named(view="user_data", status="PRESENT"): 2,
        named(view="user_data", status="NOT_FOUND"): 1,
    }


def test_values_are_counted_by_view_and_status_and_ages_told_of_the_oldest() -> None:
    view, other = user_data(), flags()
    world = World(view, other)
    world.put(view, 1, {"click_through_rate": 0.5}, event=NOW - timedelta(hours=3), holds=False)
    world.put(view, 2, {"click_through_rate": None}, event=NOW)
    world.put(other, 1, {"visits": 3}, event=NOW - timedelta(days=2))
    client, readings = with_metrics(world)
    client.get_online_features(
        ["user_data:click_through_rate", "flags:visits"], [{"user_id": 1}, {"user_id": 2}, {"user_id": 3}]
    )
    assert readings.of("featurestore.lookup.values") == {
        named(view="user_data", status="PRESENT"): 1,
        named(view="user_data", status="NULL_VALUE"): 1,
        named(view="user_data", status="NOT_FOUND"): 1,
        named(view="flags", status="OUTSIDE_MAX_AGE"): 1,
        named(view="flags", status="NOT_FOUND"): 2,
    }
    assert readings.of("featurestore.lookup.age") == {
        named(view="user_data"): (1, 3 * 3600),
        named(view="flags"): (1, 2 * 86_400),
    }


def test_predictions_are_counted_by_status_and_inference_is_timed() -> None:
    view, predictions = user_data(), scores()
    world = World(view, predictions)
    for user_id in (1, 2):
        world.put(view, user_id, {"click_through_rate": 0.5, "number_of_clicks": 1})
    world.predict(predictions, 1, 0.25)
    client, readings = with_metrics(world)
    for _ in range(2):
        client.get_online_features(["model_predictions:score"], [{"user_id": 1}, {"user_id": 2}])
    assert readings.of("featurestore.prediction.answers") == {
        named(view="model_predictions", status="CACHED"): 3,
        named(view="model_predictions", status="LIVE"): 1,
    }
    assert readings.of("featurestore.lookup.inference.duration")[named()][0] == 1
    assert readings.of("featurestore.prediction.age")[named(view="model_predictions")][0] == 2


def test_a_lookup_that_fails_is_counted_by_its_error_and_raises_the_same() -> None:
    world = World(user_data())
    client, readings = with_metrics(world)
    with pytest.raises(FeatureNotFound):
        client.get_online_features(["user_data:nothing"], [{"user_id": 1}])
    absent = Readings()
    unreachable = OnlineClient(
        RedisOnlineStore.connect("unix:///nonexistent/featurestore.sock"),
        PROJECT,
        manifests=FixedManifests(world.manifest),
        clock=Clock(),
        metrics=LookupMetrics(absent.meter),
    )
    with pytest.raises(OnlineStoreUnavailable):
        unreachable.get_online_features(["user_data:click_through_rate"], [{"user_id": 1}], deadline=1)
    assert readings.of("featurestore.lookup.calls") == {frozenset({("error.type", "FeatureNotFound")}): 1}
    assert absent.of("featurestore.lookup.calls") == {frozenset({("error.type", "OnlineStoreUnavailable")}): 1}
    assert absent.of("featurestore.lookup.duration")[named()][0] == 1


def test_publications_are_counted_by_view_and_result() -> None:
    readings = Readings()
    result = PublicationResult(sent=10, ignored=3, bytes_sent=500, checked=10)
    PublicationMetrics(readings.meter).record("user_data", result, 2.5)
    assert readings.of("featurestore.publication.rows") == {
        named(view="user_data", result="written"): 7,
        named(view="user_data", result="ignored"): 3,
    }
    assert readings.of("featurestore.publication.bytes") == {named(view="user_data"): 500}
    assert readings.of("featurestore.publication.checked") == {named(view="user_data"): 10}
    assert readings.of("featurestore.publication.duration") == {named(view="user_data"): (1, 2.5)}


@pytest.mark.parametrize(
    ("lookup", "is_observed"), [({}, False), ({"metrics": False}, False), ({"metrics": True}, True)]
)
def test_metrics_are_on_only_when_the_settings_say_so(
    lookup: Mapping[str, Any], is_observed: bool, tmp_path: Any
) -> None:
    settings = parse_settings({"project": "shop", "lookup": dict(lookup)}, repo=tmp_path)
    assert (lookup_observer(settings) is not None) == is_observed


def test_the_setting_is_true_or_false(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match=r"lookup: metrics: found 'yes please'; valid are true and false"):
        parse_settings({"project": "shop", "lookup": {"metrics": "yes please"}}, repo=tmp_path)


def test_a_client_without_metrics_loads_no_telemetry() -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from featurestore.serving.connect import connect_client\n"
        "from featurestore.settings import parse_settings\n"
        "connect_client(parse_settings({'project': 'shop'}, repo=Path('.')))\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
