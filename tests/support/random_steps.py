"""Random work on a small project: events of many keys, views, and an order in which steps are done, and done again."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa

from featurestore.engines.reference.events import Events, events_by_key
from featurestore.engines.reference.feature_rows import FeatureRow, Predicates, aggregate_rows
from featurestore.intervals import Coverage, Interval
from featurestore.ir.nodes import DeltaSourceNode, ViewNode

__all__ = ["DEFINITIONS", "MOVES", "PREDICATES", "Model", "Step", "draw_definitions", "draw_events", "draw_work"]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DAYS = 3

MOVES = pa.schema(
    [
        ("game", pa.int64()),
        ("player", pa.string()),
        ("ts", pa.timestamp("us", "UTC")),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("s", pa.string()),
    ]
)
PREDICATES: Predicates = {"n > 1": lambda row: None if row["n"] is None else row["n"] > 1}

DEFINITIONS = '''"""Two views of the same moves, each with windows and a schedule of its own."""

from datetime import datetime, timedelta, timezone

from featurestore import Aggregation, BatchFeatureView, DeltaSource, Entity
from featurestore.types import Int64, String

player = Entity(name="player", join_keys=["game", "player"], dtypes=[Int64, String])
moves = DeltaSource(name="moves", path="data/moves", timestamp_field="ts")


def stats(name, schedule, short, long, longest, ttl):
    return BatchFeatureView(
        name=name,
        entities=[player],
        source=moves,
        aggregations=[
            Aggregation(function="count", window=short, name=name + "_moves"),
            Aggregation(column="n", function="sum", window=long, name=name + "_total"),
            Aggregation(column="x", function="mean", window=longest, name=name + "_mean"),
            Aggregation(column="n", function="count", where="n > 1", window=long, name=name + "_many"),
            Aggregation(column="s", function="last_k", k=2, window=short, name=name + "_last"),
            Aggregation(column="s", function="count_distinct", window=long, name=name + "_words"),
        ],
        start=datetime.fromisoformat("START"),
        schedule=schedule,
        ttl=ttl,
    )


'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``materialize`` a view over ``range``; with ``repair`` also what is done; after a ``restart`` if asked for."""

    view: str
    range: Interval
    repair: bool = False
    restart: bool = False


@dataclass(slots=True, kw_only=True)
class Model:
    """What a view's table has to say: for each step that was done, the oracle's rows from the events landed by then."""

    view: ViewNode
    source: DeltaSourceNode
    done: dict[Interval, list[FeatureRow]] = field(default_factory=dict)

    @property
    def coverage(self) -> Coverage:
        return Coverage.of(self.done)

    @property
    def rows(self) -> list[FeatureRow]:
        return [row for rows in self.done.values() for row in rows]

    def run(self, step: Step, landed: Sequence[Mapping[str, Any]]) -> None:
        assert self.view.schedule is not None
        events = self._events(landed)
        for part in self.view.schedule.steps(step.range):
            if part not in self.done or step.repair:
                follows = any(other.end == part.start for other in self.done)
                self.done[part] = aggregate_rows(self.view, events, part, first=not follows, predicates=PREDICATES)

    def whole(self, landed: Sequence[Mapping[str, Any]], covered: Interval) -> list[FeatureRow]:
        """Compute the range at once, from all events."""
        return aggregate_rows(self.view, self._events(landed), covered, first=True, predicates=PREDICATES)

    def _events(self, landed: Sequence[Mapping[str, Any]]) -> Events:
        return events_by_key(self.view, self.source, landed)


def draw_definitions(draw: random.Random, start: datetime) -> str:
    """Two schedules out of four, windows that their steps divide, or that reach over all time, and any ttl."""
    grids = draw.sample([('"@daily"', 24), ("timedelta(hours=12)", 12), ('"0 6,18 * * *"', 12), ('"0 3 * * *"', 24)], 2)
    text = DEFINITIONS.replace("START", start.isoformat())
    for name, (schedule, hours) in zip("ab", grids, strict=True):
        short, long = (hours * steps for steps in sorted(draw.sample(range(1, 5), 2)))
        longest = draw.choice(["None", f"timedelta(hours={long * 2})"])
        ttl = draw.choice(["None", "timedelta(0)", f"timedelta(hours={hours})", "timedelta(days=1)"])
        windows = f"timedelta(hours={short}), timedelta(hours={long}), {longest}"
        text += f'view_{name} = stats("{name}", {schedule}, {windows}, {ttl})\n'
    return text


def draw_events(draw: random.Random, start: datetime, games: int) -> list[dict[str, Any]]:
    """Few moves a key, before, in and at the edges of the steps, ties and nulls among them."""
    nudges = [timedelta(0), timedelta(0), -timedelta(microseconds=1), timedelta(microseconds=1), 5 * HOUR]

    def event(game: int, is_null: bool) -> dict[str, Any]:
        at = start + draw.randrange(-2 * 24, DAYS * 24, 2) * HOUR + draw.choice(nudges)
        return {
            "game": draw.choice([None] + [game] * 12),
            "player": draw.choice(["a", "a", "a", "", "null"]),
            "ts": at,
            "n": None if is_null else draw.choice([None, 0, 1, 2, 2, -7]),
            "x": None if is_null else draw.choice([None, 0.0, 0.1, 0.1, -3.5, 1e6]),
            "s": None if is_null else draw.choice([None, "", "a", "b"]),
        }

    return [event(game, is_null=game % 8 == 0) for game in range(games) for _ in range(draw.randint(1, 6))]


def draw_work(draw: random.Random, views: Mapping[str, ViewNode], covered: Interval) -> Iterator[Step]:
    """Cut each view's steps into ranges, in any order, some of them asked for twice, restarts in between."""
    parts: list[Step] = []
    for name, view in views.items():
        assert view.schedule is not None
        steps = list(view.schedule.steps(covered))
        ends = [steps[0].start, *(step.end for step in steps)]
        cuts = sorted({0, len(ends) - 1, *draw.sample(range(1, len(ends) - 1), min(2, len(ends) - 2))})
        parts += [Step(view=name, range=Interval(ends[a], ends[b])) for a, b in pairwise(cuts)]
    draw.shuffle(parts)
    parts.insert(draw.randrange(1, len(parts)), draw.choice(parts[:2]))
    for number, part in enumerate(parts):
        yield Step(view=part.view, range=part.range, restart=number % 3 == 2)
