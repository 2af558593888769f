"""The registry in SQL: applied manifests and the versions of views, never rewritten."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, RowMapping, func, insert, select

from featurestore.errors import StateError
from featurestore.intervals import from_micros, to_micros
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import OnDemandViewNode, OnlineViewNode, PredictionViewNode, ViewNode
from featurestore.ir.serialize import manifest_from_json, manifest_to_json
from featurestore.stores.base import AppliedVersion
from featurestore.stores.database import Database
from featurestore.stores.tables import manifests, view_versions

__all__ = ["SqlRegistry", "with_versions"]

_logger = logging.getLogger(__name__)
_View = TypeVar("_View", ViewNode, OnDemandViewNode, PredictionViewNode)


@dataclass(frozen=True, slots=True)
class SqlRegistry:
    """One project's registry. What was recorded stays: versions and storage ids are never used again."""

    database: Database
    project: str

    def current(self) -> Manifest | None:
        """Give the manifest applied last; None before the first apply."""
        with self.database.read() as connection:
            row = self._last(connection)
        return None if row is None else manifest_from_json(row["document"])

    def manifest(self, generation: int) -> Manifest:
        """Give the manifest of one apply; StateError names the generations there are."""
        query = select(manifests.c.document).where(
            manifests.c.project == self.project, manifests.c.generation == generation
        )
        with self.database.read() as connection:
            document: str | None = connection.execute(query).scalar()
            last = self._last(connection)
        if document is None:
            valid = f"it has 1 to {last['generation']}" if last else "nothing was applied yet: run `featurestore apply`"
            raise StateError(f"project {self.project!r} has no manifest of generation {generation}; {valid}")
        return manifest_from_json(document)

    def record(self, manifest: Manifest, *, now: datetime) -> Manifest:
        """Stamp and store the manifest as ``Registry.record`` says; equal to the current one, it changes nothing."""
        if manifest.project != self.project:
            raise StateError(f"the manifest is of project {manifest.project!r}, this registry of {self.project!r}")
        with self.database.write(f"{self.project}/registry") as connection:
            last = self._last(connection)
            generation = last["generation"] if last else 0
            stamped = with_versions(manifest, self._stamps(connection, manifest, now), generation)
            if last and manifest_to_json(stamped) == last["document"]:
                return stamped
            stamped = replace(stamped, generation=generation + 1)
            connection.execute(
                insert(manifests).values(
                    project=self.project,
                    generation=stamped.generation,
                    document=manifest_to_json(stamped),
                    applied_at_us=to_micros(now),
                )
            )
        _logger.info("recorded generation %d of project %s", stamped.generation, self.project)
        return stamped

    def versions(self, view: str) -> Sequence[AppliedVersion]:
        """Give the versions of a view name in order; none for a name that was never applied."""
        with self.database.read() as connection:
            return self._versions(connection, view)

    def _versions(self, connection: Connection, view: str) -> tuple[AppliedVersion, ...]:
        query = (
            select(view_versions)
            .where(view_versions.c.project == self.project, view_versions.c.view == view)
            .order_by(view_versions.c.version)
        )
        return tuple(_version(row) for row in connection.execute(query).mappings())

    def _stamps(self, connection: Connection, manifest: Manifest, now: datetime) -> dict[str, AppliedVersion]:
        return {view.name: self._stamp(connection, view, now) for view in manifest.online_views()}

    def _stamp(self, connection: Connection, view: OnlineViewNode, now: datetime) -> AppliedVersion:
        if not view.fingerprint:
            raise ValueError(f"view {view.name!r} has no fingerprint; only compiled views are applied")
        known = self._versions(connection, view.name)
        for version in known:
            if version.fingerprint == view.fingerprint:
                return version
        query = select(func.max(view_versions.c.storage_id)).where(view_versions.c.project == self.project)
        made = AppliedVersion(
            view=view.name,
            version=known[-1].version + 1 if known else 1,
            fingerprint=view.fingerprint,
            storage_id=(connection.execute(query).scalar() or 0) + 1,
            applied_at=now,
        )
        connection.execute(
            insert(view_versions).values(
                project=self.project,
                view=made.view,
                version=made.version,
                fingerprint=made.fingerprint,
                storage_id=made.storage_id,
                applied_at_us=to_micros(now),
            )
        )
        return made

    def _last(self, connection: Connection) -> RowMapping | None:
        query = (
            select(manifests)
            .where(manifests.c.project == self.project)
            .order_by(manifests.c.generation.desc())
            .limit(1)
        )
        return connection.execute(query).mappings().first()


def with_versions(manifest: Manifest, stamps: Mapping[str, AppliedVersion], generation: int) -> Manifest:
    """Put versions, storage ids and the generation into a manifest."""

    def stamp(view: _View) -> _View:
        found = stamps.get(view.name)
        return view if found is None else replace(view, version=found.version, storage_id=found.storage_id)

    return replace(
        manifest,
        generation=generation,
        views={name: stamp(view) for name, view in manifest.views.items()},
        on_demand_views={name: stamp(view) for name, view in manifest.on_demand_views.items()},
        prediction_views={name: stamp(view) for name, view in manifest.prediction_views.items()},
    )


def _version(row: RowMapping) -> AppliedVersion:
    return AppliedVersion(
        view=row["view"],
        version=row["version"],
        fingerprint=row["fingerprint"],
        storage_id=row["storage_id"],
        applied_at=from_micros(row["applied_at_us"]),
    )
