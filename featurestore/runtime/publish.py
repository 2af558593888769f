"""Publication: rows appended since the marker go to the online store; the pointer follows, the marker comes last."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from featurestore.codec.keys import marker_key
from featurestore.codec.pointer import Marker
from featurestore.errors import ReconciliationFailed
from featurestore.intervals import to_micros
from featurestore.ir.nodes import StoredViewNode, ViewNode
from featurestore.runtime.code import applied_archive
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.faults import FaultPoint, reach
from featurestore.runtime.metrics import publication_metrics
from featurestore.runtime.online_code import keep_code
from featurestore.runtime.outgoing import answers, check_storage, extend_indexed, pair_encoder, sample, send_plan
from featurestore.runtime.pairs import PairEncoder
from featurestore.runtime.pointer import announce_manifest, open_for_scoring, point_to, read_pointer
from featurestore.runtime.reconcile import reconcile, reconcile_sample
from featurestore.runtime.results import PublicationResult
from featurestore.runtime.senders import LocalPairs, Pairs, SendPlan, SparkPairs
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
    ReconciliationFailed when the store does not hold afterwards what was sent, or lost what was sent before.
    """
    started = time.monotonic()
    # Coverage first: a step committed meanwhile must not be told as covered before its rows are sent.
    coverage = context.ledger.coverage(view.name, view.version)
    latest = context.offline.latest_version(view)
    if latest is None or (isinstance(view, ViewNode) and not view.online):
        return PublicationResult()
    check_storage(context, view)
    if read_pointer(context) is None:
        _announce_anew(context)
    encoder = pair_encoder(context, view)
    key = marker_key(encoder.project_id, view.storage_id)
    stored = context.online.read([key])[0]
    marker = Marker.from_bytes(stored) if stored else None
    extends = marker is not None and marker.is_outlived_by(encoder.life_ms)
    if marker is not None and (extends or marker.delta_version > latest):
        marker = None  # rows must live longer, or the table was made anew since
    covered_until = coverage.end
    goal = Marker(
        delta_version=latest,
        covered_until_us=None if covered_until is None else to_micros(covered_until),
        life_ms=encoder.life_ms,
    )
    if marker == goal:
        point_to(context, view, coverage)
        if not _is_recorded(context, view, latest, covered_until):
            _record(context, view, latest, covered_until, PublicationResult())
        return PublicationResult()

    after = marker.delta_version if marker else None
    plan = replace(send_plan(context, encoder), extends=extends, are_new=stored is None)
    if extends:
        extend_indexed(context.online, encoder)
    size = context.offline.rows_after(view, after)
    rows = answers(context, view, after, latest, is_large=size > SMALL_PUBLICATION)
    pairs, sent = _pairs(context, rows, encoder, plan, size=size)
    open_for_scoring(context, view)
    reach(FaultPoint.SENDING)
    result = pairs.send()
    reach(FaultPoint.SENT)
    result = replace(result, checked=reconcile(view, pairs))
    if after is not None:
        others = LocalPairs(context.online, sample(context, encoder, after, sent), plan)
        result = replace(result, sampled=_check_sample(context, view, others, key))
    reach(FaultPoint.RECONCILED)
    point_to(context, view, coverage)
    reach(FaultPoint.POINTED)
    context.online.replace_record(key, stored, goal.to_bytes())
    reach(FaultPoint.MARKED)
    _record(context, view, latest, covered_until, result)
    logger.info("%s: %s", view.name, result.to_dict())
    metrics = publication_metrics()
    if metrics is not None:
        metrics.record(view.name, result, time.monotonic() - started)
    return result


def _announce_anew(context: RuntimeContext) -> None:
    """Give a store that lost its data the definitions again: their code, as far as it is here, then the manifest."""
    manifest = context.manifest
    archive = applied_archive(context)
    if manifest.code and archive.is_file():
        keep_code(context.online, manifest.project, manifest.code, archive)
    announce_manifest(context, manifest)


def _check_sample(context: RuntimeContext, view: StoredViewNode, others: LocalPairs, marker: bytes) -> int:
    """Compare rows that earlier publications sent; where one is wrong the marker goes, and the next sends all."""
    try:
        return reconcile_sample(view, others)
    except ReconciliationFailed:
        context.online.delete([marker])
        raise


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


def _pairs(
    context: RuntimeContext, rows: DataFrame, encoder: PairEncoder, plan: SendPlan, *, size: int
) -> tuple[Pairs, Sequence[pa.RecordBatch]]:
    """Encode the rows here when they are few, else have Spark's workers do it.

    The second value has the pairs that are held here.
    """
    if size <= SMALL_PUBLICATION:
        batches = [encoder.encode(batch) for batch in rows.toArrow().to_batches()]
        return LocalPairs(context.online, batches, plan), batches
    return SparkPairs(OnlineAddress.of(context.settings), rows, plan, encoder.encode), ()
