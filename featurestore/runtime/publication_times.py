"""When each row of a view's table was published: what ``availability="actual"`` counts from."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from featurestore.ir.columns import COMPUTED_AT
from featurestore.ir.nodes import StoredViewNode
from featurestore.runtime.context import RuntimeContext
from featurestore.stores.base import CommitRecord, PublicationRecord

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["publication_times", "with_publication_times"]


def publication_times(
    commits: Iterable[CommitRecord], publications: Iterable[PublicationRecord]
) -> dict[datetime, datetime]:
    """Give for each commit's ``computed_at`` when it was published: the first publication that reached its version.

    Rows carry the ``computed_at`` of their commit. A commit that no publication has reached, or that an older release
    wrote without it, is not in the answer. Commits with one ``computed_at`` count from the later one's publication.
    """
    known = sorted(publications, key=lambda record: record.published_at)
    times: dict[datetime, datetime] = {}
    for commit in sorted(commits, key=lambda record: record.delta_version):
        if commit.computed_at is None:
            continue
        reached = (record.published_at for record in known if record.delta_version >= commit.delta_version)
        published = next(reached, None)
        if published is None:
            times.pop(commit.computed_at, None)
        else:
            times[commit.computed_at] = published
    return times


def with_publication_times(context: RuntimeContext, view: StoredViewNode, rows: DataFrame) -> DataFrame:
    """Add ``published_at`` to the rows of a view's table, null where a row was never published."""
    from pyspark.sql import functions as F

    from featurestore.engines.spark.statements import PUBLISHED_AT

    times = publication_times(context.offline.commits(view), context.ledger.publications(view.name, view.version))
    frame = context.spark.createDataFrame(
        list(times.items()), schema=f"{COMPUTED_AT} timestamp, {PUBLISHED_AT} timestamp"
    )
    return rows.join(F.broadcast(frame), COMPUTED_AT, "left")
