"""Scoring only what changed leaves the predictions that scoring everything leaves, in whatever order steps run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from featurestore.engines.spark.metrics import PassCounts
from featurestore.engines.spark.scoring import ScoreRequest, score
from featurestore.ir.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from featurestore.ir.manifest import Manifest
from featurestore.ir.nodes import CodeRef, FeatureRef, FieldNode, ModelNode
from featurestore.spec.dtypes import Float64
from tests.support.nodes import prediction_view
from tests.support.offline_views import at, plain_view, table_rows

pytestmark = pytest.mark.spark

HOUR = timedelta(hours=1)
USERS = plain_view(ttl=timedelta(hours=30))
RATES = plain_view(name="rates", features=(FieldNode(name="rate", dtype=Float64),), ttl=timedelta(hours=24))
MANIFEST = Manifest(project="demo", views={view.name: view for view in (USERS, RATES)})
VIEW = prediction_view(
    inputs=tuple(FeatureRef(view=v, feature=f, alias=v) for v, f in (("user_data", "clicks"), ("rates", "rate"))),
    model=ModelNode(name="m", version="1", load=CodeRef(path="tests.support.models:load_sum", digest="")),
)
STEPS = [at("02"), at("03"), at("04")]
USER_ROWS = [
    # 1 stays as it is, 2 changes on the 3rd, 3 comes on the 3rd and expires, 4 is there from the 4th on.
    {"user_id": 1, "event_timestamp": at("02") - HOUR, "clicks": 1},
    {"user_id": 2, "event_timestamp": at("02") - HOUR, "clicks": 2},
    {"user_id": 2, "event_timestamp": at("03") - HOUR, "clicks": 20},
    {"user_id": 3, "event_timestamp": at("02") + HOUR, "clicks": 3},
    {"user_id": 4, "event_timestamp": at("04"), "clicks": 4},
]
RATE_ROWS = [
    # It expires in the last step, which changes no header.
    {"user_id": 2, "event_timestamp": at("03") - HOUR, "rate": 0.5},
]


@dataclass
class History:
    """The rows of the prediction view's table as steps append them, and the counts of each step."""

    spark: SparkSession
    rates: list[dict[str, Any]] = field(default_factory=lambda: list(RATE_ROWS))
    rows: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[datetime, dict[str, int]] = field(default_factory=dict)

    def run(self, step: datetime, *, everything: bool = False) -> History:
        """Score a step as the runtime does: it is the first of its stretch where the step before is not done."""
        tables = {USERS.name: (USERS, USER_ROWS), RATES.name: (RATES, self.rates)}
        is_first = step - timedelta(days=1) not in self.counts
        counts = PassCounts()
        request = ScoreRequest(
            view=VIEW,
            manifest=MANIFEST,
            step_end=step,
            created=step,
            tables={name: table_rows(self.spark, view, rows) for name, (view, rows) in tables.items()},
            since=step - timedelta(days=1),
            predictions=None if is_first or everything else table_rows(self.spark, VIEW, self.rows),
        )
        scored = score(request, counts).toArrow().to_pylist()
        self.counts[step] = dict(counts.read())
        new = {row["user_id"]: row for row in scored}
        kept = [row for row in self.rows if not (row[EVENT_TIMESTAMP] == step and row["user_id"] in new)]
        self.rows = [*kept, *new.values()]
        return self

    def answers(self) -> dict[tuple[int, datetime], Any]:
        """Give what stands for each user from each step on."""
        found = {}
        for user, step in itertools.product(range(1, 5), STEPS):
            rows = [row for row in self.rows if row["user_id"] == user and row[EVENT_TIMESTAMP] <= step]
            newest = max(rows, key=lambda row: row[EVENT_TIMESTAMP], default=None)
            times = (EVENT_TIMESTAMP, CREATED_TIMESTAMP)
            found[user, step] = newest and {name: value for name, value in newest.items() if name not in times}
        return found


@pytest.fixture(scope="module")
def full(spark: SparkSession) -> History:
    history = History(spark)
    for step in STEPS:
        history.run(step, everything=True)
    return history


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1)], ids=str)
def test_any_order_of_steps_gives_what_scoring_everything_gives(
    spark: SparkSession, full: History, order: tuple[int, ...]
) -> None:
    history = History(spark)
    for number in order:
        history.run(STEPS[number])
    assert history.answers() == full.answers()
    if order == (0, 1, 2):
        assert [count["entities"] for count in full.counts.values()] == [2, 3, 2]
        assert [count["predicted"] for count in full.counts.values()] == [2, 3, 2]
        assert [count["predicted"] for count in history.counts.values()] == [2, 2, 2]


def test_a_step_that_is_scored_again_predicts_what_it_predicted(spark: SparkSession, full: History) -> None:
    history = History(spark).run(STEPS[0]).run(STEPS[1]).run(STEPS[1])
    assert history.counts[STEPS[1]]["predicted"] == 2
    late = {"user_id": 1, "event_timestamp": at("02") - 2 * HOUR, "rate": 0.75}
    history.rates.append(late)
    history.run(STEPS[1])
    assert {row["user_id"] for row in history.rows if row[EVENT_TIMESTAMP] == STEPS[1]} == {1, 2, 3}
