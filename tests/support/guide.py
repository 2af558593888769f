"""Projects that the pages' snippets run in: applied, with rows in Redis that no Spark computed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import write_deltalake
from redis import Redis

from definitions.flights.feed import FLIGHTS, PLANES, WEATHER
from featurestore import FeatureStore
from featurestore.codec.arrow import arrow_schema
from featurestore.codec.keys import KeyCodec
from featurestore.codec.value import RowCodec
from featurestore.embedded.redis_server import RedisServer
from featurestore.intervals import Coverage, Interval, to_micros
from featurestore.ir.columns import stored_features
from featurestore.ir.nodes import ViewNode
from featurestore.runtime.pointer import point_to
from tests.support.markdown import read_blocks

__all__ = ["FIRST_DAY", "GuideProject", "make_flights", "make_shop", "make_web", "midnight", "serve_web"]

ROOT = Path(__file__).resolve().parents[2]
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuideProject:
    """A project's folder; its Redis runs until ``close``."""

    root: Path

    @property
    def redis(self) -> RedisServer:
        return RedisServer(folder=self.root / ".featurestore" / "redis")

    def apply(self) -> None:
        self.redis.start()
        with FeatureStore(self.root) as store:
            store.apply()

    def serve(self, view: str, rows: Sequence[Mapping[str, Any]], at: datetime | None = None) -> None:
        """Put rows into Redis as a publication up to ``at`` (last midnight) does; a row is keys and features."""
        until = at or midnight()
        with FeatureStore(self.root) as store:
            context = store.runtime
            node = context.manifest.stored_view(view)
            assert isinstance(node, ViewNode)
            keys = KeyCodec(
                project_id=context.online.project_id(context.settings.project),
                storage_id=node.storage_id,
                fields=node.join_keys,
            ).encode({key.name: [row[key.name] for row in rows] for key in node.join_keys})
            fields = stored_features(node)
            table = pa.table({f.name: [row.get(f.name) for row in rows] for f in fields}, schema=arrow_schema(fields))
            event_us = np.full(len(rows), to_micros(until))
            values = RowCodec(fields).encode(
                table, event_us=event_us, created_us=event_us, holds=np.full(len(rows), node.is_aggregate)
            )
            context.online.write_if_newer([(key, value) for key, value in zip(keys, values, strict=True) if key])
            point_to(context, node, Coverage.of([Interval(node.start or FIRST_DAY, until)]))

    def land_clicks(self, start: datetime, *, days: int) -> None:
        """Write the clicks of users 1 and 2: one a day, on even days with a click."""
        clicks = [
            {
                "user_id": user,
                "event_timestamp": start + timedelta(days=number, hours=user),
                "clicked": (number + user) % 2,
                "page": "home",
                "page_seconds": 30.0,
            }
            for number in range(days)
            for user in (1, 2)
        ]
        (self.root / "data").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(clicks), self.root / "data" / "clicks.parquet")


def midnight() -> datetime:
    """Give the start of today, which daily steps reach."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def make_shop(root: Path) -> GuideProject:
    """Write the files that docs/definitions.md shows, apply them, and serve three users."""
    for block in read_blocks(ROOT / "docs" / "definitions.md"):
        if block.file is not None:
            path = root / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    (root / "definitions" / "__init__.py").touch()
    project = GuideProject(root=root)
    project.apply()
    seen = midnight() - timedelta(hours=3)
    project.serve(
        "user_data",
        [
            {
                "user_id": user,
                "click_through_rate": rate,
                "number_of_clicks": clicks,
                "page_seconds_mean_1d": None,
                "long_visits": 1,
                "last_pages": ["home", "cart"],
                "last_event": seen,
            }
            for user, rate, clicks in ((1, 0.4, 14), (2, 0.25, 3))
        ],
    )
    project.serve("account", [{"user_id": 1, "plan": "pro", "interests": []}, {"user_id": 3, "plan": None}])
    return project


def make_web(root: Path) -> GuideProject:
    """Copy the web example, its stale predictions left to clients."""
    shutil.copytree(ROOT / "definitions" / "web", root / "definitions" / "web")
    (root / "definitions" / "__init__.py").touch()
    features = root / "definitions" / "web" / "features.py"
    text = features.read_text(encoding="utf-8")
    assert 'on_stale="infer"' in text
    features.write_text(text.replace('on_stale="infer"', 'on_stale="null"'), encoding="utf-8")
    (root / "feature_store.yaml").write_text(
        "project: web\ndefinitions: definitions.web\nregistry: sqlite:///.featurestore/registry.db\n"
        "offline_store: {type: delta, path: .featurestore/offline}\nonline_store: {type: redis}\n",
        encoding="utf-8",
    )
    return GuideProject(root=root)


def serve_web(project: GuideProject) -> None:
    """Empty the project's Redis, apply, and serve user 1's features of last midnight."""
    project.redis.start()
    with Redis.from_url(project.redis.url) as redis:
        redis.flushall()
    project.apply()
    user = {"user_id": 1, "click_through_rate": 0.4, "number_of_clicks": 14, "average_page_duration": 30.0}
    project.serve("user_data", [user])


def make_flights(root: Path) -> GuideProject:
    """Copy the flights example, apply it over empty source tables, and serve one flight's features."""
    shutil.copytree(ROOT / "definitions", root / "definitions", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "feature_store.yaml", root)
    for name, schema in (("flights", FLIGHTS), ("weather", WEATHER), ("planes", PLANES)):
        write_deltalake(str(root / "data" / "flights" / name), schema.empty_table())
    project = GuideProject(root=root)
    project.apply()
    flight = {"carrier": "UA", "origin": "EWR", "dest": "ORD", "tailnum": "N14228"}
    features: dict[str, dict[str, Any]] = {
        "carrier_delays": {"late_share_7d": 0.231953, "mean_arrival_delay_7d": 2.498556, "flights_1d": 169},
        "airport_delays": {"mean_departure_delay_1d": 30.070552, "cancellations_1d": 12},
        "aircraft_delays": {"departures_1d": 0, "last_departure": midnight() - timedelta(days=2)},
        "aircraft_profile": {"seats": 149},
        "connection_record": {"late_rate": 0.21, "flights_30d": 310},
        "weather": {"wind_speed": 9.2, "precip": 0.0, "visib": 10.0},
    }
    for view, values in features.items():
        project.serve(view, [flight | values])
    return project
