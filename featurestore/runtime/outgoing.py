"""What goes out to the online store: which rows, encoded how, at what pace; and a sample of what went out before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from featurestore.codec.keys import index_key, rate_key
from featurestore.errors import StateError
from featurestore.intervals import to_micros
from featurestore.ir.columns import key_fields
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.runtime.pairs import PairEncoder
from featurestore.runtime.reconcile import without_keys
from featurestore.runtime.senders import SendPlan
from featurestore.stores.base import OnlineStore

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["answers", "check_storage", "extend_indexed", "pair_encoder", "sample", "send_plan"]


def check_storage(context: RuntimeContext, view: StoredViewNode) -> None:
    """Raise StateError for a view that was never applied, or a store that may drop rows silently."""
    if view.storage_id == 0:
        raise StateError(f"{view.name} has no storage id; run `featurestore apply` first", view=view.name)
    context.online.check_eviction_policy()


def pair_encoder(context: RuntimeContext, view: StoredViewNode) -> PairEncoder:
    """Make the encoder of a view's rows; expiry is by the store's clock, which a replay's may lie far behind."""
    now_us = max(to_micros(context.clock()), context.online.time_micros())
    project_id = context.online.project_id(context.settings.project)
    return PairEncoder(project_id=project_id, view=view, now_ms=now_us // 1000)


def send_plan(context: RuntimeContext, encoder: PairEncoder) -> SendPlan:
    """Say how a view's rows are sent, as the settings have it."""
    view = encoder.view
    return SendPlan(
        fields=key_fields(view),
        rate_key=rate_key(encoder.project_id, view.storage_id),
        rows_per_second=context.settings.publish.rate(view.name),
    )


def answers(
    context: RuntimeContext, view: StoredViewNode, after: int | None, latest: int, *, is_large: bool
) -> DataFrame:
    """Give what each key that was touched since a version answers with now.

    Of many rows it is asked first whether each key has but one, as after a single step: of a million rows that takes
    a fourth of the time that choosing takes. The compare-and-set chooses right in any case.
    """
    from featurestore.engines.spark.answers import has_one_row_a_key, newest_rows, spread_rows, standing_answers

    appended = context.offline.appended(view, after, latest)
    if not context.offline.may_hold_deletions(view):
        if is_large and has_one_row_a_key(appended, view):
            return spread_rows(appended, view)
        return newest_rows(appended, view)
    rows = appended if after is None else context.offline.appended(view, None, latest)
    return standing_answers(appended, rows, view, delta_version=latest)


def sample(
    context: RuntimeContext, encoder: PairEncoder, until: int, sent: Sequence[pa.RecordBatch]
) -> list[pa.RecordBatch]:
    """Encode rows of the table's version ``until``, which earlier publications sent, but for keys that this one sent.

    Their expiry is the earliest that they may have.
    """
    count = context.settings.publish.sample_keys
    if not count:
        return []
    then = PairEncoder(project_id=encoder.project_id, view=encoder.view, now_ms=0)
    rows = context.offline.sample(encoder.view, until, count)
    return [without_keys(then.encode(batch), sent) for batch in rows.to_batches()]


def extend_indexed(store: OnlineStore, encoder: PairEncoder) -> None:
    """Let rows that others than a publication wrote live as long as the view's present ttl asks for."""
    expiry = encoder.expiry_of_any()
    for keys in store.members(index_key(encoder.project_id, encoder.view.storage_id)):
        store.extend_expiry(keys, [expiry] * len(keys))
