"""``FeatureStore``: the one object that applications, notebooks and the CLI hold. It only delegates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from featurestore.intervals import Interval
from featurestore.retrieval.refs import requested_features
from featurestore.spec.push import PushMode
from featurestore.store_runs import StoreRuns

if TYPE_CHECKING:
    from featurestore.ingest.results import WriteResult
    from featurestore.ingest.writer import OnInvalid
    from featurestore.ir.manifest import Manifest
    from featurestore.plan.plan import Plan
    from featurestore.runtime.freshness import ViewFreshness
    from featurestore.runtime.garbage import Garbage
    from featurestore.runtime.pace import Progress
    from featurestore.runtime.prediction_reports import PredictionReports
    from featurestore.runtime.results import JobResult
    from featurestore.runtime.retrieval_job import RetrievalJob
    from featurestore.runtime.versions import RollbackResult
    from featurestore.serving.response import OnlineResponse

__all__ = ["FeatureStore"]


class FeatureStore(StoreRuns):
    """A project's feature store.

    ``repo_path`` holds ``feature_store.yaml``; ``config`` is the same as a mapping, and then ``repo_path`` is only
    what relative paths count from. Lookups need neither Spark nor the registry; materialization starts a local Spark
    in this process when it was not started by spark-submit. Use it in ``with``, or call ``close()``.
    """

    def plan(self, objects: Sequence[object] | None = None) -> Plan:
        """Say what ``apply`` would change and compute; DefinitionError has every problem of every definition."""
        from featurestore.runtime.apply import plan_definitions

        return plan_definitions(self.runtime, objects)

    def apply(self, objects: Sequence[object] | None = None) -> Plan:
        """Record the definitions of the repo, or the given ones; give the plan. Idempotent."""
        from featurestore.runtime.apply import apply_definitions

        return apply_definitions(self.runtime, objects)

    @property
    def manifest(self) -> Manifest:
        """The applied definitions."""
        return self.runtime.manifest

    def publish(self, feature_views: Sequence[str] | None = None, *, progress: Progress | None = None) -> JobResult:
        """Send what changed since the last publication to the online store."""
        from featurestore.runtime.request import run_publication

        return run_publication(self.runtime, feature_views, progress=progress)

    def publish_keys(
        self, feature_view: str, entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    ) -> JobResult:
        """Send what the table answers for some entities, also where ``delete_online`` put tombstones."""
        from featurestore.runtime.request import run_key_publication

        return run_key_publication(self.runtime, feature_view, entity_rows)

    def missing_intervals(self, view: str, start: datetime, end: datetime) -> tuple[Interval, ...]:
        """Give the steps of ``view`` inside ``[start, end)`` that are not done."""
        from featurestore.runtime.request import bounds_of
        from featurestore.runtime.status import missing_intervals

        return missing_intervals(self.runtime, view, bounds_of(start, end))

    def status(self) -> dict[str, Any]:
        """Give coverage, freshness, waiting and the last error of every view, as JSON values."""
        from featurestore.runtime.status import project_status

        return project_status(self.runtime)

    def freshness(self) -> dict[str, ViewFreshness]:
        """Say of every view how old its values are, and by how much it misses its objective; nothing is scanned."""
        from featurestore.runtime.freshness import project_freshness

        return project_freshness(self.runtime)

    def get_online_features(
        self,
        features: Sequence[str] | str | None = None,
        entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (),
        *,
        full_feature_names: bool = False,
        deadline: timedelta | float | None = None,
        max_cached_age: timedelta | float | None = None,
        feature_refs: Sequence[str] | None = None,
    ) -> OnlineResponse:
        """Look up features and predictions, in one round trip to the online store.

        ``features`` are references ``view:feature`` or a service's name (``feature_refs`` is the old name);
        ``entity_rows`` are dicts, or one dict of columns. ``deadline`` (seconds or timedelta) bounds the whole call.
        What was read at most ``max_cached_age`` ago is not read again (default: ``lookup: {cache: …}``, off).
        """
        return self._client.get_online_features(
            requested_features(features, feature_refs),
            entity_rows,
            full_feature_names=full_feature_names,
            deadline=deadline,
            max_cached_age=max_cached_age,
        )

    async def get_online_features_async(
        self,
        features: Sequence[str] | str | None = None,
        entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (),
        *,
        feature_refs: Sequence[str] | None = None,
        **options: Any,
    ) -> OnlineResponse:
        """Look up as ``get_online_features`` does, with its options; never blocks the loop. ``aclose()`` ends it."""
        chosen = requested_features(features, feature_refs)
        return await self._async_client.get_online_features(chosen, entity_rows, **options)

    def get_historical_features(
        self,
        entity_df: Any,
        features: Sequence[str] | str,
        *,
        full_feature_names: bool = False,
        created_before_event: bool = False,
        availability: Literal["event", "scheduled", "actual"] = "event",
        allow_missing: bool = False,
    ) -> RetrievalJob:
        """Join features to the rows of ``entity_df`` as they were at each row's ``event_timestamp``.

        ``entity_df`` is a pandas, pyarrow or Spark frame, an SQL query, or the path of a Parquet file or Delta table.
        Exactly one output row for each input row, in their order. Nothing runs until a result is asked for.
        """
        from featurestore.runtime.historical import retrieve

        return retrieve(
            self.runtime,
            entity_df,
            features,
            full_feature_names=full_feature_names,
            created_before_event=created_before_event,
            availability=availability,
            allow_missing=allow_missing,
        )

    def read_offline(
        self, view: str, start: datetime | None = None, end: datetime | None = None, as_of: datetime | None = None
    ) -> RetrievalJob:
        """Read a view's current rows with event times in ``[start, end)``, as stated up to ``as_of``."""
        from featurestore.runtime.historical import read_view

        return read_view(self.runtime, view, start, end, as_of)

    def read_served(self, view: str, start: datetime, end: datetime) -> RetrievalJob:
        """Read the log of predictions served of a view in ``[start, end)``; shadow models' rows have ``is_shadow``."""
        from featurestore.runtime.served import read_served

        return read_served(self.runtime, view, start, end)

    def write_to_online_store(
        self,
        feature_view_name: str,
        df: Any,
        transform_on_write: bool = True,
        *,
        on_invalid: OnInvalid = "raise",
    ) -> WriteResult:
        """Write rows (pandas, pyarrow, a dict of columns) to a view; each column goes to the view that owns it.

        Nothing is written unless every row is valid (SchemaMismatch names all kinds of problems), or with
        ``on_invalid="dead_letter"`` the invalid rows are set aside. Without ``transform_on_write`` the features of
        on-demand views with ``write_to_online_store=True`` are taken from ``df`` as they are, not computed.
        """
        return self._writer.write(feature_view_name, df, on_invalid=on_invalid, transform=transform_on_write)

    def write_to_offline_store(
        self, feature_view_name: str, df: Any, *, on_invalid: OnInvalid = "raise"
    ) -> WriteResult:
        """Land rows for a view's table; ``publish`` or the view's next step appends them. Needs no Spark."""
        return self._writer.write(feature_view_name, df, to=PushMode.OFFLINE, on_invalid=on_invalid)

    def push(
        self,
        push_source_name: str,
        df: Any,
        to: PushMode = PushMode.ONLINE,
        *,
        transform_on_write: bool = True,
        refresh_predictions: bool = False,
        on_invalid: OnInvalid = "raise",
    ) -> WriteResult:
        """Write a producer's rows to the views that a push source feeds; see ``write_to_online_store``."""
        transform, refresh = transform_on_write, refresh_predictions
        return self._writer.push(
            push_source_name, df, to=to, on_invalid=on_invalid, transform=transform, refresh=refresh
        )

    def write_rows(self, target: str, df: Any, to: PushMode = PushMode.ONLINE, **options: Any) -> WriteResult:
        """Write rows to a push source or a view, whichever ``target`` names; options as of the two methods above."""
        return self._writer.write_rows(target, df, to=to, **options)

    def delete_online(
        self, feature_view_name: str, entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]
    ) -> WriteResult:
        """Delete entities' online values of a view; a batch value returns with a newer row, or by ``publish``."""
        return self._writer.delete(feature_view_name, entity_rows)

    def dead_letters(self, last: int = 100) -> list[dict[str, Any]]:
        """Give the rows that writes set aside last, the newest first, with their problems."""
        return self._writer.dead_letters(last)

    def rollback(self, view: str, version: int | None = None) -> RollbackResult:
        """Serve a view's version before the present one again, or the given warm one; says how stale it is."""
        from featurestore.runtime.versions import rollback

        return rollback(self.runtime, view, version)

    def gc(self, *, dry_run: bool = True) -> list[Garbage]:
        """Find view versions that nothing needs; with ``dry_run=False`` their tables and online keys are freed."""
        from featurestore.runtime.garbage import collect_garbage

        return collect_garbage(self.runtime, dry_run=dry_run)

    def scan_orphans(self, *, dry_run: bool = True) -> int:
        """Look at every key of the server for this project's rows that no version needs; give how many there are."""
        from featurestore.runtime.garbage import scan_orphans

        return scan_orphans(self.runtime, dry_run=dry_run)

    def teardown(self) -> dict[str, int]:
        """Delete the project's online rows, view tables and ledger; give the number of online rows by view."""
        from featurestore.runtime.teardown import teardown

        return teardown(self.runtime)

    @property
    def reports(self) -> PredictionReports:
        """Reports on predictions: versions compared."""
        from featurestore.runtime.prediction_reports import PredictionReports

        return PredictionReports(self.runtime)
