"""The writer of one project: checks a frame whole, routes its columns, and writes by compare-and-set."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from featurestore.codec.keys import dead_letter_key, index_key
from featurestore.codec.stamp import is_newer
from featurestore.errors import SchemaMismatch, StateError
from featurestore.ingest.checks import Checks
from featurestore.ingest.frames import Frame, read_frame
from featurestore.ingest.headers import OwnRows, accepted_inputs
from featurestore.ingest.results import WriteResult
from featurestore.ingest.routing import Route, route_columns
from featurestore.ingest.rows import CheckedRows, RowChecker, encode_pairs, table_rows
from featurestore.ingest.state import ProjectState, live_versions, served_version
from featurestore.intervals import show_instant, utc_now
from featurestore.ir.columns import INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.runtime.pairs import pairs_of
from featurestore.serving.manifests import ManifestSource
from featurestore.serving.snapshot import Snapshot
from featurestore.stores.base import OnlineStore, WriteCount

__all__ = ["OnInvalid", "OnlineWriter"]

logger = logging.getLogger(__name__)

OnInvalid: TypeAlias = Literal["raise", "dead_letter"]
DEAD_LETTERS_KEPT = 100_000
_LOOKS = 8
"""A write looks again at the pointer record until no version came up meanwhile; each look follows an ``apply``."""


class OnlineWriter:
    """Writes rows of producers and clients; threads may share it.

    A write reads the pointer record, checks every row, writes to every live version of each owner, and reads the
    pointer record once more: a version that came up meanwhile gets the rows too, so a switch loses none.
    """

    def __init__(
        self,
        store: OnlineStore,
        project: str,
        *,
        manifests: ManifestSource | None = None,
        clock: Callable[[], datetime] = utc_now,
        max_future_skew: timedelta = timedelta(minutes=5),
    ) -> None:
        self._store = store
        self._state = ProjectState(store, project, manifests)
        self._clock = clock
        self._skew = max_future_skew

    def write(self, view: str, df: Any, *, on_invalid: OnInvalid = "raise") -> WriteResult:
        """Write rows to a feature view or prediction view, and its columns that others own to their owners.

        Nothing is written unless every row is valid: SchemaMismatch has all kinds of problems. With
        ``on_invalid="dead_letter"`` invalid rows are set aside and the others written; problems of whole columns are
        raised all the same. Idempotent where the frame has its times: a replay is ignored.
        """
        snapshot = self._state.look()
        served = served_version(snapshot, view)
        frame = read_frame(df)
        checks = Checks(view, frame.count)
        known = {field.name for node in live_versions(snapshot, view) for field in node.features}
        routes = route_columns(snapshot.manifest, served, list(frame.columns), checks, also_known=known)
        return self._write_routes(snapshot, view, frame, routes, checks, on_invalid)

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()

    def _write_routes(
        self, snapshot: Snapshot, target: str, frame: Frame, routes: Sequence[Route], checks: Checks, invalid: OnInvalid
    ) -> WriteResult:
        if invalid not in ("raise", "dead_letter"):
            raise ValueError(f"on_invalid: found {invalid!r}; valid are 'raise' and 'dead_letter'")
        if checks.is_refused:
            raise SchemaMismatch(checks.problems())
        accepted_us = self._store.time_micros()
        checker = RowChecker(frame, checks, accepted_us=accepted_us, max_future_skew=self._skew)
        checked = [checker.check(route) for route in routes]
        problems = checks.problems()
        if problems and (invalid == "raise" or checks.is_refused):
            raise SchemaMismatch(problems)
        valid = ~checks.invalid
        pairs = [
            (rows.route.view, self._encode(snapshot, checker, rows, rows.route.view, valid, checked, accepted_us))
            for rows in checked
        ]
        self._set_aside(target, frame, checks, accepted_us)
        counts = {node.name: self._send(snapshot, node, batch) for node, batch in pairs}
        skipped = self._write_other_versions(snapshot, checker, checked, valid, accepted_us)
        return WriteResult(
            written=sum(count.written for count in counts.values()),
            ignored=sum(count.ignored for count in counts.values()),
            dead_lettered=int(checks.invalid.sum()),
            views=counts,
            skipped=skipped,
        )

    def _encode(
        self,
        snapshot: Snapshot,
        checker: RowChecker,
        rows: CheckedRows,
        node: StoredViewNode,
        valid: np.ndarray[Any, Any],
        checked: Sequence[CheckedRows],
        accepted_us: int,
    ) -> pa.RecordBatch:
        provenance = None
        if isinstance(node, PredictionViewNode):
            rows, provenance = self._with_inputs(snapshot, checker, rows, node, checked)
        batch = table_rows(checker, rows, node, valid & rows.kept, provenance)
        return encode_pairs(batch, node, project_id=_project_id(snapshot), now_us=accepted_us)

    def _with_inputs(
        self,
        snapshot: Snapshot,
        checker: RowChecker,
        rows: CheckedRows,
        view: PredictionViewNode,
        checked: Sequence[CheckedRows],
    ) -> tuple[CheckedRows, Mapping[str, np.ndarray[Any, Any]]]:
        """Stamp predictions by their inputs as they stand now, or by the digest that came with them."""
        own = next(
            (
                OwnRows(view=other.route.view.name, event_us=other.event_us, created_us=other.created_us)
                for other in checked
                if isinstance(other.route.view, ViewNode)
            ),
            None,
        )
        count = checker.frame.count
        inputs = accepted_inputs(self._store, snapshot, view, checker.frame.columns, count, own)
        event_us = np.where(inputs.is_known, inputs.latest_us, rows.event_us)
        digest = checker.numbers(INPUTS_DIGEST)
        told = checker.instants(INPUTS_TIMESTAMP)
        if told is not None:
            event_us = np.where(told[1], told[0], event_us)
        stamped = CheckedRows(
            route=rows.route, event_us=event_us, created_us=rows.created_us, is_dated=rows.is_dated, kept=rows.kept
        )
        return stamped, {
            INPUTS_DIGEST: inputs.digest if digest is None else digest,
            INPUTS_TIMESTAMP: event_us,
        }

    def _write_other_versions(
        self,
        snapshot: Snapshot,
        checker: RowChecker,
        checked: Sequence[CheckedRows],
        valid: np.ndarray[Any, Any],
        accepted_us: int,
    ) -> dict[str, str]:
        """Write to all live versions beside the served one, also to those that come up while this goes on."""
        done = {(rows.route.view.name, rows.route.view.version) for rows in checked}
        skipped: dict[str, str] = {}
        for _ in range(_LOOKS):
            for rows in checked:
                for node in _live(snapshot, rows.route.view):
                    if (node.name, node.version) in done:
                        continue
                    done.add((node.name, node.version))
                    reason = _misfit(node, rows.route.view, checker)
                    if reason is None:
                        batch = table_rows(checker, rows, node, valid & rows.kept)
                        encoded = encode_pairs(batch, node, project_id=_project_id(snapshot), now_us=accepted_us)
                        self._send(snapshot, node, encoded)
                    else:
                        skipped[f"{node.name}@{node.version}"] = reason
                        logger.warning("%s v%d cannot take the rows: %s", node.name, node.version, reason)
            seen, snapshot = snapshot, self._state.look()
            if snapshot is seen:
                return skipped
        raise StateError(f"definitions were applied {_LOOKS} times during one write; write again")

    def _send(self, snapshot: Snapshot, node: StoredViewNode, batch: pa.RecordBatch) -> WriteCount:
        """Write the newest row of each key; the other rows of the frame count as ignored."""
        newest: dict[bytes, tuple[bytes, int]] = {}
        for (key, value), expiry in zip(pairs_of(batch), np.asarray(batch["expire_at_ms"]).tolist(), strict=True):
            if key not in newest or is_newer(value, newest[key][0]):
                newest[key] = (value, expiry)
        if not newest:
            return WriteCount()
        self._store.add_members(index_key(_project_id(snapshot), node.storage_id), list(newest))
        count = self._store.write_if_newer(
            [(key, value) for key, (value, _) in newest.items()],
            expire_at_ms=[expiry for _, expiry in newest.values()],
        )
        return count + WriteCount(ignored=len(batch) - len(newest))

    def _set_aside(self, target: str, frame: Frame, checks: Checks, accepted_us: int) -> None:
        reasons = checks.reasons()
        if not reasons:
            return
        at = show_instant(self._clock())
        entries = [
            json.dumps(
                {"view": target, "row": _row(frame, row), "problems": problems, "at": at}, default=str, sort_keys=True
            ).encode()
            for row, problems in sorted(reasons.items())
        ]
        self._store.append_entries(dead_letter_key(self._state.project), entries, keep=DEAD_LETTERS_KEPT)


def _live(snapshot: Snapshot, view: StoredViewNode) -> list[StoredViewNode]:
    is_online = snapshot.pointer is not None and view.name in snapshot.pointer.views
    return live_versions(snapshot, view.name) if is_online and isinstance(view, ViewNode) else []


def _misfit(node: StoredViewNode, served: StoredViewNode, checker: RowChecker) -> str | None:
    """Say why a version cannot take rows that were checked for the served one."""
    if node.join_keys != served.join_keys:
        return "it has other join keys"
    missing = [field.name for field in node.features if field.name not in checker.frame.columns]
    if missing:
        return f"the frame lacks {', '.join(missing)}"
    before = len(checker.checks.problems())
    for field in node.features:
        checker.column(field, field.name)
    return None if len(checker.checks.problems()) == before else "values are not of its types"


def _project_id(snapshot: Snapshot) -> int:
    assert snapshot.pointer is not None
    return snapshot.pointer.project_id


def _row(frame: Frame, row: int) -> dict[str, Any]:
    found = {}
    for name, column in frame.columns.items():
        item = column[row]
        found[name] = item.as_py() if isinstance(item, pa.Scalar) else item
    return found
