"""Checked rows on their way to the online store: every live version of every owner, none lost by a switch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from featurestore.codec.keys import index_key
from featurestore.codec.stamp import is_newer
from featurestore.errors import StateError
from featurestore.ingest.headers import OwnRows, accepted_inputs
from featurestore.ingest.on_demand import OnDemandPairs
from featurestore.ingest.rows import CheckedRows, RowChecker, encode_pairs, table_rows
from featurestore.ingest.state import ProjectState, live_versions
from featurestore.ir.columns import INPUTS_DIGEST, INPUTS_TIMESTAMP
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.runtime.pairs import pairs_of
from featurestore.serving.snapshot import Snapshot
from featurestore.stores.base import OnlineStore, WriteCount

__all__ = ["OnlineRows", "project_id_of"]

logger = logging.getLogger(__name__)

_LOOKS = 8
"""A write looks again at the pointer record until no version came up meanwhile; each look follows an ``apply``."""


class OnlineRows:
    """The rows of one frame, found valid: ``valid`` marks those that are written."""

    def __init__(
        self,
        store: OnlineStore,
        state: ProjectState,
        snapshot: Snapshot,
        checker: RowChecker,
        checked: Sequence[CheckedRows],
        *,
        accepted_us: int,
    ) -> None:
        self._store = store
        self._state = state
        self._snapshot = snapshot
        self._checker = checker
        self._checked = checked
        self._valid = ~checker.checks.invalid
        self._accepted_us = accepted_us

    def tables(self) -> list[tuple[StoredViewNode, pa.RecordBatch]]:
        """Give for each owner its rows as those of its table, less what a run adds; reads what predictions saw."""
        return [(rows.route.view, self._table(rows)) for rows in self._checked]

    def pairs(
        self, tables: Sequence[tuple[StoredViewNode, pa.RecordBatch]]
    ) -> list[tuple[StoredViewNode, pa.RecordBatch]]:
        """Encode each owner's rows for the version that is served."""
        return [(node, self._encode(node, table, self._snapshot)) for node, table in tables]

    def write(
        self, pairs: Sequence[tuple[StoredViewNode, pa.RecordBatch]], on_demand: Sequence[OnDemandPairs] = ()
    ) -> dict[str, WriteCount]:
        """Write what ``pairs`` gave, then what was computed from it; give the counts by view.

        A crash in between leaves on-demand rows that do not hold any more, which lookups see by their digest.
        """
        counts = {node.name: self._send(self._snapshot, node, batch) for node, batch in pairs}
        for rows in on_demand:
            written = self._put(self._snapshot, rows.view.storage_id, rows.pairs, rows.expire_at_ms)
            counts[rows.view.name] = written + WriteCount(ignored=rows.ignored)
        return counts

    def write_other_versions(self) -> dict[str, str]:
        """Write to all live versions beside the served one, also to those that come up while this goes on.

        Gives the versions that could not take the rows, and why.
        """
        snapshot = self._snapshot
        done = {(rows.route.view.name, rows.route.view.version) for rows in self._checked}
        skipped: dict[str, str] = {}
        for _ in range(_LOOKS):
            for rows in self._checked:
                for node in _live(snapshot, rows.route.view):
                    if (node.name, node.version) in done:
                        continue
                    done.add((node.name, node.version))
                    reason = _misfit(node, rows.route.view, self._checker)
                    if reason is None:
                        table = table_rows(self._checker, rows, node, self._valid & rows.kept)
                        self._send(snapshot, node, self._encode(node, table, snapshot))
                    else:
                        skipped[f"{node.name}@{node.version}"] = reason
                        logger.warning("%s v%d cannot take the rows: %s", node.name, node.version, reason)
            seen, snapshot = snapshot, self._state.look()
            if snapshot is seen:
                return skipped
        raise StateError(f"definitions were applied {_LOOKS} times during one write; write again")

    def _table(self, rows: CheckedRows) -> pa.RecordBatch:
        provenance = None
        if isinstance(rows.route.view, PredictionViewNode):
            rows, provenance = self._with_inputs(rows, rows.route.view)
        return table_rows(self._checker, rows, rows.route.view, self._valid & rows.kept, provenance)

    def _with_inputs(
        self, rows: CheckedRows, view: PredictionViewNode
    ) -> tuple[CheckedRows, Mapping[str, np.ndarray[Any, Any]]]:
        """Stamp predictions by their inputs as they stand now, or by the digest that came with them."""
        own = next(
            (
                OwnRows(view=other.route.view.name, event_us=other.event_us, created_us=other.created_us)
                for other in self._checked
                if isinstance(other.route.view, ViewNode)
            ),
            None,
        )
        frame = self._checker.frame
        inputs = accepted_inputs(self._store, self._snapshot, view, frame.columns, frame.count, own)
        event_us = np.where(inputs.is_known, inputs.latest_us, rows.event_us)
        digest = self._checker.numbers(INPUTS_DIGEST)
        told = self._checker.instants(INPUTS_TIMESTAMP)
        if told is not None:
            event_us = np.where(told[1], told[0], event_us)
        return replace(rows, event_us=event_us), {
            INPUTS_DIGEST: inputs.digest if digest is None else digest,
            INPUTS_TIMESTAMP: event_us,
        }

    def _encode(self, node: StoredViewNode, table: pa.RecordBatch, snapshot: Snapshot) -> pa.RecordBatch:
        return encode_pairs(table, node, project_id=project_id_of(snapshot), now_us=self._accepted_us)

    def _send(self, snapshot: Snapshot, node: StoredViewNode, batch: pa.RecordBatch) -> WriteCount:
        """Write the newest row of each key; the other rows of the frame count as ignored."""
        newest: dict[bytes, tuple[bytes, int]] = {}
        for (key, value), expiry in zip(pairs_of(batch), np.asarray(batch["expire_at_ms"]).tolist(), strict=True):
            if key not in newest or is_newer(value, newest[key][0]):
                newest[key] = (value, expiry)
        pairs = [(key, value) for key, (value, _) in newest.items()]
        count = self._put(snapshot, node.storage_id, pairs, [expiry for _, expiry in newest.values()])
        return count + WriteCount(ignored=len(batch) - len(newest))

    def _put(
        self, snapshot: Snapshot, storage_id: int, pairs: Sequence[tuple[bytes, bytes]], expire_at_ms: Sequence[int]
    ) -> WriteCount:
        """Write rows by compare-and-set; their keys are indexed first, as no table has them."""
        if not pairs:
            return WriteCount()
        self._store.add_members(index_key(project_id_of(snapshot), storage_id), [key for key, _ in pairs])
        return self._store.write_if_newer(pairs, expire_at_ms=expire_at_ms)


def project_id_of(snapshot: Snapshot) -> int:
    """Give the number that the project's keys carry."""
    assert snapshot.pointer is not None
    return snapshot.pointer.project_id


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
