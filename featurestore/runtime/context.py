"""What one process needs to run stages: settings, clock, stores and engine, each opened when first asked for."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from featurestore.errors import StateError
from featurestore.intervals import utc_now
from featurestore.ir.columns import table_location
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import StoredViewNode
from featurestore.settings import Settings
from featurestore.stores.base import Ledger, OnlineStore, Registry
from featurestore.stores.online import connect_online
from featurestore.stores.registry import SqlRegistry

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from featurestore.engines.spark.engine import SparkEngine
    from featurestore.stores.database import Database
    from featurestore.stores.delta import DeltaStore
    from featurestore.stores.delta_tiles import DeltaTiles
    from featurestore.stores.input_checks import InputChecks

__all__ = ["RuntimeContext"]


class RuntimeContext:
    """Open resources lazily, and close what was opened.

    ``owner`` names this process in the ledger's leases. ``spark`` is given by callers that have a session already.
    """

    def __init__(
        self, settings: Settings, *, clock: Callable[[], datetime] = utc_now, spark: SparkSession | None = None
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.shipped: set[str] = set()
        self._given_spark = spark

    @cached_property
    def database(self) -> Database:
        from featurestore.stores.database import create_database

        return create_database(self.settings.absolute_registry_url)

    @cached_property
    def ledger(self) -> Ledger:
        from featurestore.stores.ledger import SqlLedger

        return SqlLedger(self.database, self.settings.project)

    @cached_property
    def input_checks(self) -> InputChecks:
        from featurestore.stores.input_checks import InputChecks

        return InputChecks(self.database, self.settings.project)

    @cached_property
    def registry(self) -> Registry:
        return SqlRegistry(self.database, self.settings.project)

    @cached_property
    def manifest(self) -> Manifest:
        """The applied manifest, as it was when first asked for."""
        manifest = self.registry.current()
        if manifest is None:
            raise StateError(
                f"project {self.settings.project!r} has no applied definitions; run `featurestore apply` in "
                f"{self.settings.repo}",
                project=self.settings.project,
            )
        return manifest

    @cached_property
    def online(self) -> OnlineStore:
        return connect_online(self.settings)

    @cached_property
    def spark(self) -> SparkSession:
        if self._given_spark is not None:
            return self._given_spark
        from featurestore.runtime.session import open_session

        return open_session(self.settings)

    @cached_property
    def offline(self) -> DeltaStore:
        from featurestore.stores.delta import DeltaStore

        return DeltaStore(self.spark, self.settings.offline_root)

    @cached_property
    def tiles(self) -> DeltaTiles:
        from featurestore.stores.delta_tiles import DeltaTiles

        return DeltaTiles(self.spark, self.settings.offline_root)

    @cached_property
    def engine(self) -> SparkEngine:
        from featurestore.engines.spark.engine import SparkEngine

        return SparkEngine(
            self.spark,
            sources=lambda name: self.manifest.sources[name],
            resolve=self.settings.absolute,
            parents=lambda name: self.offline.standing(self.manifest.stored_view(name)),
        )

    def table_path(self, view: StoredViewNode) -> str:
        """Where a view version's table lies; asking for it starts no Spark."""
        return f"{self.settings.offline_root.rstrip('/')}/{table_location(view)}"

    def reload(self) -> None:
        """Forget the manifest, so that the next use reads what was applied since."""
        self.__dict__.pop("manifest", None)

    def close(self) -> None:
        """Close what was opened here; a session that was given stays open."""
        if "online" in self.__dict__:
            self.online.close()
        if "database" in self.__dict__:
            self.database.close()
        if "spark" in self.__dict__ and self._given_spark is None:
            self.spark.stop()
        for name in (
            "online",
            "database",
            "ledger",
            "input_checks",
            "registry",
            "spark",
            "offline",
            "tiles",
            "engine",
            "manifest",
        ):
            self.__dict__.pop(name, None)
