"""Publication: rows appended since the marker go to the online store; the pointer follows, the marker comes last."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from featurestore.codec.keys import marker_key
from featurestore.codec.pointer import Marker
from featurestore.errors import StateError
from featurestore.intervals import to_micros
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, INPUTS_TIMESTAMP
from featurestore.ir.nodes import PredictionViewNode, StoredViewNode, ViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.faults import FaultPoint, reach
from featurestore.runtime.metrics import publication_metrics
from featurestore.runtime.pairs import PAIRS_DDL, PairEncoder, encode_batches
from featurestore.runtime.pointer import announce_manifest, open_for_scoring, point_to, read_pointer
from featurestore.runtime.reconcile import reconcile
from featurestore.runtime.results import PublicationResult
from featurestore.runtime.senders import LocalPairs, Pairs, SparkPairs
from featurestore.stores.base import PublicationRecord
from featurestore.stores.online import OnlineAddress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["publish_view"]

logger = logging.getLogger(__name__)

SMALL_PUBLICATION = 20_000
"""Up to this many rows are encoded and sent by the driver: starting Python workers would take longer."""


def publish_view(context: RuntimeContext, view: StoredViewNode) -> PublicationResult:
    """Send what changed since the last publication of this view version, then check it.

    Idempotent: values carry their stamp and older ones are ignored, so a crash anywhere and a second call give the
    same online rows. The marker lies in the online store itself: a store that lost its data gets everything anew.
    ReconciliationFailed when the store does not hold afterwards what was sent.
    """
    started = time.monotonic()
    # Coverage first: a step committed meanwhile must not be told as covered before its rows are sent.
    covered = next(reversed(context.ledger.coverage(view.name, view.version).stretches), None)
    latest = context.offline.latest_version(view)
    if latest is None or (isinstance(view, ViewNode) and not view.online):
        return PublicationResult(sent=0, ignored=0, bytes_sent=0)
    _check_storage(context, view)
    if read_pointer(context) is None:
        announce_manifest(context, context.manifest)
    project_id = context.online.project_id(context.settings.project)
    key = marker_key(project_id, view.storage_id)
    stored = context.online.read([key])[0]
    marker = Marker.from_bytes(stored) if stored else None
    if marker is not None and marker.delta_version > latest:
        marker = None  # the table was made anew since
    covered_until = None if covered is None else covered.end
    goal = Marker(delta_version=latest, covered_until_us=None if covered_until is None else to_micros(covered_until))
    if marker == goal:
        point_to(context, view, covered)
        nothing = PublicationResult(sent=0, ignored=0, bytes_sent=0)
        if not _is_recorded(context, view, latest, covered_until):
            _record(context, view, latest, covered_until, nothing)
        return nothing

    # Expiry happens by the store's clock; a replay's clock may lie far behind it.
    now_us = max(to_micros(context.clock()), context.online.time_micros())
    encoder = PairEncoder(project_id=project_id, view=view, now_ms=now_us // 1000)
    after = marker.delta_version if marker else None
    rows = _newest_rows(context.offline.appended(view, after, latest), view)
    with _pairs(context, rows, encoder, size=_appended_rows(context, view, after)) as pairs:
        open_for_scoring(context, view)
        reach(FaultPoint.SENDING)
        result = pairs.send()
        reach(FaultPoint.SENT)
        checked = reconcile(view, pairs)
        reach(FaultPoint.RECONCILED)
        point_to(context, view, covered)
        reach(FaultPoint.POINTED)
        context.online.replace_record(key, stored, goal.to_bytes())
        reach(FaultPoint.MARKED)
    _record(context, view, latest, covered_until, result)
    logger.info("%s: %d rows sent (%d older), %d checked", view.name, result.sent, result.ignored, checked)
    result = replace(result, checked=checked)
    metrics = publication_metrics()
    if metrics is not None:
        metrics.record(view.name, result, time.monotonic() - started)
    return result


def _is_recorded(context: RuntimeContext, view: StoredViewNode, latest: int, covered_until: datetime | None) -> bool:
    """Say whether the ledger knows of this publication; a crash after the marker was set leaves it out."""
    known = context.ledger.publications(view.name, view.version)
    return any((past.delta_version, past.covered_until) == (latest, covered_until) for past in known)


def _record(
    context: RuntimeContext,
    view: StoredViewNode,
    delta_version: int,
    covered_until: datetime | None,
    result: PublicationResult,
) -> None:
    context.ledger.record_publication(
        PublicationRecord(
            view=view.name,
            version=view.version,
            delta_version=delta_version,
            covered_until=covered_until,
            sent=result.sent,
            ignored=result.ignored,
            bytes_sent=result.bytes_sent,
            published_at=context.clock(),
        )
    )


def _newest_rows(appended: DataFrame, view: StoredViewNode) -> DataFrame:
    """Keep each key's row with the greatest online stamp."""
    from pyspark.sql import functions as F

    event = F.col(EVENT_TIMESTAMP)
    if isinstance(view, PredictionViewNode):
        event = F.coalesce(F.col(INPUTS_TIMESTAMP), event)
    stamp = F.struct(event, F.col(CREATED_TIMESTAMP))
    keys = [F.col(f"`{key.name}`") for key in view.join_keys]
    row = F.struct(*(F.col(f"`{name}`") for name in appended.columns))
    return appended.groupBy(*keys).agg(F.max_by(row, stamp).alias("row")).select("row.*")


def _appended_rows(context: RuntimeContext, view: StoredViewNode, after: int | None) -> int:
    """Count the rows that the Delta log says were appended after a version; needs no Spark job."""
    commits = context.offline.commits(view)
    return sum(
        commit.counts.get("rows_appended", SMALL_PUBLICATION)
        for commit in commits
        if after is None or commit.delta_version > after
    )


@contextmanager
def _pairs(context: RuntimeContext, rows: DataFrame, encoder: PairEncoder, *, size: int) -> Iterator[Pairs]:
    """Encode the rows here when they are few, else in Spark's workers, where they are kept for both passes."""
    address = OnlineAddress.of(context.settings)
    if size <= SMALL_PUBLICATION:
        yield LocalPairs(context.online, [encoder.encode(batch) for batch in rows.toArrow().to_batches()])
        return
    frame = rows.mapInArrow(partial(encode_batches, encoder), PAIRS_DDL).persist()
    try:
        yield SparkPairs(address, frame)
    finally:
        frame.unpersist()


def _check_storage(context: RuntimeContext, view: StoredViewNode) -> None:
    if view.storage_id == 0:
        raise StateError(f"{view.name} has no storage id; run `featurestore apply` first", view=view.name)
    context.online.check_eviction_policy()
