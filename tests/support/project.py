"""A small project on disk, with its own Redis server, and stores opened on it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis
from deltalake import write_deltalake

from featurestore import FeatureStore
from featurestore.embedded.redis_server import RedisServer
from featurestore.runtime.results import JobResult
from tests.support.borrowed_spark import PROGRAM, lend
from tests.support.rides import DEFINITIONS, MODEL, RIDES, day

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Clock", "Project", "error_of", "make_project", "rides_table", "table_rows"]

_CONFIG = """project: {name}
definitions: {package}
online_store: {{type: redis}}
spark: {{profile: test}}
lookup: {{deadline_seconds: 20}}
"""
_PROFILES = (
    {"driver_id": 1, "event_timestamp": day(0, hour=1), "city": "Oslo", "seats": 4},
    {"driver_id": 2, "event_timestamp": day(0, hour=2), "city": "Rome", "seats": None},
    {"driver_id": 1, "event_timestamp": day(2, hour=1), "city": "Bonn", "seats": 7},
)
_RIDE_SCHEMA = pa.schema(
    [
        ("driver_id", pa.int64()),
        ("event_timestamp", pa.timestamp("us", "UTC")),
        ("distance", pa.float64()),
        ("rating", pa.int64()),
    ]
)
_numbers = itertools.count()


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project's folder. ``package`` is its definitions' name: one for each project, as all run in one process."""

    root: Path
    name: str
    package: str

    @property
    def redis(self) -> RedisServer:
        return RedisServer(folder=self.root / ".featurestore" / "redis")

    def open(self, clock: Callable[[], datetime], spark: SparkSession | None) -> FeatureStore:
        return FeatureStore(self.root, clock=clock, spark=spark)

    def define(self, text: str) -> None:
        """Replace the definitions."""
        (self.root / self.package / "features.py").write_text(text.replace("PACKAGE", self.package), encoding="utf-8")

    def land(self, rides: Sequence[Mapping[str, Any]]) -> None:
        """Append rides to the source table."""
        write_deltalake(self.root / "data" / "rides", rides_table(rides), mode="append")

    def copy(self, target: Path) -> Project:
        """Copy the whole project, its stopped Redis included."""
        shutil.copytree(self.root, target)
        return Project(root=target, name=self.name, package=self.package)

    def run(
        self, *argv: str, fault: str | None = None, spark: SparkSession | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Run the real ``featurestore`` command in the project's folder."""
        with self.start(*argv, fault=fault, spark=spark) as process:
            out, err = process.communicate(timeout=timeout)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def start(self, *argv: str, fault: str | None = None, spark: SparkSession | None = None) -> subprocess.Popen[str]:
        """Start the ``featurestore`` command in a process group of its own.

        It starts a Java virtual machine of its own too, unless it is to borrow that of ``spark``.
        """
        environment = {**os.environ} | ({"FEATURESTORE_FAULT": fault} if fault else {})
        program = [str(Path(sys.executable).with_name("featurestore"))]
        if spark is not None:
            program = [sys.executable, "-P", str(PROGRAM)]
            environment |= lend(spark)
        return subprocess.Popen(
            [*program, *argv],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def online_values(self) -> dict[bytes, bytes]:
        """Read every key of the project's Redis, whatever its type, without its expiry."""
        with redis.Redis.from_url(self.redis.url) as client:
            return {key: client.dump(key) for key in client.scan_iter(count=1000)}

    def write_config(self, **changes: str) -> None:
        """Write ``feature_store.yaml``, with top-level entries replaced by flow-style YAML."""
        lines = dict(line.split(": ", 1) for line in _CONFIG.format(name=self.name, package=self.package).splitlines())
        text = "\n".join(f"{key}: {value}" for key, value in (lines | changes).items())
        (self.root / "feature_store.yaml").write_text(text + "\n", encoding="utf-8")


def make_project(
    root: Path,
    *,
    name: str = "rides",
    definitions: str = DEFINITIONS,
    rides: Sequence[Mapping[str, Any]] = RIDES,
    package: str | None = None,
) -> Project:
    """Write a project with landed source data, and start its Redis; ``project.redis.stop()`` ends it."""
    project = Project(root=root, name=name, package=package or f"rides_{next(_numbers)}")
    (root / project.package).mkdir(parents=True)
    (root / project.package / "__init__.py").write_text("", encoding="utf-8")
    (root / project.package / "model.py").write_text(MODEL, encoding="utf-8")
    (root / "data").mkdir()
    project.write_config()
    project.define(definitions)
    project.land(rides)
    profiles = pa.Table.from_pylist(list(_PROFILES))
    pq.write_table(profiles.set_column(3, "seats", profiles["seats"].cast(pa.int64())), root / "data/profiles.parquet")
    project.redis.start()
    return project


def rides_table(rides: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([dict(ride) for ride in rides], schema=_RIDE_SCHEMA)


def error_of(result: JobResult, view: str) -> Mapping[str, Any]:
    """Give the error that a view ended with."""
    found = next(entry for entry in result.views if entry.view == view)
    assert found.error is not None, json.dumps(result.to_dict(), indent=1, default=str)
    return found.error


def table_rows(store: FeatureStore, view: str) -> list[dict[str, Any]]:
    """Read every row of a view's table, superseded ones included, without its wall clock; sorted."""
    frame = store.runtime.offline.rows(store.manifest.stored_view(view)).drop("computed_at")
    order = [(name, "ascending") for name in ("driver_id", "event_timestamp", "created_timestamp")]
    rows: list[dict[str, Any]] = frame.toArrow().sort_by(order).to_pylist()
    return rows
