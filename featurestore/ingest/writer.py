"""The writer of one project: checks a frame whole, routes its columns, and writes them online, offline or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from featurestore.errors import FeatureNotFound, SchemaMismatch
from featurestore.ingest.checks import Checks
from featurestore.ingest.dead_letters import DeadLetters
from featurestore.ingest.deletion import delete_rows
from featurestore.ingest.frames import Frame, read_frame
from featurestore.ingest.landing import Landing
from featurestore.ingest.on_demand import OnDemandRows, own_values
from featurestore.ingest.on_demand_routes import (
    OnDemandRoute,
    route_beside,
    route_direct,
    written_columns,
    written_view,
)
from featurestore.ingest.online import OnlineRows
from featurestore.ingest.refresh import Infer, refresh_predictions
from featurestore.ingest.results import WriteResult
from featurestore.ingest.routing import Route, route_columns, route_push
from featurestore.ingest.rows import RowChecker
from featurestore.ingest.state import ProjectState, live_versions, no_pointer, served_version
from featurestore.intervals import utc_now
from featurestore.ir.nodes import OnDemandViewNode, PushSourceNode
from featurestore.retrieval.refs import suggest
from featurestore.serving.code import CodeSource, ImportedCode
from featurestore.serving.entity_rows import EntityRows
from featurestore.serving.manifests import ManifestSource
from featurestore.serving.snapshot import Snapshot
from featurestore.spec.push import PushMode
from featurestore.stores.base import OnlineStore

__all__ = ["OnInvalid", "OnlineWriter"]

OnInvalid: TypeAlias = Literal["raise", "dead_letter"]


class OnlineWriter:
    """Writes rows of producers and clients; threads may share it.

    A write reads the pointer record, checks every row, writes to every live version of each owner, and reads the
    pointer record once more: a version that came up meanwhile gets the rows too, so a switch loses none.
    ``offline_root`` is where offline writes land; ``infer`` makes predictions from rows that were written. ``code``
    gives the functions of on-demand views that are written, by default what the import path has.
    """

    def __init__(
        self,
        store: OnlineStore,
        project: str,
        *,
        manifests: ManifestSource | None = None,
        clock: Callable[[], datetime] = utc_now,
        max_future_skew: timedelta = timedelta(minutes=5),
        offline_root: str = "",
        infer: Infer | None = None,
        code: CodeSource | None = None,
    ) -> None:
        self._store = store
        self._state = ProjectState(store, project, manifests)
        self._dead_letters = DeadLetters(store, project, clock)
        self._skew = max_future_skew
        self._landing = Landing(offline_root)
        self._infer = infer
        self._code = code or ImportedCode()

    def write(
        self,
        view: str,
        df: Any,
        *,
        to: PushMode = PushMode.ONLINE,
        on_invalid: OnInvalid = "raise",
        transform: bool = True,
    ) -> WriteResult:
        """Write rows to a view, and its columns that others own to their owners.

        Nothing is written unless every row is valid: SchemaMismatch has all kinds of problems. With
        ``on_invalid="dead_letter"`` invalid rows are set aside and the others written; problems of whole columns are
        raised all the same. Idempotent where the frame has its times: a replay is ignored.

        On-demand views with ``write_to_online_store`` that read the view are computed and written too; without
        ``transform`` the frame's own columns are taken for their features. So it is where ``view`` is one of them.
        """
        snapshot = self._state.look()
        on_demand = written_view(snapshot.manifest, view)
        if on_demand is not None:
            return self._write_on_demand(snapshot, on_demand, df, PushMode(to), on_invalid, transform)
        is_online = PushMode(to) is not PushMode.OFFLINE
        node = served_version(snapshot, view) if is_online else snapshot.manifest.stored_view(view)
        frame = read_frame(df)
        checks = Checks(view, frame.count)
        known = _known_features(snapshot, [view])
        routes = route_columns(snapshot.manifest, node, list(frame.columns), checks, also_known=known)
        return self._write(snapshot, view, frame, routes, checks, PushMode(to), on_invalid, transform=transform)

    def push(
        self,
        source: str,
        df: Any,
        *,
        to: PushMode = PushMode.ONLINE,
        on_invalid: OnInvalid = "raise",
        transform: bool = True,
        refresh: bool = False,
    ) -> WriteResult:
        """Write a producer's rows to all views that the push source feeds; else as ``write``.

        With ``refresh`` the predictions that read these views are made from the rows at once.
        """
        snapshot = self._state.look()
        node = snapshot.manifest.sources.get(source)
        if not isinstance(node, PushSourceNode):
            valid = [name for name, other in snapshot.manifest.sources.items() if isinstance(other, PushSourceNode)]
            raise FeatureNotFound(
                f"project {snapshot.manifest.project!r} has no push source {source!r}: {suggest(source, valid)}",
                source=source,
            )
        views = [view for view in snapshot.manifest.views.values() if source in view.push_sources]
        if PushMode(to) is not PushMode.OFFLINE:
            served = [served_version(snapshot, view.name) for view in views if view.online]
        else:
            served = list(views)
        frame = read_frame(df)
        checks = Checks(source, frame.count)
        known = _known_features(snapshot, [view.name for view in served])
        routes = route_push(snapshot.manifest, node, served, list(frame.columns), checks, also_known=known)
        return self._write(
            snapshot, source, frame, routes, checks, PushMode(to), on_invalid, transform=transform, refresh=refresh
        )

    def write_rows(
        self,
        target: str,
        df: Any,
        *,
        to: PushMode = PushMode.ONLINE,
        on_invalid: OnInvalid = "raise",
        transform_on_write: bool = True,
    ) -> WriteResult:
        """Write rows to what is named so: a push source or a view."""
        is_source = isinstance(self._state.look().manifest.sources.get(target), PushSourceNode)
        put = self.push if is_source else self.write
        return put(target, df, to=to, on_invalid=on_invalid, transform=transform_on_write)

    def delete(self, view: str, entity_rows: EntityRows) -> WriteResult:
        """Delete entities' values from every live version of a view; see ``deletion.delete_rows``."""
        counts = delete_rows(self._store, self._state, view, entity_rows)
        written, ignored = (sum(getattr(count, name) for count in counts.values()) for name in ("written", "ignored"))
        return WriteResult(written=written, ignored=ignored, views=counts)

    def dead_letters(self, last: int = 100) -> list[dict[str, Any]]:
        """Give the rows that were set aside last, the newest first: view, row, problems, at."""
        return self._dead_letters.last(last)

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()

    def _write_on_demand(
        self,
        snapshot: Snapshot,
        view: OnDemandViewNode,
        df: Any,
        to: PushMode,
        on_invalid: OnInvalid,
        transform: bool,
    ) -> WriteResult:
        """Write to an on-demand view itself: it has no table, as training sets compute it."""
        if to is not PushMode.ONLINE:
            raise FeatureNotFound(
                f"on-demand view {view.name!r} has no offline table: training sets compute it from its inputs; write "
                f"to {', '.join(dict.fromkeys(ref.view for ref in view.inputs)) or 'the online store only'}",
                view=view.name,
            )
        if snapshot.pointer is None:
            raise no_pointer(snapshot.manifest.project)
        frame = read_frame(df)
        checks = Checks(view.name, frame.count)
        routes = route_direct(snapshot, view, list(frame.columns), checks, transform=transform)
        return self._send(snapshot, view.name, _Routed(frame, checks, (), routes, {}), to, on_invalid)

    def _write(
        self,
        snapshot: Snapshot,
        target: str,
        frame: Frame,
        routes: Sequence[Route],
        checks: Checks,
        to: PushMode,
        on_invalid: OnInvalid,
        *,
        transform: bool,
        refresh: bool = False,
    ) -> WriteResult:
        if refresh and self._infer is None:
            raise ValueError("refresh: this writer was made without a way to run models; give it infer=")
        on_demand: list[OnDemandRoute] = []
        skipped: dict[str, str] = {}
        if to is not PushMode.OFFLINE:
            names = list(frame.columns)
            on_demand, skipped = route_beside(snapshot.manifest, routes, names, checks, transform=transform)
        routed = _Routed(frame, checks, routes, on_demand, skipped)
        return self._send(snapshot, target, routed, to, on_invalid, refresh=refresh)

    def _send(
        self,
        snapshot: Snapshot,
        target: str,
        routed: _Routed,
        to: PushMode,
        on_invalid: OnInvalid,
        *,
        refresh: bool = False,
    ) -> WriteResult:
        if on_invalid not in ("raise", "dead_letter"):
            raise ValueError(f"on_invalid: found {on_invalid!r}; valid are 'raise' and 'dead_letter'")
        frame, checks = routed.frame, routed.checks
        if checks.is_refused:
            raise SchemaMismatch(checks.problems())
        accepted_us = self._store.time_micros()
        checker = RowChecker(frame, checks, accepted_us=accepted_us, max_future_skew=self._skew)
        checked = [checker.check(route) for route in routed.routes]
        for route in routed.on_demand:
            checker.check_on_demand(route)
        problems = checks.problems()
        if problems and on_invalid == "raise":
            raise SchemaMismatch(problems)
        refused = int(checks.invalid.sum())
        rows = OnlineRows(self._store, self._state, snapshot, checker, checked, accepted_us=accepted_us)
        tables = rows.tables()
        pairs = rows.pairs(tables) if to is not PushMode.OFFLINE else []
        computed = OnDemandRows(self._store, snapshot, self._code, checker, routed.on_demand, now_us=accepted_us)
        on_demand = computed.pairs(own_values(pairs)) if routed.on_demand else []
        self._dead_letters.add(target, frame, checks)
        landed = 0
        if to is not PushMode.ONLINE:
            landed = sum(self._landing.write(node, table) for node, table in tables)
        if to is PushMode.OFFLINE:
            return WriteResult(landed=landed, dead_lettered=refused)
        counts = rows.write(pairs, on_demand)
        skipped = {**routed.skipped, **computed.skipped, **rows.write_other_versions()}
        predicted = self._predict(snapshot, list(counts), frame, checks, asked=refresh)
        return WriteResult(
            written=sum(count.written for count in counts.values()),
            ignored=sum(count.ignored for count in counts.values()),
            dead_lettered=refused,
            landed=landed,
            views=counts,
            skipped=skipped,
            predicted=predicted,
        )

    def _predict(
        self, snapshot: Snapshot, views: Sequence[str], frame: Frame, checks: Checks, *, asked: bool
    ) -> dict[str, int]:
        if self._infer is None:
            return {}
        return refresh_predictions(self._infer, snapshot.manifest, views, frame, ~checks.invalid, asked=asked)


@dataclass(frozen=True, slots=True)
class _Routed:
    """A frame with all that takes columns of it; ``skipped`` on-demand views are left to lookups."""

    frame: Frame
    checks: Checks
    routes: Sequence[Route]
    on_demand: Sequence[OnDemandRoute]
    skipped: Mapping[str, str]


def _known_features(snapshot: Snapshot, views: Sequence[str]) -> set[str]:
    """Name what rows may have: the features of the applied and the live versions, and on-demand views' columns."""
    known = written_columns(snapshot.manifest, views)
    for name in views:
        is_online = snapshot.pointer is not None and name in snapshot.pointer.views
        versions = [snapshot.manifest.stored_view(name), *(live_versions(snapshot, name) if is_online else ())]
        known |= {field.name for version in versions for field in version.features}
    return known
